"""The bounds of the local store: what is too old, or too much, goes.

Theory of operation: an index is dropped when nothing came into it for `max_age_days`. Above
`max_bytes` the oldest go: a whole index where it is a small part of the store, else its oldest
documents. Deleting those only adds marks to `words`, which take more space than is freed until they
are merged away: without that merge they would fill the store (measured).

Promises: what is left is the newest; the store is whole after each step. At 2 GiB all steps can
take 20 s, so the owner may stop between any two; the next run goes on. Does not know: which
database it is; what it needs of that is `Database`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import date
from math import ceil
from typing import Any, Protocol

from shipper.sink import tables
from shipper.sink.stored import text_of

log = logging.getLogger(__name__)

_STEP_DOCUMENTS = 2_000
"""Documents deleted in one transaction: bounds memory and the write-ahead log."""
_STEP_PAGES = 2_000
"""Pages merged, or given back, in one transaction: 8 MB."""
_KEEP = 0.9
"""Share of `max_bytes` that is left after the bound was hit. Each time costs a merge of `words`; at
10% that and the deletions take 30 us of CPU for each new document, its insertion 21."""
_SMALL = 0.25
"""An index with no more than this share of the documents is dropped whole, which costs next to
nothing. A larger one is not, or a busy node would keep only minutes of logs after each midnight."""
_SPARE = 0.125
"""Share of `max_bytes` that may stay in the file as free pages, for the next chunks."""


class Rows(Protocol):
    """What a statement found."""

    def fetchone(self) -> Any:  # noqa: ANN401  # as sqlite3 has it
        """Return the next row."""

    def fetchall(self) -> list[Any]:
        """Return all rows."""


class Database(Protocol):
    """The store's database, each statement outside a transaction being one."""

    @property
    def total_changes(self) -> int:
        """Rows changed since it was opened."""

    def execute(self, statement: str, parameters: Sequence[int] = ..., /) -> Rows:
        """Execute a statement."""

    def executemany(self, statement: str, parameters: Iterable[Sequence[Any]], /) -> object:
        """Execute a statement with each of the parameters."""

    def executescript(self, script: str, /) -> object:
        """Execute statements to their end."""


class Expiry:
    """Keeps a store within its bounds.

    Attributes:
        documents: How many went.
    """

    def __init__(
        self,
        db: Database,
        transaction: Callable[[], AbstractContextManager[None]],
        *,
        max_bytes: int,
        max_age_days: int,
    ) -> None:
        """Take the store's database, and how it makes a transaction."""
        self.documents = 0
        self._db = db
        self._transaction = transaction
        self._max_bytes = max_bytes
        self._max_age_days = max_age_days

    def steps(self, today: date) -> Iterator[None]:
        """Bring the store within its bounds, step by step."""
        for n, name, written in self._indices():
            if (today - date.fromisoformat(written)).days > self._max_age_days:
                self._drop(n, name)
                yield
        while self._used_bytes() > self._max_bytes and self._indices():
            yield from self._shrink()
        yield from self._give_back()

    def _shrink(self) -> Iterator[None]:
        counts = [self._count(n) for n, _, _ in self._indices()]
        surplus = ceil(sum(counts) * (1 - _KEEP * self._max_bytes / self._used_bytes()))
        n, name, _ = self._indices()[0]
        if counts[0] <= max(surplus, sum(counts) * _SMALL):
            self._drop(n, name)
            return
        log.info("the local store is full: the oldest %d documents of %s go", surplus, name)
        for start in range(0, surplus, _STEP_DOCUMENTS):
            self._delete_oldest(n, min(_STEP_DOCUMENTS, surplus - start))
            yield
        yield from self._merge(n)

    def _drop(self, n: int, name: str) -> None:
        count = self._count(n)
        with self._transaction():
            for statement in tables.DROP:
                self._db.execute(statement.format(n=n))
            self._db.execute("DELETE FROM indices WHERE number = ?", (n,))
        self.documents += count
        log.info("the local store is full or %s is old: its %d documents go", name, count)

    def _delete_oldest(self, n: int, count: int) -> None:
        with self._transaction():
            oldest = self._db.execute(tables.OLDEST.format(n=n), (count,)).fetchall()
            texts = ((number, text_of(head, suffix)) for number, head, suffix in oldest)
            self._db.executemany(tables.DELETE_WORDS.format(n=n), texts)
            numbers = ((number,) for number, _, _ in oldest)
            self._db.executemany(tables.DELETE_DOCUMENT.format(n=n), numbers)
        self.documents += count

    def _merge(self, n: int) -> Iterator[None]:
        """Free what the deleted documents have left behind."""
        self._db.execute(tables.DELETE_ORIGINS.format(n=n))
        # Negative: begins to merge all into one. Fewer than 2 changes: there is nothing left to do.
        # Source: https://www.sqlite.org/fts5.html#the_merge_command
        pages, changes = -_STEP_PAGES, 2
        while changes >= 2:  # noqa: PLR2004
            before = self._db.total_changes
            self._db.execute(tables.MERGE_WORDS.format(n=n), (pages,))
            pages, changes = _STEP_PAGES, self._db.total_changes - before
            yield

    def _give_back(self) -> Iterator[None]:
        """Return free pages to the file system, but for a reserve."""
        size = self._number("PRAGMA page_size")
        reserve = int(self._max_bytes * _SPARE) // size
        surplus = self._number("PRAGMA freelist_count") - reserve
        for start in range(0, surplus, _STEP_PAGES):
            pages = min(_STEP_PAGES, surplus - start)
            self._db.executescript(
                f"PRAGMA incremental_vacuum({pages})"
            )  # `execute` ends at the first
            yield

    def _indices(self) -> list[tuple[int, str, str]]:
        return self._db.execute(tables.OLDEST_INDICES).fetchall()

    def _count(self, n: int) -> int:
        return self._number(tables.COUNT.format(n=n))

    def _used_bytes(self) -> int:
        pages = self._number("PRAGMA page_count") - self._number("PRAGMA freelist_count")
        return pages * self._number("PRAGMA page_size")

    def _number(self, query: str) -> int:
        return int(self._db.execute(query).fetchone()[0])
