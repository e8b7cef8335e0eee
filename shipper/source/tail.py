"""One open file: reads blocks of whole lines, forward, from a position.

Owns: the descriptor and the offset. Does not know: rotation, other files, what lines mean.
"""

from __future__ import annotations

import math
import os
import sys
import time

from shipper.model import Position
from shipper.source.ahead import SEARCHED_BLOCKS, Ahead
from shipper.source.block import HOLE, Block, Limits
from shipper.source.content import opened
from shipper.source.directory import Signature
from shipper.source.head import is_of_runtime
from shipper.source.identity import CHECK_BYTES, Claim
from shipper.source.threads import close, close_soon


class Tail:
    """One generation of a series, open.

    Attributes:
        path: Where it was last seen.
        stem: The series it belongs to.
        content: Its bytes.
        hint: Device and inode.
        compressed: It is a `.gz`; its offsets are those of the plain file.
        offset: Of the next byte to read.
        first_line: Of a compressed one that is not identified yet, once it was looked at.
        window: The bytes before that, `CHECK_BYTES` at most, as they were read.
        saved: The position that reading resumed from; its committed lines are skipped.
        claim: Its identity; None until its head is long enough to tell.
        live: Whether the series' path shows this file.
        rewritten: Whether what was read of it is not there any more: it is another file now.
        disk_bytes: How long it is on disk, as of the last look.
        seen_bytes: How long it was at the last look; if it is rewritten, at the one before. Of a
            compressed one 0 until it is identified.
        since: RFC 3339; events before it are skipped.
        most_bytes: What is longer is not the copy that it was taken for.
        after_gap: Whether generations before it may have come and gone unseen.
        after_cut: What was before it in this file is gone.
        newer: A newer file that was read before this one was found.
        shown: Whether a path of the series shows it.
        nameless: Whether it had no name any more at the last look.
        due_at: Monotonic time before which it is not read; None while nothing is in the way.
        busy: Whether it is read in a thread right now.
        copy_of: Key of the file that it is a copy of, and that has the key still; empty for none.
        copy_bytes: How long it was when that was seen last.
        was: Key of the file that it was before it was rewritten; empty for none.
        grown_at: Monotonic time when it was last seen to grow, or to change its name.
        behind_since: Monotonic time since when it has bytes that are not read; None if it has none.
    """

    def __init__(self, path: str, stem: str, *, limits: Limits, again: Tail | None = None) -> None:
        """Open a file.

        Args:
            path: Its path.
            stem: The series it belongs to.
            limits: How much is read at once.
            again: The same file, open: it is opened anew by that, whatever its path shows now.

        Raises:
            OSError: As the system says.
        """
        self.path, self.offset = path, 0
        self.saved: Position | None = None
        self.claim: Claim | None = None
        self.live = self.nameless = self.rewritten = False
        self.after_gap = self.after_cut = self.busy = self._overlong = False
        self.shown = True
        self.since = self.copy_of = self.was = ""
        self.newer: Tail | None = None
        self.most_bytes, self.copy_bytes = math.inf, 0
        self.due_at: float | None = None
        self.grown_at = time.monotonic()
        self.behind_since: float | None = self.grown_at
        self.stem = stem
        self._limits = limits
        self.compressed = path.endswith(".gz")
        self._fd: int
        descriptor = None if again is None else again._fd  # noqa: SLF001  # its own class
        self._fd, status, self.content = opened(path, again=descriptor)
        self.hint = (status.st_dev, status.st_ino)
        self.disk_bytes = status.st_size
        self.seen_bytes = 0 if self.compressed else self.disk_bytes
        self._skip, self._head = (0, ""), (0, b"")
        self._tried, self._written_ns = (-1, 0), 0
        self._ahead = Ahead(self.content, block_bytes=limits.block_bytes)
        self.window = self.first_line = b""

    def close(self) -> None:
        """Close the file; that of one that was deleted is not waited for."""
        (close_soon if self.nameless else close)(self._fd)

    def renamed(self) -> None:
        """Take note that it is live no more: its writer goes on until it reopens."""
        self.grown_at = time.monotonic()

    def delay(self, secs: float) -> None:
        """Do not read it for so long."""
        self.due_at = time.monotonic() + secs

    # -- looking

    def has_changed(self) -> bool:
        """Look at size and time of the file; tells whether they were others at the last `update`.

        The time tells of one that was truncated and written again to just the size that it had.
        """
        status = os.fstat(self._fd)
        size, self._written_ns = status.st_size, status.st_mtime_ns
        self.nameless = status.st_nlink == 0
        if size != self.disk_bytes:
            self.rewritten |= size < self.disk_bytes and not self.compressed
            self.disk_bytes = size
            self.grown_at = time.monotonic()
            if self.behind_since is None:
                self.behind_since = self.grown_at
        return self._tried != (size, self._written_ns)

    def update(self, *, reads: bool = True) -> bool:
        """Look at it, and if it `reads` take note; False if what was read is not there any more."""
        if self.has_changed():
            self._tried = (self.disk_bytes, self._written_ns) if reads else self._tried
            self.rewritten |= not (self.compressed or self._is_as_it_was())
        if not (self.rewritten or self.compressed):
            self.seen_bytes = self.disk_bytes
        return not self.rewritten

    def signature(self) -> Signature:
        """Return which file it is, and how long; of one that cannot be looked at, as it was.

        The time of the last write is left out then.
        """
        try:
            status = os.fstat(self._fd)
        except OSError:
            return (*self.hint, self.disk_bytes, 0)
        return (*self.hint, status.st_size, status.st_mtime_ns)

    @property
    def deleted(self) -> bool:
        """Whether the file has no name any more."""
        try:
            return os.fstat(self._fd).st_nlink == 0
        except OSError:  # as a network file system says of one
            return True

    @property
    def unread_bytes(self) -> int:
        """Bytes behind the offset, as of the last look; none of a compressed file without a key."""
        return max(0, (self.seen_bytes if self.compressed else self.disk_bytes) - self.offset)

    @property
    def is_read_out(self) -> bool:
        """Whether its end was read, as a new look shows."""
        return not self.has_changed() and self.due_at is None and not self.unread_bytes

    @property
    def size(self) -> tuple[int, int]:
        """The descriptor, and the size on disk at the last look before reading."""
        return self._fd, self._tried[0]

    @property
    def next_bytes(self) -> tuple[int, range]:
        """The descriptor, and the offsets of what is read next."""
        start = max(self.offset, self._skip[0], self._ahead.reached)
        blocks = SEARCHED_BLOCKS if self._overlong or self._ahead.under_way else 1
        end = min(self.disk_bytes, start + blocks * self._limits.block_bytes)
        return self._fd, range(start, end)

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
        """Whether a search far ahead in it has to go on."""
        return self._ahead.under_way and self.due_at is None

    # -- reading

    def before(self, offset: int) -> bytes:
        """Return the up to `CHECK_BYTES` bytes before an offset."""
        start = max(0, offset - CHECK_BYTES)
        return self.content.read_at(start, offset - start)

    def first_data(self) -> int:
        """Return the offset of the first byte that is not NUL; -1 if none is found yet."""
        return 0 if self.content.read_at(0, 1) != b"\0" else self._ahead.data(0)

    def resume(self, claim: Claim, *, held: bool, head: tuple[int, bytes] = (0, b"")) -> None:
        """Go on as the file that this is.

        Args:
            claim: Which file.
            head: By what it was identified, and where that is.
            held: The parts of its lines that wait for their ends are still in memory.
        """
        self.claim, self.since, self.copy_of = claim, claim.since, ""
        self._head = head
        position = claim.position
        if position is None:
            return
        self.saved = position
        self.offset = position.end if held else position.resume
        if self.ends_before(position):  # a copy, made before the last of it was written
            self.offset = min(self.offset, self.content.end())
            self.most_bytes = math.inf if is_of_runtime(head[1]) else self.disk_bytes
        self.window = self.before(self.offset)

    def _is_as_it_was(self) -> bool:
        """Tell whether what was seen of it last is there: its head, or what was read last."""
        if self.disk_bytes > self.most_bytes:
            return False
        if self.offset <= self._head[0]:  # a hole before that is like any other
            return self.content.read_at(self._head[0], len(self._head[1])) == self._head[1]
        return self.before(self.offset) == self.window

    def skip(self, end: int, why: str) -> None:
        """Let what is before an offset become no document."""
        self._skip = (end, why)

    def ends_before(self, position: Position) -> bool:
        """Tell whether there are fewer bytes than had been read up to a position."""
        return (self.content.end() if self.compressed else self.disk_bytes) < position.end

    def read(self, most_bytes: int = sys.maxsize) -> Block | None:
        """Return the next whole lines, or one line of more bytes; None if there are none (yet)."""
        size, longest = min(self._limits.block_bytes, most_bytes), self._limits.max_line_bytes
        if self._skip[0] > self.offset:
            end, why = self._skip
            return self._advance(Block(self.offset, b"", end - self.offset, skipped=why))
        if self._overlong:
            return self._cut()
        data = self.content.read_at(self.offset, size)
        if data.startswith(b"\0"):
            return self._hole()
        end = data.rfind(b"\n") + 1
        while not end and len(data) == size <= longest:
            size = min(4 * size, longest + 1)
            data = self.content.read_at(self.offset, size)
            end = data.find(b"\n") + 1
        if not end and len(data) > longest:
            self._overlong, self._ahead.reached = True, self.offset + len(data)
            return self._cut()
        return self._advance(Block(self.offset, data[:end], end)) if end else None

    def read_rest(self) -> Block | None:
        """Return what follows the last newline of a file that is not written any more."""
        data = self.content.read_at(self.offset, self._limits.max_line_bytes + 1)
        if self._skip[0] > self.offset or data.startswith(b"\0"):
            rest = Block(self.offset, b"", self.content.end() - self.offset, skipped=HOLE)
            return self.read() or (None if self.scanning else self._advance(rest))
        if len(data) > self._limits.max_line_bytes:
            size = self.content.end() - self.offset
            head = data[: self._limits.max_line_bytes]
            return self._advance(Block(self.offset, head, size, cut=True))
        return self._advance(Block(self.offset, data, len(data))) if data else None

    def _cut(self) -> Block | None:
        """Search for the end of a line that is too long; None until it is found."""
        end = self._ahead.newline()
        if not end:
            return None
        self._overlong = False
        head = self.content.read_at(self.offset, self._limits.max_line_bytes)
        return self._advance(Block(self.offset, head, end - self.offset, cut=True))

    def _hole(self) -> Block | None:
        """Search for what follows bytes that were never written; None until it is found."""
        end = self._ahead.data(self.offset)
        if end < 0:
            return None
        return self._advance(Block(self.offset, b"", end - self.offset, skipped=HOLE))

    def _advance(self, block: Block) -> Block:
        self.offset = block.end
        self._head = self._head if block.end <= self._head[0] else (0, b"")
        self.seen_bytes = max(self.seen_bytes, block.end)
        if not self.compressed:
            self.disk_bytes = self.seen_bytes = max(self.disk_bytes, block.end)
        if block.cut or block.skipped:
            self.window = self.before(block.end)
        elif len(block.data) >= CHECK_BYTES:
            self.window = block.data[-CHECK_BYTES:]
        else:
            self.window = (self.window + block.data)[-CHECK_BYTES:]
        return block
