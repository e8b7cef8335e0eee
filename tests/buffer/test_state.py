"""state.db: what is committed together, what is refused, what a damaged one becomes."""

import random
import sqlite3
import stat
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipper.buffer.schema import SCHEMA_VERSION, read_only
from shipper.buffer.state import State
from shipper.errors import DiskFault, StateError
from shipper.model import Chunk, Position, SavedFile

FILE = SavedFile("key", "hash", "/log", 1, 2, Position(10, {"stdout": 7}, "check"))


def _chunk(name: str, *, sealed_at: float = 1.0, documents: int = 3) -> Chunk:
    return Chunk(name, documents, 100, 50, 90, sealed_at)


def _totals(**counts: int) -> Counter[tuple[str, str]]:
    return Counter({(name, ""): count for name, count in counts.items()})


def test_chunk_and_positions_move_together(tmp_path: Path) -> None:
    """I1: a chunk's row, its files' positions and its totals are all there, or none is."""
    state = State(tmp_path / "state.db")
    state.seal(_chunk("a"), [FILE], totals=_totals(chunked=3))
    with pytest.raises(sqlite3.IntegrityError):
        state.seal(_chunk("a"), [FILE.at(Position(99))], totals=_totals(chunked=3))
    state.close()
    state = State(tmp_path / "state.db")
    assert state.chunks() == [_chunk("a")]
    assert state.files() == [FILE]
    assert state.totals() == _totals(chunked=3)
    state.close()


def test_positions_move_alone(tmp_path: Path) -> None:
    """I3: positions move without a chunk where every line was dropped."""
    state = State(tmp_path / "state.db")
    state.seal(None, [FILE], totals=Counter({("dropped_bytes", "rule"): 10}))
    state.seal(None, [FILE.at(Position(20))], totals=Counter({("dropped_bytes", "rule"): 10}))
    assert state.chunks() == []
    assert state.files() == [FILE.at(Position(20))]
    assert state.totals() == {("dropped_bytes", "rule"): 20}
    state.close()


def test_chunk_is_replaced_at_once(tmp_path: Path) -> None:
    """I2: a chunk leaves and its parts come in one transaction, or nothing happens."""
    state = State(tmp_path / "state.db")
    state.seal(_chunk("a"), [], totals=_totals(chunked=3))
    state.seal(_chunk("b"), [], totals=_totals(chunked=3))
    with pytest.raises(sqlite3.IntegrityError):
        state.replace("a", [_chunk("c"), _chunk("b")], totals=_totals(delivered=1))
    assert [chunk.name for chunk in state.chunks()] == ["a", "b"]
    state.replace("a", [_chunk("c"), _chunk("d")], totals=_totals(delivered=1))
    assert [chunk.name for chunk in state.chunks()] == ["b", "c", "d"]
    assert state.totals() == _totals(chunked=6, delivered=1)
    state.close()


def test_chunks_come_in_the_order_of_their_commits(tmp_path: Path) -> None:
    """Chunks are listed oldest first also where the clock jumped back."""
    state = State(tmp_path / "state.db")
    for name, sealed_at in (("c", 300.0), ("a", 100.0), ("b", 200.0)):
        state.seal(_chunk(name, sealed_at=sealed_at), [], totals=Counter())
    assert [chunk.name for chunk in state.chunks()] == ["c", "a", "b"]
    state.close()


def test_newer_schema_is_refused(tmp_path: Path) -> None:
    """A database of a newer shipper is refused with status 3, what to do, and not touched."""
    path = tmp_path / "state.db"
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE other (x)")
        db.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    db.close()
    before = path.read_bytes()
    with pytest.raises(StateError, match="newer shipper") as refused:
        State(path)
    assert refused.value.exit_status == 3
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["state.db"]


def test_unusable_place_is_refused(tmp_path: Path) -> None:
    """A database that cannot be opened is a fault with status 3, not a reason to start anew."""
    (tmp_path / "state.db").mkdir()
    with pytest.raises(StateError, match="cannot be opened"):
        State(tmp_path / "state.db")
    assert (tmp_path / "state.db").is_dir()


@pytest.mark.parametrize("damage", [b"no database at all", b"SQLite format 3\0" + b"x" * 5_000])
def test_damaged_database_is_set_aside(tmp_path: Path, damage: bytes) -> None:
    """What is no database is kept under another name, and a new one begun."""
    (tmp_path / "state.db").write_bytes(damage)
    (tmp_path / "state.db-wal").write_bytes(b"log")
    state = State(tmp_path / "state.db")
    assert state.set_aside is not None
    assert state.set_aside.read_bytes() == damage
    assert state.chunks() == []
    assert state.files() == []
    state.close()


