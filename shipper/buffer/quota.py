"""How much the buffer may hold: allocated disk blocks, number of chunks, free share of the disk.

Whichever limit is reached first stops reading; nothing is ever thrown away for a limit.
"""

from __future__ import annotations

import os
from pathlib import Path

from shipper.config import BufferConfig

_BLOCK_BYTES = 512
"""Unit of st_blocks on every system, whatever the file system's own block is (POSIX stat)."""


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

    def exceeded(self) -> str:
        """Return which limit stops reading, in words; empty if none does."""
        limits = self._limits
        if self.used_bytes >= limits.max_bytes:
            return f"buffer.max_bytes ({limits.max_bytes}) is reached"
        if len(self._allocated) >= limits.max_chunks:
            return f"buffer.max_chunks ({limits.max_chunks}) is reached"
        if self._free_percent() < limits.min_free_percent:
            # Without the figure: it moves all the time, and the reason would seem a new one.
            least = limits.min_free_percent
            return f"the disk is fuller than buffer.min_free_percent ({least:g}) allows"
        return ""

    def _free_percent(self) -> float:
        try:
            disk = os.statvfs(self._directory)
        except OSError:  # unmounted or gone: the next seal says so, and is tried again
            return 0.0
        return 100 * disk.f_bavail / disk.f_blocks if disk.f_blocks else 100.0
