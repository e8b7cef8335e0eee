"""Looks for something far ahead in a file, some blocks at a time: others have their turn meanwhile.

Owns: how far it has looked. Does not know: what it is looked for.
"""

from __future__ import annotations

from shipper.source.content import Gzip, Plain

SEARCHED_BLOCKS = 16
"""Blocks that are searched at once."""


class Ahead:
    """A search in one file.

    Attributes:
        reached: The offset up to which it has looked, and found nothing.
        under_way: Whether it has found nothing yet, and there is more to look at.
    """

    def __init__(self, content: Plain | Gzip, *, block_bytes: int) -> None:
        """Start at the beginning."""
        self.reached = 0
        self.under_way = False
        self._content = content
        self._block_bytes = block_bytes

    def newline(self) -> int:
        """Return the offset behind the next newline; 0 if none is found yet."""
        self.under_way = False
        for _ in range(SEARCHED_BLOCKS):
            data = self._content.read_at(self.reached, self._block_bytes)
            newline = data.find(b"\n") + 1
            if newline:
                return self.reached + newline
            self.reached += len(data)
            if len(data) < self._block_bytes:
                return 0
        self.under_way = True
        return 0

    def data(self, start: int) -> int:
        """Return the offset of the first byte, from `start` on, that is no NUL; -1 if none yet.

        What is behind the last of them is not looked at: a writer may have reserved it.
        """
        self.under_way = False
        self.reached = self._content.next_data(max(start, self.reached))
        for _ in range(SEARCHED_BLOCKS):
            data = self._content.read_at(self.reached, self._block_bytes)
            rest = data.lstrip(b"\0")
            self.reached += len(data) - len(rest)
            if rest:
                return self.reached
            if len(data) < self._block_bytes:
                return -1
        self.under_way = True
        return -1
