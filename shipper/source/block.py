"""What is read from a file at once, and how much that may be."""

from __future__ import annotations

from dataclasses import dataclass

HOLE = "hole"
"""Reason of bytes that were never written: a file was truncated under a writer who went on at its
old offset."""
IGNORED = "ignore_older"
"""Reason of what was in a file that nobody had written to for `follow.ignore_older_secs`."""
LIMIT = "limit"
"""Reason of lines over `follow.limits`, where these drop."""
LOST_PART = "lost_part"
"""Reason of bytes that were read before a restart and whose line ended in a file that is gone."""
READ_FROM = "read_from"
"""Reason of what was there before the first start, and is not to be read."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is read at once.

    Attributes:
        block_bytes: Size of a read; one that stays in the processor's cache is fastest.
        max_line_bytes: A longer line is cut.
    """

    block_bytes: int
    max_line_bytes: int


@dataclass(frozen=True, slots=True)
class Block:
    """Whole lines of a file, or the head of one line that is too long.

    Attributes:
        offset: Of its first byte in the file.
        data: Lines with their newlines; the last may lack it where the file ends.
        size: Bytes of the file that it stands for.
        cut: Whether `data` is the head of one overlong line.
        skipped: Why it stands for bytes that become no document; empty where they do.
    """

    offset: int
    data: bytes
    size: int
    cut: bool = False
    skipped: str = ""

    @property
    def end(self) -> int:
        """The offset behind it."""
        return self.offset + self.size
