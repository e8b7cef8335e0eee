"""The bytes of a log file at an offset, whether it lies there as it is or compressed.

Does not know: lines, positions, who closes the file.
"""

from __future__ import annotations

import errno
import gzip
import os
import zlib
from collections.abc import Iterable

from shipper.source.threads import close

_STEP_BYTES = 1 << 20
_WINDOW_BYTES = 1_024
"""How much a survey keeps of each place: as much as a file is identified by."""


class Plain:
    """The bytes of a file as it is."""

    def __init__(self, fd: int) -> None:
        """Read from an open file, which stays the caller's."""
        self._fd = fd

    def whole(self) -> bool:
        """Tell whether the end of the file is there."""
        return True

    def end(self) -> int:
        """Return how many bytes there are."""
        return os.fstat(self._fd).st_size

    def stated_end(self) -> int:
        """Return how many bytes there are."""
        return self.end()

    def next_data(self, offset: int) -> int:
        """Return where the disk has data, from an offset on: before that are NULs alone."""
        try:
            return os.lseek(self._fd, offset, os.SEEK_DATA)
        except OSError as error:
            return self.end() if error.errno == errno.ENXIO else offset  # no more | it cannot tell

    def survey(self, ends: Iterable[int]) -> None:
        """Nothing here takes long."""

    def stop(self) -> None:
        """Nothing here takes long."""

    def read_at(self, offset: int, size: int) -> bytes:
        """Return up to `size` bytes, fewer only at the end.

        Raises:
            OSError: As the system says, also of what is behind the bytes that can be read.
        """
        data = os.pread(self._fd, size, offset) if size else b""
        while data and len(data) < size:
            more = os.pread(self._fd, size - len(data), offset + len(data))
            if not more:
                break
            data += more
        return data


class Gzip:
    """The bytes that a compressed file holds.

    Going back reads it from its beginning again, so what was returned last is kept: the next block
    begins inside it, behind its last newline. What it takes to find out which file it is comes from
    one reading of all of it, a `survey`.
    """

    def __init__(self, fd: int) -> None:
        """Read from an open file, which stays the caller's."""
        self._fd = fd
        self._ended = self._stopped = False
        self._start, self._kept = 0, b""
        self._file = self._opened()
        self._disk_bytes = -1  # when it was surveyed
        self._end, self._whole = 0, False
        self._windows: dict[int, bytes] = {}

    def whole(self) -> bool:
        """Tell whether the end of the file was there when it was surveyed, which is now if never.

        Raises:
            OSError: It is no gzip file, or a broken one.
        """
        self.end()
        return self._whole

    def end(self) -> int:
        """Return how many bytes there were when it was surveyed, which is now if never.

        Raises:
            OSError: It is no gzip file, or a broken one.
        """
        if self._disk_bytes < 0:
            self.survey(())
        return self._end

    def survey(self, ends: Iterable[int]) -> None:
        """Read all of it, and keep its beginning, and what lies before its end and these offsets.

        Raises:
            OSError: It is no gzip file, or a broken one.
        """
        self._windows, self._disk_bytes = {}, -1
        disk_bytes, offset, seen = os.fstat(self._fd).st_size, 0, b""
        starts, windows = {max(0, end - _WINDOW_BYTES) for end in ends} | {0}, {}
        while not self._stopped and (data := self.read_at(offset, _STEP_BYTES)):
            seen = seen[-_WINDOW_BYTES:] + data
            offset += len(data)
            first = offset - len(seen)
            for start in starts:
                if first <= start < offset:
                    windows[start] = seen[start - first :][:_WINDOW_BYTES]
        if self._stopped:
            return
        self._end, self._whole, self._disk_bytes = offset, self._ended, disk_bytes
        windows[max(0, offset - _WINDOW_BYTES)] = seen[-_WINDOW_BYTES:]
        full = {start: data for start, data in windows.items() if len(data) == _WINDOW_BYTES}
        self._windows = windows if self._whole else full

    def stated_end(self) -> int:
        """Return how many bytes there are if its last four are to be believed.

        They are where it is whole, was compressed at once, and is of less than 4 GiB.
        """
        last = os.pread(self._fd, 4, max(0, os.fstat(self._fd).st_size - 4))
        return int.from_bytes(last, "little")

    def next_data(self, offset: int) -> int:
        """Return the offset: nobody knows what is behind it."""
        return offset

    def stop(self) -> None:
        """Let `end` and `whole`, which run in another thread, give up."""
        self._stopped = True

    def read_at(self, offset: int, size: int) -> bytes:
        """Return up to `size` bytes, fewer only at the end, and where the file breaks off.

        Raises:
            OSError: It is no gzip file, or a broken one.
        """
        window = self._windows.get(offset)
        if window is not None and size <= _WINDOW_BYTES:
            return window[:size]
        if offset >= self._end and self._disk_bytes == os.fstat(self._fd).st_size and self._whole:
            return b""
        self._ended = False
        kept = self._kept[max(0, offset - self._start) :] if offset >= self._start else b""
        try:
            if self._file.tell() != offset + len(kept):
                self._file.seek(offset + len(kept))
            data = kept + self._read_on(size - len(kept))
        except EOFError:  # its end is not written yet
            data, self._file = kept, self._opened()
        except (gzip.BadGzipFile, zlib.error) as error:
            self._file = self._opened()
            raise OSError(f"not a gzip file: {error}") from error
        self._start, self._kept = offset, data
        return data[:size]

    def _read_on(self, size: int) -> bytes:
        pieces = []
        try:
            while size > 0 and (piece := self._file.read1(size)):
                pieces.append(piece)
                size -= len(piece)
            self._ended = size > 0
        except EOFError:
            self._file = self._opened()
        return b"".join(pieces)

    def _opened(self) -> gzip.GzipFile:
        """Begin anew: one that has met a header without its end never finds back."""
        os.lseek(self._fd, 0, os.SEEK_SET)
        return gzip.GzipFile(fileobj=os.fdopen(self._fd, "rb", closefd=False))


def opened(path: str, *, again: int | None = None) -> tuple[int, os.stat_result, Plain | Gzip]:
    """Open a file; returns its descriptor, what the system knows of it, and its bytes.

    Args:
        path: Its path.
        again: A descriptor of the same file: it is opened by that, whatever its path shows now.

    Raises:
        OSError: As the system says; nothing is left open then: it is tried again and again.
    """
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
    fd = os.open(path, flags) if again is None else os.dup(again)
    try:
        return fd, os.fstat(fd), Gzip(fd) if path.endswith(".gz") else Plain(fd)
    except OSError:
        close(fd)
        raise