@given(seed=st.integers(0, 1 << 20))
def test_any_damage_is_found_or_harmless(
    tmp_path_factory: pytest.TempPathFactory, seed: int
) -> None:
    """A database with flipped bytes is opened as it is or set aside, and never stops the start."""
    path, chance = tmp_path_factory.mktemp("state") / "state.db", random.Random(seed)
    state = State(path)
    for number in range(40):
        state.seal(_chunk(f"c{number}"), [FILE], totals=_totals(chunked=3))
    state.close()
    data = bytearray(path.read_bytes())
    page = chance.randrange(len(data) // 4096) * 4096
    for _ in range(30):
        data[page + chance.randrange(100)] = chance.randrange(256)
    path.write_bytes(data)
    try:
        state = State(path)
    except StateError as refused:  # the flipped bytes were its version
        assert "newer shipper" in str(refused)  # noqa: PT017  # one of two good ends
        return
    state.close()


def test_new_database_has_an_id_of_its_own(tmp_path: Path) -> None:
    """Each database has its own random id, which stays."""
    first, second = State(tmp_path / "a.db"), State(tmp_path / "b.db")
    assert first.database_id != second.database_id
    assert len(first.database_id) == 8
    assert first.meta("id_version") == "1"
    first.close()
    second.close()
    again = State(tmp_path / "a.db")
    assert again.database_id == first.database_id
    again.close()


def test_interrupted_creation_is_made_up_for(tmp_path: Path) -> None:
    """I7: an empty file where the database was about to be made becomes one."""
    (tmp_path / "state.db").touch()
    state = State(tmp_path / "state.db")
    assert state.set_aside is None
    assert state.database_id
    state.close()


def test_values_are_remembered(tmp_path: Path) -> None:
    """A remembered value is there at the next start; an unknown one is empty."""
    state = State(tmp_path / "state.db")
    state.remember("node", "a")
    state.remember("node", "b")
    state.close()
    state = State(tmp_path / "state.db")
    assert state.meta("node") == "b"
    assert state.meta("other") == ""
    state.close()


def test_positions_are_forgotten(tmp_path: Path) -> None:
    """Positions can be forgotten; chunks and totals stay."""
    state = State(tmp_path / "state.db")
    state.seal(_chunk("a"), [FILE], totals=_totals(chunked=3))
    state.forget_files()
    assert state.files() == []
    assert state.chunks() == [_chunk("a")]
    state.close()


def test_locked_database_is_a_disk_fault(tmp_path: Path) -> None:
    """A commit that SQLite refuses is a DiskFault, nothing is half done, and it may be repeated."""
    state = State(tmp_path / "state.db")
    state._db.execute("PRAGMA busy_timeout = 1")  # noqa: SLF001  # ten seconds are too long here
    other = sqlite3.connect(tmp_path / "state.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(DiskFault, match="locked"):
        state.seal(_chunk("a"), [FILE], totals=_totals(chunked=3))
    other.execute("ROLLBACK")
    other.close()
    assert state.chunks() == []
    state.seal(_chunk("a"), [FILE], totals=_totals(chunked=3))
    assert state.chunks() == [_chunk("a")]
    state.close()


def test_commit_is_synced(tmp_path: Path) -> None:
    """The database commits to a write-ahead log that is synced each time."""
    state = State(tmp_path / "state.db")
    assert state._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)  # noqa: SLF001  # no other view
    assert state._db.execute("PRAGMA synchronous").fetchone() == (2,)  # noqa: SLF001  # FULL
    state.close()


def test_files_are_their_owners_alone(tmp_path: Path) -> None:
    """The database and its log can be read by their owner only."""
    state = State(tmp_path / "state.db")
    state.remember("a", "b")
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == {"state.db": 0o600, "state.db-wal": 0o600, "state.db-shm": 0o600}
    state.close()


def test_running_database_is_read_beside_it(tmp_path: Path) -> None:
    """Another process may look at the database of a running agent, and change nothing."""
    state = State(tmp_path / "state.db")
    state.seal(_chunk("a"), [FILE], totals=_totals(chunked=3))
    db = read_only(tmp_path / "state.db")
    assert db.execute("SELECT name FROM chunks").fetchall() == [("a",)]
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        db.execute("DELETE FROM chunks")
    db.close()
    state.close()
    with pytest.raises(StateError, match="cannot be opened"):
        read_only(tmp_path / "missing.db")


def test_place_of_64_bits_is_kept(tmp_path: Path) -> None:
    """A device or inode with its highest bit set, as FUSE and overlayfs give, is saved as it is."""
    state = State(tmp_path / "state.db")
    state.seal(None, [replace(FILE, device=(1 << 64) - 1, inode=1 << 63)], totals=Counter())
    (saved,) = state.files()
    assert (saved.device, saved.inode) == ((1 << 64) - 1, 1 << 63)
    state.close()


def test_what_is_known_of_pods_is_kept_by_name(tmp_path: Path) -> None:
    """Rows are kept by kind and name, replaced, and forgotten; a restart finds them."""
    state = State(tmp_path / "state.db")
    state.keep("pod", {"a": b"1", "b": b"2"})
    state.keep("namespace", {"a": b"3"})
    state.keep("pod", {"a": b"4", "b": None, "c": None})
    state.close()
    state = State(tmp_path / "state.db")
    assert state.known("pod") == [b"4"]
    assert state.known("namespace") == [b"3"]
    state.close()
