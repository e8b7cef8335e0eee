import asyncio
import logging
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import date, timedelta
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shipper.sink.expiry import Expiry
from shipper.sink.local import LocalStore, search
from shipper.sink.query import Query, parse
from tests.sink.documents import INDEX, TODAY, Document, chunk_of, deliver

ALL = Query()
YESTERDAY = "logstash-2026.11.22"
MAX_BYTES = 400_000


def used_bytes(path: Path) -> int:
    with closing(sqlite3.connect(path)) as db:
        pages, free, size = (
            db.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("page_count", "freelist_count", "page_size")
        )
    return (int(pages) - int(free)) * int(size)


def indices(path: Path) -> set[str]:
    return {hit.index for hit in search(path, ALL, limit=100_000)}


def written(first: int, count: int, *, index: str = INDEX) -> list[Document]:
    """Documents of one after another ten millionths of a second."""
    return [
        Document(
            f"key-{number:x}",
            f"line {number} of {number * 7919 % 100_003} {number * 104_729 % 65_537:x}\n",
            time=f"2026-11-23T10:00:{number / 10_000_000:010.7f}Z",
            index=index,
        )
        for number in range(first, first + count)
    ]


@settings(max_examples=max(10, settings().max_examples // 10))
@given(
    st.lists(
        st.tuples(st.integers(1, 600), st.sampled_from([INDEX, YESTERDAY]), st.integers(0, 2_000)),
        min_size=1,
        max_size=12,
    )
)
def test_store_stays_within_its_bound(chunks: list[tuple[int, str, int]]) -> None:
    """After each chunk the store is within max_bytes, whatever the size and order of chunks."""
    with TemporaryDirectory() as directory:
        path = Path(directory, "store.db")
        first = 0

        async def send_all() -> None:
            nonlocal first
            store = LocalStore(path, max_bytes=MAX_BYTES, max_age_days=9, today=lambda: TODAY)
            try:
                for count, index, padding in chunks:
                    sent = [
                        Document(document.id, document.text + "x" * padding, document.time, index)
                        for document in written(first, count)
                    ]
                    first += count
                    await store.send(chunk_of(sent), count)
                    assert used_bytes(path) <= MAX_BYTES
                    assert len(search(path, ALL, limit=100_000)) + store.expired == first
            finally:
                await store.close()

        asyncio.run(send_all())


def test_newest_documents_are_kept(tmp_path: Path) -> None:
    """Of one index that is too large the newest by time are left, in whatever order they came."""
    path = tmp_path / "store.db"
    chunks = [written(start, 400) for start in (2_000, 0, 2_800, 400, 2_400, 1_200, 1_600, 800)]
    deliver(path, *chunks, max_bytes=MAX_BYTES)
    left = [int(hit.id.removeprefix("key-"), 16) for hit in search(path, ALL, limit=100_000)]
    assert 500 < len(left) < 3_200
    assert set(left) >= set(range(3_200 - 400, 3_200))
    assert left == sorted(left)
    for number in left[::50]:
        assert f"key-{number:x}" in {
            hit.id for hit in search(path, parse(f'"line {number}"'), limit=9)
        }
    assert search(path, parse('"line 0"'), limit=9) == []


def test_deleted_documents_leave_nothing_behind(tmp_path: Path) -> None:
    """A store that is full for long keeps as many documents as when it first was full."""
    path = tmp_path / "store.db"
    deliver(path, *(written(start, 500) for start in range(0, 2_500, 500)), max_bytes=MAX_BYTES)
    early = len(search(path, ALL, limit=100_000))
    deliver(
        path, *(written(start, 500) for start in range(2_500, 25_000, 500)), max_bytes=MAX_BYTES
    )
    assert len(search(path, ALL, limit=100_000)) > 0.8 * early


def test_origins_go_with_their_documents(tmp_path: Path) -> None:
    """Pods that come and go do not fill a full store with their names."""
    path = tmp_path / "store.db"
    chunks = [
        [Document(f"key-{n}-{pod}", pod=f"pod-{n}-{pod}" * 20) for pod in range(100)]
        for n in range(20)
    ]
    deliver(path, *chunks, max_bytes=MAX_BYTES)
    with closing(sqlite3.connect(path)) as db:
        origins = db.execute("SELECT count(*) FROM origins_1").fetchone()[0]
    assert origins == len(search(path, ALL, limit=100_000)) > 100


def test_small_old_index_is_dropped_whole(tmp_path: Path) -> None:
    """When the store is full, an old index that is a small part of it goes at once."""
    path = tmp_path / "store.db"
    deliver(
        path, written(0, 100, index=YESTERDAY), *(written(n, 400) for n in range(0, 2_400, 400))
    )
    assert indices(path) == {INDEX, YESTERDAY}
    deliver(path, written(5_000, 1), max_bytes=used_bytes(path) - 1)
    assert indices(path) == {INDEX}
    assert len(search(path, ALL, limit=100_000)) == 2_401


def test_large_old_index_outlives_midnight(tmp_path: Path) -> None:
    """When the store is full of yesterday, the first lines of a day push out only the oldest."""
    path = tmp_path / "store.db"
    deliver(path, *(written(n, 400, index=YESTERDAY) for n in range(0, 2_400, 400)))
    deliver(path, written(5_000, 10), max_bytes=used_bytes(path) - 1)
    assert indices(path) == {INDEX, YESTERDAY}
    assert len(search(path, parse(f"index:{YESTERDAY}"), limit=100_000)) > 1_200


@pytest.mark.parametrize(("days", "left"), [(14, {YESTERDAY, INDEX}), (15, {INDEX})])
def test_index_goes_when_nothing_came_for_long(tmp_path: Path, days: int, left: set[str]) -> None:
    """An index into which nothing came for more than max_age_days is dropped."""
    path = tmp_path / "store.db"
    deliver(path, written(0, 10, index=YESTERDAY), today=TODAY)
    deliver(path, written(0, 10), today=TODAY + timedelta(days=days))
    assert indices(path) == left


def test_old_logs_that_are_read_now_are_kept(tmp_path: Path) -> None:
    """The documents of old log files are there to be searched: their index was written today."""
    path = tmp_path / "store.db"
    deliver(path, written(0, 10, index="logstash-2019.01.01"), max_age_days=1)
    assert indices(path) == {"logstash-2019.01.01"}


def test_what_goes_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """One line says which index went, and how many documents."""
    caplog.set_level(logging.INFO)
    path = tmp_path / "store.db"
    deliver(path, written(0, 10, index=YESTERDAY))
    deliver(path, today=TODAY)
    deliver(path, written(0, 1), today=TODAY + timedelta(days=99))
    assert [YESTERDAY in line and " 10 documents" in line for line in caplog.messages] == [True]


def test_check_brings_a_store_within_its_bounds(tmp_path: Path) -> None:
    """A bound that was lowered holds from the start on, and the space is given back to the disk."""
    path = tmp_path / "store.db"
    deliver(path, *(written(n, 500) for n in range(0, 5_000, 500)))
    before = path.stat().st_size

    async def check() -> None:
        store = LocalStore(path, max_bytes=MAX_BYTES, max_age_days=14, today=lambda: TODAY)
        await store.check()
        await store.close()

    asyncio.run(check())
    assert path.stat().st_size < MAX_BYTES * 1.25 < before


@pytest.mark.parametrize("count", [1, 2, 3])
def test_run_may_stop_between_steps(tmp_path: Path, count: int) -> None:
    """A store whose owner stopped in the middle is whole, and the next run goes on."""
    path = tmp_path / "store.db"
    deliver(path, written(0, 6_000))
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        for _ in islice(_expiry(db).steps(TODAY), count):
            hits = search(path, parse("line"), limit=100_000)
            assert len(hits) == len(search(path, ALL, limit=100_000)) < 6_000
        for _ in _expiry(db).steps(TODAY):
            pass
    assert used_bytes(path) <= MAX_BYTES
    assert search(path, parse('"line 5999"'), limit=9)


def _expiry(db: sqlite3.Connection) -> Expiry:
    @contextmanager
    def transaction() -> Iterator[None]:
        db.execute("BEGIN")
        yield
        db.execute("COMMIT")

    return Expiry(db, transaction, max_bytes=MAX_BYTES, max_age_days=(date.max - date.min).days)
