"""One physical line, decoded: what every format makes of its lines, and what plain text makes.

Does not know: the formats of container runtimes (`docker`, `cri`).
"""

from __future__ import annotations

from codecs import utf_8_decode
from dataclasses import dataclass, field

UNDECODABLE = "invalid_utf8"
"""Flag of a document in which invalid bytes were replaced by U+FFFD."""

UNPARSED = "unparsed"
"""Flag of a line that its container runtime cannot have written so; kept verbatim."""

TRUNCATED = "truncated"
"""Flag of a document whose text was cut; `original_bytes` says how long it was."""


@dataclass(slots=True)
class Line:
    """One physical line, decoded.

    Attributes:
        text: What was logged; docker's text keeps its newline, CRI's and plain text have none.
        time: RFC 3339, UTC.
        stream: `stdout` or `stderr`; empty where the format names none, nor a time.
        complete: False for a part that a later line of the same stream goes on.
        attrs: docker's extra attributes.
        flags: What the reader of the document should know.
        original_bytes: Length of the text before it was cut; 0 if it was not.
        runtime: `docker` or `cri`, which wrote it; empty for plain text.
    """

    text: str
    time: str
    stream: str = ""
    complete: bool = True
    attrs: dict[str, str] = field(default_factory=dict)
    flags: tuple[str, ...] = ()
    original_bytes: int = 0
    runtime: str = ""


def is_utf8(raw: bytes) -> bool:
    """Tell whether bytes are valid UTF-8; msgspec does not check that of what it skips."""
    try:
        return raw.isascii() or bool(raw.decode())
    except UnicodeDecodeError:
        return False


def plain(raw: bytes, *, now: str, flags: tuple[str, ...] = ()) -> Line:
    """Take a line verbatim; invalid UTF-8 is replaced and flagged."""
    if not is_utf8(raw):
        flags = (*flags, UNDECODABLE)
    return Line(raw.decode(errors="replace"), now, flags=flags)


def cut(raw: bytes, *, original_bytes: int, now: str) -> Line:
    """Take the head of a line that is too long, with a mark that a reader sees."""
    _, whole = utf_8_decode(raw, "replace")  # a character that the cut went through is left out
    line = plain(raw[:whole], now=now, flags=(TRUNCATED,))
    line.text += truncation_mark(original_bytes)
    line.original_bytes = original_bytes
    return line


def truncation_mark(original_bytes: int) -> str:
    """Return the visible end of a text that was cut."""
    return f" [truncated by shipper: {original_bytes} bytes]"
