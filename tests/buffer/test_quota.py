"""The limits of the buffer, each for itself."""

import os
from pathlib import Path

import pytest

from shipper.buffer.quota import Need, Quota
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


def test_reserve_is_for_quiet_series_and_half_of_it_for_deleted_files(tmp_path: Path) -> None:
    """Noisy series stop an eighth before a limit, files without a name half of that."""
    quota, stopped = Quota(tmp_path, settings(max_chunks=80)), dict[Need, int]()
    for number in range(80):
        stopped |= {need: number for need in Need if need not in stopped and quota.exceeded(need)}
        quota.add(_chunk(tmp_path, f"c{number}", 1))
    assert quota.exceeded(Need.QUIET) == "buffer.max_chunks (80) is reached"
    assert quota.exceeded(Need.NOISY) == "buffer.max_chunks (80) is reached but for its reserve"
    assert stopped == {Need.NOISY: 70, Need.DELETED: 75}


@pytest.mark.parametrize(
    ("max_bytes", "noisy_bytes"), [(1 << 20, 1 << 19), (8 << 20, 6 << 20), (64 << 20, 56 << 20)]
)
def test_reserve_is_more_than_a_chunk(tmp_path: Path, max_bytes: int, noisy_bytes: int) -> None:
    """A chunk of a noisy series that is sealed at the limit leaves something of the reserve."""
    quota = Quota(tmp_path, settings(max_bytes=max_bytes))
    quota.add(_chunk(tmp_path, "a", noisy_bytes - 8_192))
    assert quota.exceeded(Need.NOISY) == ""
    quota.add(_chunk(tmp_path, "b", 8_192))
    assert quota.exceeded(Need.NOISY)
    assert quota.exceeded(Need.DELETED) == ""


def test_reserve_of_a_small_disk_is_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a disk that is small beside max_bytes the reserve is a 32nd of it."""
    quota = Quota(tmp_path, settings(min_free_percent=15))
    fields = list(os.statvfs(tmp_path))
    monkeypatch.setattr(os, "statvfs", lambda _: os.statvfs_result(fields))
    fields[1], fields[2] = 4_096, 3_200  # f_frsize, f_blocks
    stops = {}
    for need in Need:
        for free in range(1_000, 0, -1):
            fields[4] = free
            if quota.exceeded(need):
                stops[need] = free
                break
    assert stops == {Need.NOISY: 579, Need.DELETED: 529, Need.QUIET: 479}
