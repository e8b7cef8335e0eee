"""The bytes of a log file at an offset, whether it lies there as it is or compressed.

Does not know: lines, positions, who closes the file.
"""

from __future__ import annotations

import gzip
import os
import zlib

_STEP_BYTES = 1 << 20


class Plain:
    """The bytes of a file as it is."""

    def __init__(self, fd: int) -> None:
        """Read from an open file, which stays the caller's."""
        self._fd = fd

    def whole(self) -> bool:
        """Tell whether the end of the file is there."""
        return True

    def read_at(self, offset: int, size: int) -> bytes:
        """Return up to `size` bytes, fewer only at the end."""
        return os.pread(self._fd, size, offset) if size else b""


class Gzip:
    """The bytes that a compressed file holds; going back reads it from its beginning again."""

    def __init__(self, fd: int) -> None:
        """Read from an open file, which stays the caller's."""
        self._ended = False
        self._file = gzip.GzipFile(fileobj=os.fdopen(fd, "rb", closefd=False))

    def whole(self) -> bool:
        """Tell whether the end of the compressed file is there, by reading all of it.

        Raises:
            OSError: It is no gzip file, or a broken one.
        """
        offset = 0
        while data := self.read_at(offset, _STEP_BYTES):
            offset += len(data)
        return self._ended

    def read_at(self, offset: int, size: int) -> bytes:
        """Return up to `size` bytes, fewer only at the end, and where the file breaks off.

        Raises:
            OSError: It is no gzip file, or a broken one.
        """
        self._ended = False
        pieces = []
        try:
            self._file.seek(offset)
            while size and (piece := self._file.read1(size)):
                pieces.append(piece)
                size -= len(piece)
            self._ended = size > 0
        except EOFError:  # its end is not written yet
            pass
        except (gzip.BadGzipFile, zlib.error) as error:
            raise OSError(f"not a gzip file: {error}") from error
        return b"".join(pieces)
