"""What is found at start: chunk files against rows (I1)."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from shipper.buffer import chunk as chunks
from shipper.buffer.adopt import adopt
from shipper.buffer.disk import Disk
from shipper.buffer.state import State, Totals
from shipper.model import Chunk
from tests.buffer.running import body_of

DATA = chunks.compress(body_of(range(4)))


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    """A database beside the chunk directory."""
    database = State(tmp_path / "state.db")
    yield database
    database.close()


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """The chunk directory."""
    path = tmp_path / "chunks"
    path.mkdir()
    return path


def _own(state: State, number: int = 1) -> str:
    return f"{state.database_id}-{number:020d}{chunks.SUFFIX}"


def _with_row(state: State, name: str, size: int = len(DATA)) -> Chunk:
    chunk = Chunk(name, 4, len(body_of(range(4))), size, 4, 1.0)
    state.seal(chunk, [], totals=Totals({("chunked", ""): 4}))
    return chunk


def test_whole_chunk_is_ready(state: State, directory: Path) -> None:
    """A chunk with a row and a whole file is shipped as it is."""
    chunk = _with_row(state, _own(state))
    (directory / chunk.name).write_bytes(DATA)
    found = adopt(state, Disk(), directory=directory)
    assert (found.ready, found.adopted, found.lost) == ([chunk], [], [])
    assert state.chunks() == [chunk]


def test_uncommitted_chunk_is_deleted(state: State, directory: Path) -> None:
    """I1: a file of this database without a row is deleted: its lines are read again."""
    (directory / _own(state)).write_bytes(DATA)
    (directory / (_own(state, 2) + ".tmp")).write_bytes(DATA[:10])
    found = adopt(state, Disk(), directory=directory)
    assert (found.ready, found.adopted, found.lost) == ([], [], [])
    assert list(directory.iterdir()) == []


def test_vanished_chunk_is_counted_as_lost(
    state: State, directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """I1: a row without a file is removed, its documents counted as lost, and reported."""
    chunk = _with_row(state, _own(state))
    found = adopt(state, Disk(), directory=directory)
    assert found.lost == [chunk]
    assert state.chunks() == []
    assert state.totals()["lost_documents", ""] == 4
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert "4 documents are lost" in caplog.text
    assert adopt(state, Disk(), directory=directory).lost == []


def test_changed_chunk_is_lost_and_kept_aside(state: State, directory: Path) -> None:
    """A file of another size than its row says is not shipped, but kept for a look."""
    chunk = _with_row(state, _own(state), size=len(DATA) + 1)
    (directory / chunk.name).write_bytes(DATA)
    assert adopt(state, Disk(), directory=directory).lost == [chunk]
    assert (directory / f"{chunk.name}.broken").read_bytes() == DATA
    assert adopt(state, Disk(), directory=directory).lost == []


def test_chunk_of_another_database_is_adopted(state: State, directory: Path) -> None:
    """I1: a whole file of another database gets a row, its documents count as chunked."""
    name = f"{'0' * 8}-{1:020d}{chunks.SUFFIX}"
    (directory / name).write_bytes(DATA)
    (adopted,) = adopt(state, Disk(), directory=directory).adopted
    assert (adopted.name, adopted.documents, adopted.file_bytes) == (name, 4, len(DATA))
    assert adopted.body_bytes == len(body_of(range(4)))
    assert state.totals() == {("chunked", ""): 4}
    again = adopt(state, Disk(), directory=directory)
    assert (again.ready, again.adopted) == ([adopted], [])
    assert state.totals() == {("chunked", ""): 4}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no gzip",
        DATA[:-1],
        chunks.compress(b""),
        chunks.compress(b'{"create":{}}\n'),
        chunks.compress(b'{"create":{}}\n{}\n{"create":{}}\n'),
    ],
    ids=["empty", "no gzip", "cut", "no document", "half a document", "one and a half"],
)
def test_broken_chunk_of_another_database_is_set_aside(
    state: State, directory: Path, data: bytes
) -> None:
    """I8: what is no chunk is not shipped, whatever its name, but kept for a look."""
    (directory / "other.ndjson.gz").write_bytes(data)
    found = adopt(state, Disk(), directory=directory)
    assert (found.ready, found.adopted, found.lost) == ([], [], [])
    assert (directory / "other.ndjson.gz.broken").read_bytes() == data
    assert state.chunks() == []


def test_id_that_begins_alike_is_another_database(state: State, directory: Path) -> None:
    """A file whose database's id begins like this one's is adopted, not deleted."""
    name = f"{state.database_id}0-{1:020d}{chunks.SUFFIX}"
    (directory / name).write_bytes(DATA)
    assert [chunk.name for chunk in adopt(state, Disk(), directory=directory).adopted] == [name]
