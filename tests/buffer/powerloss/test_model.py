"""Tests of the test: each breaks one rule of the order of steps, and is found out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from shipper.buffer import chunk as chunks
from shipper.buffer import lanes, ledger, spool
from shipper.buffer.chunk import OpenChunk
from shipper.buffer.disk import Disk
from shipper.buffer.state import Totals
from shipper.model import Chunk, SavedFile
from tests.buffer.powerloss.disk import RecordingDisk
from tests.buffer.powerloss.model import (
    EVERYTHING,
    Append,
    MakeDisk,
    Seal,
    Ship,
    record,
    violation_after_start,
    with_pragma,
)


class DeafDisk(RecordingDisk):
    """A disk whose sync does nothing."""

    def sync(self, descriptor: int) -> None:
        pass


class ForgetfulDisk(RecordingDisk):
    """A disk whose directories are never synced."""

    def sync_directory(self, path: Path) -> None:
        pass


class HastyLedger(ledger.Ledger):
    """Commits a chunk, and writes its file then."""

    def write(self, full: OpenChunk, data: bytes) -> Chunk | None:
        sealed = super().write(full, data)
        if sealed is not None:
            self._disk.unlink(self.directory / sealed.name)
            self._late = data
        return sealed

    def seal(self, full: OpenChunk, sealed: Chunk | None) -> None:
        super().seal(full, sealed)
        if sealed is not None:
            chunks.write(self._disk, self.directory / sealed.name, data=self._late)


class SweepingLedger(ledger.Ledger):
    """Removes a shipped chunk's file before its row."""

    def replace(self, chunk: Chunk, parts: Sequence[Chunk], *, totals: Totals) -> None:
        self._disk.unlink(self.directory / chunk.name)
        super().replace(chunk, parts, totals=totals)


class EagerLedger(ledger.Ledger):
    """Commits positions before their chunk."""

    def write(self, full: OpenChunk, data: bytes) -> Chunk | None:
        self.state.seal(None, full.files.values(), totals=Totals())
        return super().write(full, data)


class SteppingLedger(ledger.Ledger):
    """Removes a chunk's row in one transaction and adds its parts in the next."""

    def replace(self, chunk: Chunk, parts: Sequence[Chunk], *, totals: Totals) -> None:
        super().replace(chunk, [], totals=totals)
        self.state.replace(chunk.name, parts, totals=Totals())


class RestlessLanes(lanes.Lanes):
    """Lets a series change its lane whenever it likes."""

    def of(self, stem: str, *, now: float) -> lanes.OpenLane:
        for lane in self._lanes:
            lane.stems.clear()
        return super().of(stem, now=now)

    def _holding(self, _file: SavedFile) -> None:
        return None


def _write_in_place(disk: Disk, path: Path, *, data: bytes) -> None:
    descriptor = disk.create(path)
    disk.write(descriptor, data)
    disk.close(descriptor)


@pytest.mark.parametrize("disk", [DeafDisk, ForgetfulDisk])
def test_a_disk_that_does_not_sync_is_found_out(tmp_path: Path, disk: MakeDisk) -> None:
    """The model notices a chunk file, or its name, that is not on the disk when its row is."""
    assert "I1" in violation_after_start(record(tmp_path / "run", EVERYTHING, disk=disk), tmp_path)


@pytest.mark.parametrize(
    ("broken", "invariant"),
    [(HastyLedger, "I1"), (SweepingLedger, "I1"), (EagerLedger, "I6"), (SteppingLedger, "I9")],
)
def test_a_wrong_order_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: type[ledger.Ledger], invariant: str
) -> None:
    """The model notices a step of the ledger that comes too early or in two parts."""
    monkeypatch.setattr(spool, "Ledger", broken)
    recording = record(tmp_path / "run", EVERYTHING)
    monkeypatch.undo()
    assert invariant in violation_after_start(recording, tmp_path)


def test_a_careless_change_of_lane_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model notices a position that is sealed before the lines that lie before it."""
    monkeypatch.setattr(spool, "Lanes", RestlessLanes)
    recording = record(tmp_path / "run", EVERYTHING)
    monkeypatch.undo()
    assert "I6" in violation_after_start(recording, tmp_path)


def test_a_careless_write_is_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The model notices a chunk file that is written in its place without a sync."""
    monkeypatch.setattr(chunks, "write", _write_in_place)
    recording = record(tmp_path / "run", EVERYTHING)
    monkeypatch.undo()
    assert "I1" in violation_after_start(recording, tmp_path)


def test_a_database_that_does_not_sync_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model notices that SQLite commits without a sync."""
    with_pragma(monkeypatch, "synchronous = OFF")
    recording = record(tmp_path / "run", [Append(5), Seal(), Ship(), Append(4), Seal(), Ship()] * 2)
    monkeypatch.undo()
    assert "I1" in violation_after_start(recording, tmp_path)
