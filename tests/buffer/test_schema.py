"""The schema: a state of an older shipper goes on, at once and whole; one of a newer is refused."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from shipper.buffer.audit import audit
from shipper.buffer.schema import (
    SCHEMA_VERSION,
    UPGRADES,
    move_aside,
    open_database,
    read_only,
)
from shipper.buffer.spool import Spool
from shipper.buffer.state import State
from shipper.errors import StateError
from shipper.metrics import Metrics
from shipper.model import Position, SavedFile
from tests.buffer.running import settings

FIRST = (
    "CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL)",
    """
    CREATE TABLE files (
        key TEXT PRIMARY KEY, base TEXT NOT NULL, stem TEXT NOT NULL,
        device INTEGER NOT NULL, inode INTEGER NOT NULL,
        end_offset INTEGER NOT NULL, pins TEXT NOT NULL, check_hash TEXT NOT NULL,
        saved_at REAL NOT NULL)
    """,
    """
    CREATE TABLE chunks (
        name TEXT PRIMARY KEY, documents INTEGER NOT NULL, body_bytes INTEGER NOT NULL,
        file_bytes INTEGER NOT NULL, source_bytes INTEGER NOT NULL, sealed_at REAL NOT NULL)
    """,
    """
    CREATE TABLE totals (
        name TEXT NOT NULL, label TEXT NOT NULL, value INTEGER NOT NULL,
        PRIMARY KEY (name, label))
    """,
    "PRAGMA user_version = 1",
    "INSERT INTO meta VALUES ('database_id', '0123abcd'), ('id_version', '1'), ('node', 'n1')",
    "INSERT INTO files VALUES ('k1', 'b1', '/a.log', 1, 2, 100, '{\"stdout\": 70}', 'c1', 5.0)",
    "INSERT INTO files VALUES ('k2', 'b2', '/b.log', 1, 3, 40, '{}', 'c2', 6.0)",
    """
    INSERT INTO totals VALUES ('read_bytes', '', 200), ('chunked_bytes', '', 165),
        ('dropped_bytes', 'rule', 5), ('chunked', '', 7), ('delivered', '', 7)
    """,
)
"""Schema 1 as 0.1.0 made it, with two positions (60 bytes of forgotten files, 30 pending)."""


@pytest.fixture
def state_dir(tmp_path: Path) -> Path:
    """A state directory of schema 1."""
    (tmp_path / "chunks").mkdir()
    with closing(sqlite3.connect(tmp_path / "state.db")) as db, db:
        for statement in FIRST:
            db.execute(statement)
    return tmp_path


@pytest.fixture
def opened(state_dir: Path) -> Iterator[State]:
    """The state of schema 1, opened by the shipper of today."""
    state = State(state_dir / "state.db")
    yield state
    state.close()


@pytest.fixture
def second(state_dir: Path) -> Path:
    """A state directory of schema 2, which knew nothing of pods."""
    with closing(sqlite3.connect(state_dir / "state.db")) as db, db:
        for statement in UPGRADES[1]:
            db.execute(statement)
    return state_dir


def version_of(path: Path) -> int:
    with closing(sqlite3.connect(path)) as db:
        version: int = db.execute("PRAGMA user_version").fetchone()[0]
    return version


def test_upgrade_keeps_positions(opened: State) -> None:
    """I5: files go on where they were; what schema 1 did not know is unknown, not invented."""
    assert opened.files() == [
        SavedFile("k1", "b1", "/a.log", 1, 2, Position(100, {"stdout": 70}, "c1")),
        SavedFile("k2", "b2", "/b.log", 1, 3, Position(40, {}, "c2")),
    ]
    assert [file.saved_at for file in opened.files()] == [5.0, 6.0]
    assert {(file.seen_bytes, file.unread_bytes) for file in opened.files()} == {(0, 0)}


def test_upgrade_keeps_identity_and_totals(opened: State) -> None:
    """Chunks are still this database's, the node keeps its name, and counters go on."""
    assert opened.database_id == "0123abcd"
    assert (opened.meta("node"), opened.meta("id_version")) == ("n1", "1")
    totals = opened.totals()
    assert totals["read_bytes", ""] == 200
    assert totals["dropped_bytes", "rule"] == 5


def test_account_adds_up_after_the_upgrade(state_dir: Path) -> None:
    """I9: what had no position any more is forgotten, what was in no chunk was pending."""
    State(state_dir / "state.db").close()
    assert audit(state_dir) == []
    state = State(state_dir / "state.db")
    assert state.totals()["forgotten_bytes", ""] == 60
    assert state.totals()["unknown_pending_bytes", ""] == 30
    state.seal(None, [SavedFile("k2", "b2", "/b.log", 1, 3, Position(50))], totals=state.totals())
    state.close()
    assert audit(state_dir) != [], "an upgraded state is checked like any other"


