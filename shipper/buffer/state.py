"""state.db: positions, chunk rows and totals, and the transactions that move them together.

The delivery contract; every property test cites one of these.

* **I1** Chunk and positions move in ONE transaction, after the chunk's file is durable
  (`chunk.write`). When a chunk is shipped, the row goes first, then the file. Chunk names carry the
  database's random id: at start a file of this database without a row is deleted (its lines are
  read again), one of any other database is adopted, a row without a file is counted as lost.
* **I2** Every event is in exactly one place: the log file, one chunk, delivered, a dead letter, or
  counted as dropped. One transaction replaces a chunk by what is left of it; dead letters are
  written before that.
* **I3** Positions count bytes, not events; dropped and undecodable lines advance them.
* **I4** A position is one offset per stream. None points inside an event: the parts that wait for
  their end pin theirs. A drain never flushes them.
* **I5** A document's id is a function of its file key and the byte offset of its first line,
  written with `create`: a repeat is answered 409 and counts as delivered.
* **I6** Chunks are sealed one after another, by one thread.
* **I7** Nothing depends on a clean stop.
* **I8** A chunk file is one gzip member that holds a `_bulk` body.
* **I9** Conservation: read = chunked + dropped + pending bytes; chunked = delivered + buffered +
  dead documents. The totals change in the same transactions.

Owns: the database. All methods run in the spool's one thread. Does not know: chunk files.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from shipper.buffer.schema import move_aside, open_database
from shipper.errors import DiskFault, StateError
from shipper.model import Chunk, Position, SavedFile

Totals = Counter[tuple[str, str]]
"""(name, label value) to count; the names are those of `metrics.TOTALS`."""

_FILES = """
SELECT key, base, stem, device, inode, end_offset, pins, check_hash, pending_bytes, seen_bytes,
    since, sequence, awaited, saved_at
