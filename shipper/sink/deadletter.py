"""Dead letters: refused documents, kept with the server's reason until an operator decides.

Owns: dead.db beside state.db. A dead letter is written, durably, before its document leaves its
chunk (I2), and a repeat after a crash between the two changes nothing: the id is the key.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import orjson

from shipper.errors import ShipperError, SinkUnavailable, StateError
from shipper.sink.bulk import Refusal

SCHEMA_VERSION = 1
_SCHEMA = f"""
BEGIN;
CREATE TABLE letters (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    index_name TEXT NOT NULL, id TEXT NOT NULL, refused_at REAL NOT NULL,
    status INTEGER NOT NULL, type TEXT NOT NULL, reason TEXT NOT NULL,
    bytes INTEGER NOT NULL, document BLOB NOT NULL,
    UNIQUE (index_name, id));
PRAGMA user_version = {SCHEMA_VERSION};
COMMIT;
"""
_INSERT = """
INSERT OR IGNORE INTO letters (index_name, id, refused_at, status, type, reason, bytes, document)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)
"""
_ROW_BYTES = 200
"""What a letter takes beside its texts: row, index entry. An estimate, as the bound is one."""
_WAL_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One refused document.

    Attributes:
        number: To name it on the command line.
        index: Where it was to go.
        id: Its `_id`.
        refused_at: Unix time.
        status: The item's HTTP status.
        type: The server's error type.
        reason: The server's words.
        document: JSON, as it was sent; left out of lists.
    """

    number: int
    index: str
    id: str
    refused_at: float
    status: int
    type: str
    reason: str
    document: bytes = b""


class DeadLetters:
    """The dead letters of one state directory.

    Attributes:
        count: How many there are.
    """

    def __init__(self, path: Path, *, max_bytes: int) -> None:
        """Open dead.db, or make it; above `max_bytes` the oldest go, counted.

        Raises:
            StateError: It is damaged, of a newer shipper, or cannot be written.
        """
        self._max_bytes = max_bytes
        try:
            self._db, self.count, self._bytes = _open(path)
        except (sqlite3.DatabaseError, OSError) as error:
            raise StateError(
                f"{path}: cannot be used: {error}: mend that, or move the file away (dead letters)"
            ) from error

    def close(self) -> None:
        """Close the database."""
        self._db.close()

    def keep(self, letters: Sequence[tuple[bytes, bytes, Refusal]]) -> int:
        """Keep refused documents.

        Args:
            letters: Action line, document line and refusal of each.

        Returns:
            How many letters had to go for the bound, oldest first.

        Raises:
            SinkUnavailable: The disk took nothing; the documents stay in their chunk.
        """
        try:
            with self._transaction():
                count, size = self._insert(letters)
                gone, size = self._shrink(size)
        except sqlite3.DatabaseError as error:
            raise SinkUnavailable(f"dead.db cannot be written: {error}") from error
        self.count, self._bytes = count - gone, size
        return gone

    def _insert(self, letters: Sequence[tuple[bytes, bytes, Refusal]]) -> tuple[int, int]:
        """Insert the new ones; returns how many letters and bytes there are then."""
        now, count, size = time.time(), self.count, self._bytes
        for action, document, refusal in letters:
            row = _row(action, document, refusal=refusal, now=now)
            if self._db.execute(_INSERT, row).rowcount > 0:
                count, size = count + 1, size + row[-2]
        return count, size

    def _shrink(self, size: int) -> tuple[int, int]:
        """Delete the oldest above the bound; returns how many that were, and the size after it."""
        excess, last, gone = size - self._max_bytes, 0, 0
        if excess <= 0:
            return 0, size
        with closing(self._db.execute("SELECT number, bytes FROM letters ORDER BY number")) as rows:
            for number, size_bytes in rows:
                last, gone, excess = number, gone + 1, excess - size_bytes
                if excess <= 0:
                    break
        self._db.execute("DELETE FROM letters WHERE number <= ?", (last,))
        return gone, self._max_bytes + excess

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise


def list_letters(path: Path) -> Iterator[DeadLetter]:
    """Read all dead letters without their documents, oldest first, beside a running agent.

    Raises:
        ShipperError: There is no dead.db, or it cannot be read.
    """
    columns = "number, index_name, id, refused_at, status, type, reason"
    return _read(path, f"SELECT {columns} FROM letters ORDER BY number")  # noqa: S608  # constants


def read_letter(path: Path, number: int) -> DeadLetter:
    """Read one dead letter.

    Raises:
        ShipperError: There is none of that number, or no dead.db.
    """
    columns = "number, index_name, id, refused_at, status, type, reason, document"
    query = f"SELECT {columns} FROM letters WHERE number = ?"  # noqa: S608  # constants
    for letter in _read(path, query, number):
        return letter
    raise ShipperError(f"there is no dead letter {number}: see `shipper deadletters ls`")


def _read(path: Path, query: str, *arguments: int) -> Iterator[DeadLetter]:
    if not path.exists():
        raise ShipperError(f"{path}: there are no dead letters (no document was ever refused)")
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as db:
            for row in db.execute(query, arguments):
                yield DeadLetter(*row)
    except sqlite3.DatabaseError as error:
        raise ShipperError(f"{path}: cannot be read: {error}") from error


def _open(path: Path) -> tuple[sqlite3.Connection, int, int]:
    """Return the database, how many letters are in it, and how many bytes they are."""
    path.touch(mode=0o600)
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
    try:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute(f"PRAGMA journal_size_limit = {_WAL_BYTES}")
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version > SCHEMA_VERSION:
            raise sqlite3.DatabaseError("it was written by a newer shipper")
        if version == 0:
            db.executescript(_SCHEMA)
        row = db.execute("SELECT count(*), coalesce(sum(bytes), 0) FROM letters").fetchone()
    except BaseException:
        db.close()
        raise
    return db, *row


def _row(
    action: bytes, document: bytes, *, refusal: Refusal, now: float
) -> tuple[str, str, float, int, str, str, int, bytes]:
    target = next(iter(orjson.loads(action).values()))
    # Without an id of its own a document is the same as another if its bytes are.
    name = target.get("_id") or blake2b(document, digest_size=16).hexdigest()
    size = len(document) + len(refusal.reason) + _ROW_BYTES
    why = (refusal.status, refusal.type, refusal.reason)
    return target["_index"], name, now, *why, size, document
