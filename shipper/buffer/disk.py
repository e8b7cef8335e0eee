"""The file operations that the buffer's durability rests on, one method each.

A seam: the power-loss test puts a disk in its place that forgets what was not synced. Nothing here
decides anything.
"""

from __future__ import annotations

import os
from pathlib import Path


class Disk:
    """The real disk. Every method raises OSError as the system call does."""

    def create(self, path: Path) -> int:
        """Create a file, readable by its owner only, and return its descriptor."""
        return os.open(path, os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_CLOEXEC, 0o600)

    def write(self, descriptor: int, data: bytes) -> None:
        """Write all of `data`."""
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]

    def sync(self, descriptor: int) -> None:
        """Make a file's content survive a loss of power."""
        os.fdatasync(descriptor) if hasattr(os, "fdatasync") else os.fsync(descriptor)

    def close(self, descriptor: int) -> None:
        """Close a descriptor."""
        os.close(descriptor)

    def rename(self, old: Path, new: Path) -> None:
        """Rename a file within its directory."""
        os.rename(old, new)  # noqa: PTH104  # the call itself is the seam

    def sync_directory(self, path: Path) -> None:
        """Make a directory's names survive a loss of power."""
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def unlink(self, path: Path) -> None:
        """Remove a file; one that is gone is fine."""
        path.unlink(missing_ok=True)
