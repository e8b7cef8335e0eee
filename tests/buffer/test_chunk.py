"""Chunks: what is added comes out as one gzip member, and a file is whole or not there."""

import gzip
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipper.buffer import chunk as chunks
from shipper.buffer.chunk import OpenChunk, Read
from shipper.buffer.disk import Disk
from shipper.model import Documents
from tests.buffer.running import body_of, read_of


@given(bodies=st.lists(st.binary(max_size=2_000), max_size=8))
def test_chunk_is_one_gzip_member(bodies: list[bytes]) -> None:
    """I8: what was added, in any pieces, comes out as one gzip member."""
    chunk = OpenChunk(0.0)
    for body in bodies:
        chunk.add(Read(Documents(body, 1), (), 0))
    data = chunk.finish()
    assert gzip.decompress(data) == chunks.decompress(data) == b"".join(bodies)
    assert chunk.body_bytes == sum(map(len, bodies))


def test_open_chunk_counts_what_it_brings() -> None:
    """I9: an open chunk sums up bytes read, chunked and dropped, and keeps the last position."""
    chunk = OpenChunk(0.0)
    chunk.add(read_of([1, 2], end=3, dropped=1))
    chunk.add(read_of([4], end=5, dropped=1))
    assert chunk.totals == {
        ("read_bytes", ""): 5,
        ("chunked_bytes", ""): 3,
        ("chunked", ""): 3,
        ("dropped_bytes", "rule"): 2,
    }
    assert [file.position.end for file in chunk.files.values()] == [5]
    assert chunk.documents == 3


@given(cut=st.integers(0, 10_000))
def test_cut_chunk_is_no_chunk(cut: int) -> None:
    """I8: a gzip member without its end is refused, wherever it was cut."""
    data = chunks.compress(body_of(range(50)))
    with pytest.raises(ValueError, match="gzip"):
        chunks.decompress(data[: cut % len(data)])


def test_body_is_taken_apart_and_put_together() -> None:
    """A body is the lines that it is taken apart into."""
    body = body_of([1, 2, 3])
    assert len(chunks.lines_of(body)) == 6
    assert chunks.join(chunks.lines_of(body)) == body
    assert chunks.lines_of(b"") == []


class FailingDisk(Disk):
    """A disk on which one call fails."""

    def __init__(self, failing: str) -> None:
        self._failing = failing

    def __getattribute__(self, name: str) -> object:
        if not name.startswith("_") and name == self._failing:
            raise OSError(28, "No space left on device")
        return super().__getattribute__(name)


@pytest.mark.parametrize("failing", ["create", "write", "sync", "rename", "sync_directory"])
def test_failed_write_leaves_no_file(tmp_path: Path, failing: str) -> None:
    """I1: whichever step of writing a chunk fails, neither it nor a part of it is left."""
    with pytest.raises(OSError, match="No space"):
        chunks.write(FailingDisk(failing), tmp_path / "a.ndjson.gz", data=b"x" * 100)
    assert list(tmp_path.iterdir()) == []
    assert not [fd for fd in Path("/dev/fd").iterdir() if _is_below(tmp_path, fd)]


def test_interrupted_writes_are_removed(tmp_path: Path) -> None:
    """What an interrupted seal left is removed, chunks and other files are not."""
    for name in ("a.ndjson.gz.tmp", "b.ndjson.gz", "c.broken"):
        (tmp_path / name).touch()
    chunks.remove_temporary(Disk(), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.ndjson.gz", "c.broken"]
    assert chunks.list_chunks(tmp_path) == ["b.ndjson.gz"]


def _is_below(directory: Path, descriptor: Path) -> bool:
    try:
        return str(directory) in str(descriptor.readlink())
    except OSError:
        return False
