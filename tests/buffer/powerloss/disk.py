"""The buffer's disk, recorded: it works on real files, and notes what it does in a journal.

Nothing is really synced, because the only power that fails here is that of the model.
"""

from __future__ import annotations

from pathlib import Path

from shipper.buffer.disk import Disk
from tests.buffer.powerloss.journal import Journal, Sync, SyncDirectory, Truncate, Write


class RecordingDisk(Disk):
    """Notes every operation in a journal."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self._open: dict[int, tuple[int, int]] = {}

    def create(self, path: Path) -> int:
        descriptor = super().create(path)
        file = self.journal.file(path)
        self.journal.add(Truncate(file, 0))
        self._open[descriptor] = (file, 0)
        return descriptor

    def write(self, descriptor: int, data: bytes) -> None:
        super().write(descriptor, data)
        file, offset = self._open[descriptor]
        self.journal.add(Write(file, offset, data))
        self._open[descriptor] = (file, offset + len(data))

    def sync(self, descriptor: int) -> None:
        self.journal.add(Sync(self._open[descriptor][0]))

    def rename(self, old: Path, new: Path) -> None:
        super().rename(old, new)
        self.journal.rename(old, new)

    def sync_directory(self, path: Path) -> None:
        self.journal.add(SyncDirectory(path))

    def unlink(self, path: Path) -> None:
        super().unlink(path)
        self.journal.unlink(path)
