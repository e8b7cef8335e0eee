"""How much the buffer may hold: allocated disk blocks, number of chunks, free share of the disk.

Whichever limit is reached first stops reading; nothing is ever thrown away for a limit. Before each
there is a reserve. Noisy series stop at its beginning, so that quiet ones go on when a noisy one
has filled the buffer; files that exist only in an open descriptor any more may use half of it.
"""

from __future__ import annotations

import math
import os
from enum import Enum
from pathlib import Path

from shipper.config import BufferConfig

_BLOCK_BYTES = 512
"""Unit of st_blocks on every system, whatever the file system's own block is (POSIX stat)."""
_RESERVE = 8
"""The reserve is this part of each limit: 128 MiB of the default."""
_CHUNK_SHRINKS = 4
"""A chunk's file is at most about this part of its body. A reserve that one chunk of a noisy series
could fill were none."""
_DISK_RESERVE = 32
"""The reserve is at most this part of the disk, where the disk is what there is little of."""


class Need(Enum):
    """Who asks for space; the value is the part of the reserve that is kept from it."""

    NOISY = 1.0
    DELETED = 0.5
    QUIET = 0.0


class Quota:
    """The space that chunks take, held against the limits."""

    def __init__(self, directory: Path, limits: BufferConfig) -> None:
        """Start with no chunk counted."""
        self._directory = directory
        self._limits = limits
        self._allocated: dict[str, int] = {}
        self.used_bytes = 0

    def add(self, name: str) -> None:
        """Count a chunk file."""
        size = (self._directory / name).stat().st_blocks * _BLOCK_BYTES
        self.used_bytes += size - self._allocated.get(name, 0)
        self._allocated[name] = size

    def remove(self, name: str) -> None:
        """Count a chunk file no more."""
        self.used_bytes -= self._allocated.pop(name, 0)

    def exceeded(self, need: Need = Need.QUIET) -> str:
        """Return which limit stops reading, in words; empty if none does."""
        limits = self._limits
        but = " but for its reserve" if need is not Need.QUIET else ""
        reserve_bytes = int(self._reserve_bytes * need.value)
        if self.used_bytes >= limits.max_bytes - reserve_bytes:
            return f"buffer.max_bytes ({limits.max_bytes}) is reached{but}"
        reserve_chunks = math.ceil(limits.max_chunks / _RESERVE * need.value)
        if len(self._allocated) >= limits.max_chunks - reserve_chunks:
            return f"buffer.max_chunks ({limits.max_chunks}) is reached{but}"
        if not self._is_disk_free(need):
            # Without the figure: it moves all the time, and the reason would seem a new one.
            least = limits.min_free_percent
            return f"the disk is fuller than buffer.min_free_percent ({least:g}) allows{but}"
        return ""

    @property
    def _reserve_bytes(self) -> int:
        limits = self._limits
        sound = max(limits.max_bytes // _RESERVE, limits.chunk_bytes // _CHUNK_SHRINKS)
        return min(limits.max_bytes // 2, sound)

    def _is_disk_free(self, need: Need) -> bool:
        try:
            disk = os.statvfs(self._directory)
        except OSError:  # unmounted or gone: the next seal says so, and is tried again
            return False
        if not disk.f_blocks or not self._limits.min_free_percent:
            return True
        reserve = min(self._reserve_bytes / disk.f_frsize, disk.f_blocks / _DISK_RESERVE)
        least = disk.f_blocks * self._limits.min_free_percent / 100 + reserve * need.value
        return disk.f_bavail >= least