FROM files
"""
_SAVE_FILE = """
INSERT OR REPLACE INTO files
    (key, base, stem, device, inode, end_offset, pins, check_hash, pending_bytes, seen_bytes,
    since, sequence, awaited, saved_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_UNSIGNED = 1 << 64
_ADD_TOTAL = """
INSERT INTO totals (name, label, value) VALUES (?, ?, ?)
ON CONFLICT (name, label) DO UPDATE SET value = value + excluded.value
"""


class State:
    """The database of one state directory.

    Attributes:
        database_id: Random, hex; chunk files of this database begin with it.
        set_aside: Where a corrupt database was moved at start, or None.
    """

    def __init__(self, path: Path) -> None:
        """Open the database, or make it.

        Raises:
            StateError: It is of a newer shipper, or its directory cannot be written.
        """
        self.set_aside: Path | None = None
        try:
            self._db = open_database(path)
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):
                raise StateError(f"{path}: cannot be opened: {error}") from error
            self.set_aside = move_aside(path)
            self._db = open_database(path)
        self.database_id = self.meta("database_id")

    def close(self) -> None:
        """Close the database; it needs no more than a kill does (I7)."""
        self._db.close()

    def meta(self, name: str) -> str:
        """Return a remembered value; empty if there is none."""
        row = self._db.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return row[0] if row else ""

    def remember(self, name: str, value: str) -> None:
        """Remember a value."""
        with self._transaction():
            self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))

    def files(self) -> list[SavedFile]:
        """Return what is saved of every file."""
        return [_saved_file(row) for row in self._db.execute(_FILES)]

    def chunks(self) -> list[Chunk]:
        """Return the sealed chunks, oldest first."""
        rows = self._db.execute(
            "SELECT name, documents, body_bytes, file_bytes, source_bytes, sealed_at"
            " FROM chunks ORDER BY rowid"  # the order of their commits: clocks jump
        )
        return [Chunk(*row) for row in rows]

    def totals(self) -> Totals:
        """Return the totals of the conservation law."""
        rows = self._db.execute("SELECT name, label, value FROM totals")
        return Counter({(name, label): value for name, label, value in rows})

    def known(self, kind: str) -> list[bytes]:
        """Return what is kept of a kind (pods, namespaces)."""
        return [
            row for (row,) in self._db.execute("SELECT json FROM known WHERE kind = ?", (kind,))
        ]

    def keep(self, kind: str, rows: Mapping[str, bytes | None]) -> None:
        """Keep these of a kind, by name; forget those that are None.

        Raises:
            DiskFault: Nothing is changed.
        """
        kept = [(kind, name, row) for name, row in rows.items() if row is not None]
        forgotten = [(kind, name) for name, row in rows.items() if row is None]
        with self._transaction():
            self._db.executemany("INSERT OR REPLACE INTO known VALUES (?, ?, ?)", kept)
            self._db.executemany("DELETE FROM known WHERE kind = ? AND name = ?", forgotten)

    def forget_files(self) -> None:
        """Forget all positions: every file is read from its beginning."""
        with self._transaction():
            sums = "SELECT COALESCE(SUM(end_offset), 0), COALESCE(SUM(pending_bytes), 0) FROM files"
            ends, pending = self._db.execute(sums).fetchone()
            self._db.execute("DELETE FROM files")
            self._add({("forgotten_bytes", ""): ends, ("dropped_bytes", "forgotten"): pending})

    def seal(
        self,
        chunk: Chunk | None,
        files: Iterable[SavedFile],
        *,
        totals: Totals,
        forgotten: Iterable[str] = (),
    ) -> None:
        """Commit a durable chunk file with the positions that it holds the lines of (I1).

        Args:
            chunk: None if the lines became no document: positions alone (I3).
            files: The files whose positions move.
            totals: What the chunk adds to the totals.
            forgotten: Keys of files whose positions go.

        Raises:
            DiskFault: It is not known to be committed: what is in it has to stay as it is until
                this, or what is done in its place, is committed.
        """
        now = time.time()
        with self._transaction():
            if chunk is not None:
                self._insert(chunk)
            self._db.executemany(_SAVE_FILE, [_row(file, now) for file in files])
            gone = [(key,) for key in forgotten]
            self._db.executemany("DELETE FROM files WHERE key = ?", gone)
            self._add(totals)

    def replace(self, name: str, by: Iterable[Chunk], *, totals: Totals) -> None:
        """Commit that a chunk is done with, all of it or all but what is in `by` (I2).

        Raises:
            DiskFault: As `seal` does.
        """
        with self._transaction():
            self._db.execute("DELETE FROM chunks WHERE name = ?", (name,))
            for chunk in by:
                self._insert(chunk)
            self._add(totals)

    def adopt(self, chunks: Iterable[Chunk], lost: Iterable[Chunk]) -> None:
        """Commit what the chunk directory was found to hold, and to lack, at start."""
        totals: Totals = Counter()
        with self._transaction():
            for chunk in chunks:
                self._insert(chunk)
                totals["chunked", ""] += chunk.documents
            for chunk in lost:
                self._db.execute("DELETE FROM chunks WHERE name = ?", (chunk.name,))
                totals["lost_documents", ""] += chunk.documents
            self._add(totals)

    def _insert(self, chunk: Chunk) -> None:
        row = (chunk.name, chunk.documents, chunk.body_bytes, chunk.file_bytes)
        self._db.execute(
            "INSERT INTO chunks VALUES (?, ?, ?, ?, ?, ?)",
            (*row, chunk.source_bytes, chunk.sealed_at),
        )

    def _add(self, totals: Mapping[tuple[str, str], int]) -> None:
        rows = [(name, label, value) for (name, label), value in totals.items() if value]
        self._db.executemany(_ADD_TOTAL, rows)

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        try:
            self._db.execute("BEGIN IMMEDIATE")
            yield
            self._db.execute("COMMIT")
        except sqlite3.OperationalError as error:
            self._roll_back()
            raise DiskFault(f"state.db: {error}") from error
        except BaseException:
            self._roll_back()
            raise

    def _roll_back(self) -> None:
        if self._db.in_transaction:
            with contextlib.suppress(sqlite3.OperationalError):  # SQLite gives it up all the same
                self._db.execute("ROLLBACK")


def _row(file: SavedFile, now: float) -> tuple[str | int | float, ...]:
    position = file.position
    pins = json.dumps(dict(position.pins))
    place = (file.key, file.base, file.stem, _signed(file.device), _signed(file.inode))
    read = (position.end, pins, position.check, position.pending_bytes)
    seen = (file.seen_bytes, file.since, file.sequence, file.awaited)
    return (*place, *read, *seen, now)


def _signed(number: int) -> int:
    """Return a number of 64 bits as SQLite stores it; devices and inodes have no sign."""
    return number - _UNSIGNED if number >= _UNSIGNED >> 1 else number


def _saved_file(row: tuple[Any, ...]) -> SavedFile:
    key, base, stem, device, inode, end, pins, check, pending_bytes, *rest = row
    position = Position(end, json.loads(pins), check, pending_bytes)
    seen_bytes, since, sequence, awaited, saved_at = rest
    place = (stem, device % _UNSIGNED, inode % _UNSIGNED)
    return SavedFile(
        key, base, *place, position, seen_bytes, since, sequence, bool(awaited), saved_at
    )
