"""The schema of state.db: how the database is made, opened, and brought up to date.

Does not know: what its values mean.
"""

from __future__ import annotations

import contextlib
import secrets
import sqlite3
import time
from pathlib import Path

from shipper.errors import StateError

SCHEMA_VERSION = 3
_LOG_PAGES = 128
"""Pages of 4 KiB that SQLite's log may reach before they go into the database: some 25 commits. Its
own default, 1,000, takes 4 MiB, which a small disk may not have."""
ID_VERSION = "1"
"""Version of the rule that makes a document's id (I5)."""

_SCHEMA = (
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
)
UPGRADES = {
    1: (
        "ALTER TABLE files ADD COLUMN pending_bytes INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE files ADD COLUMN seen_bytes INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE files ADD COLUMN since TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE files ADD COLUMN sequence INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE files ADD COLUMN awaited INTEGER NOT NULL DEFAULT 0",
        # Schema 1 kept every position for ever, so what was read and has none was forgotten.
        """
        INSERT INTO totals SELECT 'forgotten_bytes', '', read - positions FROM (
            SELECT (SELECT COALESCE(SUM(value), 0) FROM totals WHERE name = 'read_bytes') AS read,
                   (SELECT COALESCE(SUM(end_offset), 0) FROM files) AS positions)
        WHERE read != positions
        """,
        # Nor did it say how many bytes were pending: all that are in no chunk and not dropped.
        """
        INSERT INTO totals SELECT 'unknown_pending_bytes', '', value FROM (
            SELECT COALESCE(SUM(CASE name WHEN 'read_bytes' THEN value ELSE -value END), 0) AS value
            FROM totals WHERE name IN ('read_bytes', 'chunked_bytes', 'dropped_bytes'))
        WHERE value != 0
        """,
        "INSERT INTO meta SELECT 'first_start', 'over' WHERE EXISTS (SELECT 1 FROM totals)",
        "PRAGMA user_version = 2",
    ),
    2: (
        """
        CREATE TABLE known (
            kind TEXT NOT NULL, name TEXT NOT NULL, json BLOB NOT NULL, PRIMARY KEY (kind, name))
        """,
        "PRAGMA user_version = 3",
    ),
}
"""By version, what makes the next one of it."""


def read_only(path: Path) -> sqlite3.Connection:
    """Open the database of a running agent to look at it.

    Raises:
        StateError: There is none.
    """
    try:
        return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
    except sqlite3.OperationalError as error:
        raise StateError(f"{path}: cannot be opened: {error}") from error


def open_database(path: Path) -> sqlite3.Connection:
    """Open a database, make it if there is none, and upgrade it if it is of an older schema.

    Raises:
        StateError: It is of a newer one.
        sqlite3.DatabaseError: It cannot be opened, or is corrupt.
    """
    path.touch(mode=0o600)
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
    try:
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version > SCHEMA_VERSION:
            raise StateError(
                f"{path}: was written by a newer shipper (schema {version}, this one knows"
                f" {SCHEMA_VERSION}): run that version, or point state_dir at an empty directory"
            )
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute(f"PRAGMA wal_autocheckpoint = {_LOG_PAGES}")
        if db.execute("PRAGMA quick_check").fetchone()[0] != "ok":
            raise sqlite3.DatabaseError("quick_check found damage")
        _upgrade(db, version)
    except BaseException:
        db.close()
        raise
    return db


def _upgrade(db: sqlite3.Connection, version: int) -> None:
    """Bring a database to the schema of today, in one transaction; an empty one is made."""
    if version == SCHEMA_VERSION:
        return
    db.execute("BEGIN")
    if version == 0:
        for statement in _SCHEMA:
            db.execute(statement)
        first = [("database_id", secrets.token_hex(4)), ("id_version", ID_VERSION)]
        db.executemany("INSERT INTO meta VALUES (?, ?)", first)
    for step in range(max(1, version), SCHEMA_VERSION):
        for statement in UPGRADES[step]:
            db.execute(statement)
    db.execute("COMMIT")


def move_aside(path: Path) -> Path:
    """Rename a corrupt database out of the way, and return where it is now."""
    aside = path.with_name(f"{path.name}.corrupt-{time.time_ns()}")
    path.rename(aside)  # first: SQLite deletes the -wal of a database that is not there
    with contextlib.suppress(FileNotFoundError):
        path.with_name(f"{path.name}-wal").rename(aside.with_name(f"{aside.name}-wal"))
    path.with_name(f"{path.name}-shm").unlink(missing_ok=True)
    return aside