def test_upgrade_is_done_once(state_dir: Path) -> None:
    """A state that was upgraded is opened as it is from then on."""
    path = state_dir / "state.db"
    for _ in range(3):
        state = State(path)
        assert state.totals()["forgotten_bytes", ""] == 60
        state.close()
    assert version_of(path) == SCHEMA_VERSION


def test_interrupted_upgrade_changes_nothing(state_dir: Path) -> None:
    """An upgrade that fails half-way leaves schema 1, and succeeds the next time."""
    path = state_dir / "state.db"
    with closing(sqlite3.connect(path)) as db:
        db.execute("ALTER TABLE totals RENAME TO hidden")  # what the upgrade needs last
    with pytest.raises(StateError):
        State(path)
    assert version_of(path) == 1
    with closing(sqlite3.connect(path)) as db:
        db.execute("ALTER TABLE hidden RENAME TO totals")
    state = State(path)
    assert len(state.files()) == 2
    state.close()


def test_new_database_is_that_of_an_upgrade(state_dir: Path, tmp_path: Path) -> None:
    """A database that is made today has the columns of one that was upgraded."""
    columns = []
    for path in (state_dir / "state.db", tmp_path / "new.db"):
        with closing(open_database(path)) as db:
            found = [db.execute(f"PRAGMA table_info({name})") for name in ("files", "known")]
            columns.append([[row[1:5] for row in rows] for rows in found])
    assert columns[0] == columns[1]


def test_spool_goes_on_with_an_upgraded_state(state_dir: Path) -> None:
    """What was saved by the older shipper is in the positions that files are identified by."""
    spool = Spool(state_dir, settings(), metrics=Metrics())
    assert [file.key for file in spool.positions.of("b1")] == ["k1"]
    assert [file.key for file in spool.positions.at(1, 3)] == ["k2"]
    spool.close()


def test_upgrade_from_schema_2_keeps_positions_and_totals(second: Path) -> None:
    """What schema 2 had stays as it was, and what is known of pods can be kept."""
    assert version_of(second / "state.db") == 2
    state = State(second / "state.db")
    assert version_of(second / "state.db") == SCHEMA_VERSION
    assert {file.key for file in state.files()} == {"k1", "k2"}
    assert state.totals()["read_bytes", ""] == 200
    state.keep("pod", {"u": b"{}"})
    assert state.known("pod") == [b"{}"]
    state.close()


def test_newer_schema_is_left_alone(state_dir: Path) -> None:
    """A state of a newer shipper is refused, with what to do, and not touched."""
    path = state_dir / "state.db"
    with closing(sqlite3.connect(path)) as db:
        db.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    before = path.read_bytes()
    with pytest.raises(StateError, match="written by a newer shipper"):
        open_database(path)
    assert path.read_bytes() == before


def test_database_is_durable(tmp_path: Path) -> None:
    """I1: a commit is on disk when it returns (FULL), and readers do not wait for it (WAL)."""
    with closing(open_database(tmp_path / "state.db")) as db:
        assert db.execute("PRAGMA synchronous").fetchone() == (2,)
        assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert (tmp_path / "state.db").stat().st_mode & 0o777 == 0o600


def test_look_at_a_database_makes_none(tmp_path: Path) -> None:
    """Whoever only looks does not make a database where none is, and cannot write."""
    with pytest.raises(StateError, match="cannot be opened"):
        read_only(tmp_path / "state.db")
    assert list(tmp_path.iterdir()) == []
    open_database(tmp_path / "state.db").close()
    with closing(read_only(tmp_path / "state.db")) as db, pytest.raises(sqlite3.OperationalError):
        db.execute("DELETE FROM files")


def test_corrupt_database_moves_with_its_log(tmp_path: Path) -> None:
    """What is set aside stays readable for whoever wants to look: its log goes along."""
    path = tmp_path / "state.db"
    for name in ("state.db", "state.db-wal", "state.db-shm"):
        (tmp_path / name).write_text(name)
    aside = move_aside(path)
    assert aside.read_text() == "state.db"
    assert aside.with_name(f"{aside.name}-wal").read_text() == "state.db-wal"
    assert sorted(tmp_path.iterdir()) == sorted([aside, aside.with_name(f"{aside.name}-wal")])
