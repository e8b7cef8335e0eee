"""One open file: reads blocks of whole lines, forward, from a position.

Owns: the descriptor and the offset. Does not know: rotation, other files, what lines mean.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass

from shipper.model import Position, SavedFile
from shipper.source.content import Gzip, Plain
from shipper.source.identity import CHECK_BYTES, HEAD_BYTES, Claim, Identity, Looks, position_check

_SCAN_BLOCKS = 16
"""Blocks searched for the end of an overlong line before others have their turn."""


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
    """

    offset: int
    data: bytes
    size: int
    cut: bool = False

    @property
    def end(self) -> int:
        """The offset behind it."""
        return self.offset + self.size


class Tail:
    """One generation of a series, open.

    Attributes:
        path: Where it was last seen.
        hint: Device and inode.
        compressed: It is a `.gz`; its offsets are those of the plain file.
        offset: Of the next byte to read.
        saved: The position that reading resumed from; its committed lines are skipped.
        claim: Its identity; None until its head is long enough to tell.
        live: Whether the series' path shows this file.
        rewritten: Whether what was read of it is not there any more: it is another file now.
        grown_at: Monotonic time when it was last seen to grow, or to change its name.
        behind_since: Monotonic time since when it has bytes that are not read; None if it has none.
    """

    def __init__(self, path: str, stem: str, *, limits: Limits) -> None:
        """Open a file.

        Raises:
            OSError: As the system says.
        """
        self.path = path
        self.offset = 0
        self.saved: Position | None = None
        self.claim: Claim | None = None
        self.live = self.rewritten = False
        self.grown_at = time.monotonic()
        self.behind_since: float | None = self.grown_at
        self._stem = stem
        self._limits = limits
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        status = os.fstat(self._fd)
        self.hint = (status.st_dev, status.st_ino)
        self.compressed = path.endswith(".gz")
        self._bytes: Plain | Gzip = Gzip(self._fd) if self.compressed else Plain(self._fd)
        self._size = status.st_size
        self._tried_size = -1
        self._scanned = 0
        self._window = b""

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)

    # -- looking

    def has_changed(self) -> bool:
        """Look at the file's size; tells whether it is another than at the last `update`."""
        size = os.fstat(self._fd).st_size
        if size != self._size:
            self.rewritten |= size < self._size and not self.compressed
            self._size = size
            self.grown_at = time.monotonic()
            if self.behind_since is None:
                self.behind_since = self.grown_at
        return size != self._tried_size

    def update(self) -> bool:
        """Look at the file before reading; False if what was read of it is not there any more."""
        if self.has_changed():
            self._tried_size = self._size
            if not self.compressed and self._before(self.offset) != self._window:
                self.rewritten = True
        return not self.rewritten

    @property
    def deleted(self) -> bool:
        """Whether the file has no name any more."""
        try:
            return os.fstat(self._fd).st_nlink == 0
        except OSError:  # as a network file system says of one
            return True

    @property
    def unread_bytes(self) -> int:
        """Bytes behind the offset, as of the last look; of a compressed file nobody knows."""
        return 0 if self.compressed else max(0, self._size - self.offset)

    @property
    def end_bytes(self) -> int:
        """How long the file on disk was when its end was read."""
        return self._size if self.compressed else self.offset

    @property
    def quiet_secs(self) -> float:
        """Seconds since it was seen to grow, or to change its name."""
        return time.monotonic() - self.grown_at

    @property
    def written_secs_ago(self) -> float:
        """Seconds since the last write, by the file's own time."""
        return time.time() - os.fstat(self._fd).st_mtime

    @property
    def scanning(self) -> bool:
        """Whether the search for the end of an overlong line has to go on."""
        return self.offset < self._scanned < self._size

    # -- reading

    def identify(
        self, identity: Identity, *, final: bool, held: Callable[[str], bool] = lambda _: False
    ) -> bool:
        """Find out which file this is; False while its first line is too short to tell.

        Args:
            identity: The agent's identities.
            final: No more will be written, so what there is must do.
            held: Whether the parts of lines in a file, by its key, that wait for their ends are
                still in memory: then they are not read again.
        """
        if self.claim is not None:
            return True
        head = self._bytes.read_at(0, HEAD_BYTES)
        newline = head.find(b"\n") + 1
        if not head or not (newline or len(head) == HEAD_BYTES or final):
            return False
        if not final and not self._bytes.whole():
            return False
        looks = Looks(self.hint[1], live=self.live, compressed=self.compressed, fits=self._fits)
        self.claim = identity.claim(self._stem, head[:newline] if newline else head, looks=looks)
        if self.claim is not None and self.claim.position is not None:
            self._resume(self.claim.position, held=held(self.claim.key))
        return self.claim is not None

    def read(self) -> Block | None:
        """Return the next whole lines; None if there are none (yet)."""
        limits = self._limits
        if self._scanned > self.offset:
            return self._overlong()
        data = self._bytes.read_at(self.offset, limits.block_bytes)
        end = data.rfind(b"\n") + 1
        if not end and len(data) == limits.block_bytes:
            data = self._bytes.read_at(self.offset, limits.max_line_bytes + 1)
            end = data.rfind(b"\n") + 1
            if not end and len(data) > limits.max_line_bytes:
                self._scanned = self.offset + len(data)
                return self._overlong()
        return self._advance(Block(self.offset, data[:end], end)) if end else None

    def read_rest(self) -> Block | None:
        """Return what follows the last newline of a file that is not written any more."""
        data = self._bytes.read_at(self.offset, self._limits.max_line_bytes + 1)
        if len(data) > self._limits.max_line_bytes:
            size = self._end_of_file() - self.offset
            head = data[: self._limits.max_line_bytes]
            return self._advance(Block(self.offset, head, size, cut=True))
        return self._advance(Block(self.offset, data, len(data))) if data else None

    def position(self) -> tuple[int, str]:
        """Return the offset up to which the file is read, and the hash of what lies before it."""
        return self.offset, position_check(self._window)

    def saved_as(self, position: Position) -> SavedFile:
        """Return what to save of this file."""
        assert self.claim is not None  # noqa: S101  # nothing is read before it is identified
        device, inode = self.hint
        return SavedFile(self.claim.key, self.claim.base, self._stem, device, inode, position)

    def _overlong(self) -> Block | None:
        """Search for the end of a line that is too long; None until it is found."""
        for _ in range(_SCAN_BLOCKS):
            data = self._bytes.read_at(self._scanned, self._limits.block_bytes)
            newline = data.find(b"\n") + 1
            if newline:
                head = self._bytes.read_at(self.offset, self._limits.max_line_bytes)
                size = self._scanned + newline - self.offset
                return self._advance(Block(self.offset, head, size, cut=True))
            self._scanned += len(data)
            if len(data) < self._limits.block_bytes:
                break
        return None

    def _advance(self, block: Block) -> Block:
        self.offset = block.end
        if not self.compressed:
            self._size = max(self._size, block.end)
        if block.cut:
            self._window = self._before(block.end)
        elif len(block.data) >= CHECK_BYTES:
            self._window = block.data[-CHECK_BYTES:]
        else:
            self._window = (self._window + block.data)[-CHECK_BYTES:]
        return block

    def _resume(self, position: Position, *, held: bool) -> None:
        self.offset = position.end if held else position.resume
        self.saved = position
        self._window = self._before(self.offset)

    def _fits(self, position: Position) -> bool:
        before = self._before(position.end)
        whole = len(before) == min(position.end, CHECK_BYTES)
        return whole and position_check(before) == position.check

    def _before(self, offset: int) -> bytes:
        start = max(0, offset - CHECK_BYTES)
        return self._bytes.read_at(start, offset - start)

    def _end_of_file(self) -> int:
        offset = max(self.offset, self._scanned)
        while data := self._bytes.read_at(offset, self._limits.block_bytes):
            offset += len(data)
        return offset
