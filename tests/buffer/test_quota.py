"""The limits of the buffer, each for itself."""

import os
from pathlib import Path

import pytest

from shipper.buffer.quota import Quota
from tests.buffer.running import settings


def _chunk(directory: Path, name: str, size: int) -> str:
    (directory / name).write_bytes(os.urandom(size))
    return name


def test_allocated_blocks_are_counted(tmp_path: Path) -> None:
    """A chunk counts with the blocks that it takes on the disk, not with its length."""
    quota = Quota(tmp_path, settings())
    quota.add(_chunk(tmp_path, "small", 1))
    assert quota.used_bytes == (tmp_path / "small").stat().st_blocks * 512 > 1
    with (tmp_path / "hole").open("wb") as file:
        file.truncate(50 << 20)
    quota.add("hole")
    assert quota.used_bytes < 1 << 20


def test_chunk_counts_once(tmp_path: Path) -> None:
    """A chunk that is added twice, or removed twice, counts once."""
    quota = Quota(tmp_path, settings())
    quota.add(_chunk(tmp_path, "a", 10_000))
    once = quota.used_bytes
    quota.add("a")
    assert quota.used_bytes == once
    quota.remove("a")
    quota.remove("a")
    assert quota.used_bytes == 0


def test_bytes_are_limited(tmp_path: Path) -> None:
    """Reading stops at max_bytes, and goes on when a chunk is gone."""
    quota = Quota(tmp_path, settings(max_bytes=1 << 20))
    quota.add(_chunk(tmp_path, "a", 600_000))
    assert quota.exceeded() == ""
    quota.add(_chunk(tmp_path, "b", 600_000))
    assert quota.exceeded() == "buffer.max_bytes (1048576) is reached"
    quota.remove("a")
    assert quota.exceeded() == ""


def test_chunks_are_limited(tmp_path: Path) -> None:
    """Reading stops at max_chunks, however small they are."""
    quota = Quota(tmp_path, settings(max_chunks=8))
    for number in range(8):
        assert quota.exceeded() == ""
        quota.add(_chunk(tmp_path, f"c{number}", 1))
    assert quota.exceeded() == "buffer.max_chunks (8) is reached"


def test_free_share_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading stops while the disk has less free than min_free_percent, whoever filled it."""
    quota = Quota(tmp_path, settings(min_free_percent=15))
    real = os.statvfs(tmp_path)
    for free, why in (
        (14, "the disk is fuller than buffer.min_free_percent (15) allows"),
        (15, ""),
    ):
        fields = list(real)
        fields[2], fields[4] = 100, free  # f_blocks, f_bavail
        monkeypatch.setattr(os, "statvfs", lambda _, fields=fields: os.statvfs_result(fields))
        assert quota.exceeded() == why


def test_disk_without_a_size_is_no_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that does not say its size stops nothing."""
    fields = list(os.statvfs(tmp_path))
    fields[2] = fields[4] = 0
    monkeypatch.setattr(os, "statvfs", lambda _: os.statvfs_result(fields))
    assert Quota(tmp_path, settings(min_free_percent=15)).exceeded() == ""
