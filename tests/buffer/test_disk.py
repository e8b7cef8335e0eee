"""The file operations of the buffer, on the real disk."""

import os
import stat
from pathlib import Path

import pytest

from shipper.buffer.disk import Disk


def test_file_is_written_and_renamed(tmp_path: Path) -> None:
    """A file is made, written in full, synced and renamed."""
    disk, data = Disk(), os.urandom(3 << 20)
    descriptor = disk.create(tmp_path / "a")
    disk.write(descriptor, data)
    disk.sync(descriptor)
    disk.close(descriptor)
    disk.rename(tmp_path / "a", tmp_path / "b")
    disk.sync_directory(tmp_path)
    assert (tmp_path / "b").read_bytes() == data
    assert not (tmp_path / "a").exists()


def test_write_goes_on_after_a_part() -> None:
    """All bytes are written where the system takes a part at a time."""
    reading, writing = os.pipe()
    try:
        os.set_blocking(reading, False)
        Disk().write(writing, b"x" * 60_000)
        assert len(os.read(reading, 100_000)) == 60_000
    finally:
        os.close(reading)
        os.close(writing)


def test_file_is_its_owners_alone(tmp_path: Path) -> None:
    """A file can be read by its owner only, and is cut if it is there already."""
    (tmp_path / "a").write_bytes(b"before")
    os.close(Disk().create(tmp_path / "a"))
    os.close(Disk().create(tmp_path / "b"))
    assert (tmp_path / "a").read_bytes() == b""
    assert stat.S_IMODE((tmp_path / "b").stat().st_mode) == 0o600


def test_file_that_is_gone_is_removed(tmp_path: Path) -> None:
    """To remove a file twice is fine."""
    (tmp_path / "a").touch()
    Disk().unlink(tmp_path / "a")
    Disk().unlink(tmp_path / "a")
    assert list(tmp_path.iterdir()) == []


def test_faults_are_raised(tmp_path: Path) -> None:
    """What the system refuses is raised as it says."""
    with pytest.raises(FileNotFoundError):
        Disk().sync_directory(tmp_path / "missing")
    with pytest.raises(FileNotFoundError):
        Disk().rename(tmp_path / "missing", tmp_path / "b")
