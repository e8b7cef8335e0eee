"""Text of foreign origin, made harmless for a terminal."""

from __future__ import annotations


def printable(text: str) -> str:
    """Return text without what a terminal would obey, such as escape sequences and new lines."""
    return "".join(c if c.isprintable() else " " for c in text)
