"""The local store: one SQLite file that takes the documents where there is no Elasticsearch.

Theory of operation: each index has three tables, named by its number in `indices`, so that no
foreign text becomes a name. `documents` has a row for each `_id`; `origins` has what is the same
in all documents of a file, which is most of their bytes; `words` is an FTS5 index of the texts
without a copy of them. One chunk is one transaction, synced, in one thread; after it, what is too
old or too much goes (`expiry`).

Owns: store.db. Promises: a repeat of an `_id` in its index changes nothing; what is reported as
delivered survives a loss of power; `search` reads beside a running agent. Does not know: chunk
files, configuration.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import io
import logging
import sqlite3
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from itertools import islice
from pathlib import Path

from shipper.errors import ConfigError, ShipperError, SinkRefused, SinkUnavailable, StateError
from shipper.sink import tables
from shipper.sink.bulk import Outcomes
from shipper.sink.expiry import Expiry
from shipper.sink.hits import newest_hits
from shipper.sink.query import Hit, Query
from shipper.sink.stored import Origin, Row, day_of, sort_lines

log = logging.getLogger(__name__)

SCHEMA_VERSION = 1

_STEP_DOCUMENTS = 2_000
"""Documents of a chunk that are in memory at a time."""
_READ_BYTES = 256 << 10
_WAL_BYTES = 64 << 20
_BUSY_SECS = 10.0

# auto_vacuum comes first: it needs an empty file.
_CREATE = f"""
PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL;
BEGIN; {tables.INDICES}; PRAGMA user_version = {SCHEMA_VERSION}; COMMIT
"""
_PRAGMAS = (
    "synchronous = FULL",  # what is delivered is deleted from the buffer
    "secure_delete = OFF",  # Debian's SQLite has it on: dropping 800 MB takes 7 s, not 0.05
    f"journal_size_limit = {_WAL_BYTES}",
)


def _utc_today() -> date:
    return datetime.now(UTC).date()


class LocalStore:
    """A destination: the store in one file."""

    def __init__(
        self,
        path: Path,
        *,
        max_bytes: int,
        max_age_days: int,
        today: Callable[[], date] = _utc_today,
    ) -> None:
        """Open the store, or make it.

        Raises:
            StateError: It is of a newer shipper, damaged, or cannot be written.
        """
        self._path = path
        self._today = today
        self._db = _open(path)
        self._expiry = Expiry(
            self._db, self._transaction, max_bytes=max_bytes, max_age_days=max_age_days
        )
        self._thread = ThreadPoolExecutor(1, "local-store")
        self._closing = False

    @property
    def expired(self) -> int:
        """Documents that went for the bounds since the start."""
        return self._expiry.documents

    async def check(self) -> None:
        """Bring the store within its bounds.

        Raises:
            SinkUnavailable: It cannot be written for now.
        """
        await asyncio.get_running_loop().run_in_executor(self._thread, self._expire)

    async def send(self, data: bytes, documents: int) -> Outcomes:
        """Store a chunk's documents.

        Raises:
            SinkUnavailable: Nothing of it was stored.
            SinkRefused: It is not one gzip member that holds a `_bulk` body of so many documents.
            StateError: The store is damaged.
        """
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._take, data, documents)

    async def close(self) -> None:
        """Finish the chunk that is being stored, and close the file."""
        self._closing = True
        await asyncio.get_running_loop().run_in_executor(self._thread, self._db.close)
        self._thread.shutdown()

    # -- a chunk comes in; from here on in the thread

    def _take(self, data: bytes, documents: int) -> Outcomes:
        outcomes = Outcomes()
        try:
            with self._transaction():
                for number, lines in enumerate(_steps(data)):
                    self._add(lines, first=number * _STEP_DOCUMENTS, outcomes=outcomes)
                found = outcomes.delivered + outcomes.duplicates + len(outcomes.refused)
                if found != documents:
                    raise ValueError(f"it holds {found} documents, not {documents}")
        except ValueError as error:
            raise SinkRefused(f"the chunk is malformed: {error}", status=400) from error
        try:
            self._expire()
        except SinkUnavailable as error:  # the chunk is stored all the same
            log.warning("the local store cannot be brought within its bounds: %s", error)
        return outcomes

    def _expire(self) -> None:
        with self._faults():
            for _ in self._expiry.steps(self._today()):
                if self._closing:
                    return

    def _add(self, lines: Sequence[bytes], *, first: int, outcomes: Outcomes) -> None:
        found = sort_lines(lines, first)
        outcomes.refused += found.refused
        for name, rows in found.rows.items():
            created = self._insert(self._index(name), rows)
            outcomes.delivered += created
            outcomes.duplicates += len(rows) - created

    def _index(self, name: str) -> int:
        """Return the number of an index that is written to now."""
        latest = self._number("SELECT coalesce(max(number), 0) FROM indices")
        today = self._today()
        day = day_of(name) or today
        self._db.execute(tables.WRITE_INDEX, (name, day.isoformat(), today.isoformat()))
        n = self._number("SELECT number FROM indices WHERE name = ?", name)
        if n > latest:
            for statement in tables.CREATE:
                self._db.execute(statement.format(n=n))
        return n

    def _insert(self, n: int, rows: Sequence[Row]) -> int:
        """Insert what is not there yet, and return how many that were."""
        first = self._number(tables.NEXT_NUMBER.format(n=n))
        origins = {origin: self._origin(n, origin) for origin in {row.origin for row in rows}}
        self._db.executemany(
            tables.INSERT_DOCUMENT.format(n=n),
            (
                (number, row.id, row.time, origins[row.origin], row.head)
                for number, row in enumerate(rows, first)
            ),
        )
        # A number that was not taken belongs to a repeat.
        taken = {
            number for (number,) in self._db.execute(tables.NUMBERS_FROM.format(n=n), (first,))
        }
        self._db.executemany(
            tables.INSERT_WORDS.format(n=n),
            ((number, row.text) for number, row in enumerate(rows, first) if number in taken),
        )
        return len(taken)

    def _origin(self, n: int, origin: Origin) -> int:
        key = (origin.suffix, origin.stream)
        names = (origin.namespace, origin.pod, origin.container, origin.tag)
        self._db.execute(tables.INSERT_ORIGIN.format(n=n), (*key, *names))
        return self._number(tables.ORIGIN.format(n=n), *key)

    # -- the database

    def _number(self, query: str, *parameters: str | bytes) -> int:
        return int(self._db.execute(query, parameters).fetchone()[0])

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._faults():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            finally:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")

    @contextlib.contextmanager
    def _faults(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            raise SinkUnavailable(f"{self._path} cannot be written: {error}") from error
        except sqlite3.DatabaseError as error:
            raise _damaged(self._path, error) from error


def _steps(data: bytes) -> Iterator[list[bytes]]:
    """Yield the lines of a chunk, `_STEP_DOCUMENTS` of them at a time.

    Raises:
        ValueError: The bytes are not one whole gzip member.
    """
    member = gzip.GzipFile(fileobj=io.BytesIO(data))
    with io.BufferedReader(member, _READ_BYTES) as body:
        try:
            while step := list(islice(body, 2 * _STEP_DOCUMENTS)):
                yield step
        except (OSError, EOFError, zlib.error) as error:
            raise ValueError(f"not a whole gzip member: {error}") from error


def search(path: Path, query: Query, *, limit: int, since: str = "") -> list[Hit]:
    """Return the newest hits, oldest first, beside a running agent or without one.

    Args:
        path: The store's file.
        query: What to look for.
        limit: Most hits.
        since: Earliest time (`query.parse_since`).

    Raises:
        ConfigError: The limit is below 1.
        ShipperError: There is no store, or it cannot be read.
    """
    if limit < 1:
        raise ConfigError(f"limit {limit}: must be 1 or more")
    if not path.exists():
        raise ShipperError(f"there is no store at {path}: fill it with `shipper run PATH` first")
    try:
        with contextlib.closing(_connect(path, mode="ro")) as db:
            db.execute("BEGIN")  # one snapshot for all that follows
            return newest_hits(db, query, limit=limit, since=since)[::-1]
    except sqlite3.DatabaseError as error:
        raise ShipperError(f"{path} cannot be read: {error}") from error


def _open(path: Path) -> sqlite3.Connection:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        with contextlib.ExitStack() as undo:
            db = undo.enter_context(contextlib.closing(_connect(path, mode="rw")))
            _prepare(path, db)
            undo.pop_all()
    except (OSError, sqlite3.OperationalError) as error:
        raise StateError(f"{path} cannot be opened: {error}") from error
    except sqlite3.DatabaseError as error:
        raise _damaged(path, error) from error
    return db


def _connect(path: Path, *, mode: str) -> sqlite3.Connection:
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        timeout=_BUSY_SECS,
        isolation_level=None,
        check_same_thread=False,  # made in one thread, used in the store's own
    )


def _prepare(path: Path, db: sqlite3.Connection) -> None:
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if version > SCHEMA_VERSION:
        raise StateError(
            f"{path} was written by a newer shipper (schema {version}, this one knows"
            f" {SCHEMA_VERSION}): run that version, or move the file away"
        )
    if version == 0:
        db.executescript(_CREATE)
    for pragma in _PRAGMAS:
        db.execute(f"PRAGMA {pragma}")


def _damaged(path: Path, error: sqlite3.DatabaseError) -> StateError:
    return StateError(f"{path} is damaged ({error}): move it away, a new one is made")
