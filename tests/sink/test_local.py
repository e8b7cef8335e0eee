import asyncio
import gzip
import resource
import sqlite3
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shipper.errors import ShipperError, SinkRefused, SinkUnavailable, StateError
from shipper.sink.bulk import Outcomes
from shipper.sink.local import LocalStore, search
from shipper.sink.query import Query, parse
from tests.sink.documents import INDEX, Document, bulk_lines, chunk_of, deliver

ALL = Query()
FEWER = settings(max_examples=settings().max_examples // 3)  # each makes a store
DOCUMENT = Document("key-0")

documents = st.builds(
    Document,
    id=st.sampled_from([f"key-{n:x}" for n in range(8)]),
    text=st.text(),
    index=st.sampled_from([INDEX, "logstash-2026.11.22"]),
    pod=st.sampled_from(["web-1", "web-2"]),
)
chunks = st.lists(st.lists(documents, min_size=1, max_size=8), min_size=1, max_size=4)


def found(path: Path, text: str = "") -> list[str]:
    return [hit.id for hit in search(path, parse(text), limit=10_000)]


def send(path: Path, data: bytes, count: int) -> Outcomes:
    async def send_one() -> Outcomes:
        with_store = LocalStore(path, max_bytes=1 << 30, max_age_days=14)
        try:
            return await with_store.send(data, count)
        finally:
            await with_store.close()

    return asyncio.run(send_one())


@FEWER
@given(chunks)
def test_repeat_changes_nothing(sent: list[list[Document]]) -> None:
    """An id that is in its index already is a duplicate, and store and searches stay the same."""
    with TemporaryDirectory() as directory:
        path = Path(directory, "store.db")
        first = deliver(path, *sent)
        hits, words = search(path, ALL, limit=100), search(path, parse("a*"), limit=100)
        again = deliver(path, *sent)
        assert search(path, ALL, limit=100) == hits
        assert search(path, parse("a*"), limit=100) == words
    distinct = {(document.index, document.id) for chunk in sent for document in chunk}
    total = sum(len(chunk) for chunk in sent)
    assert sum(outcomes.delivered for outcomes in first) == len(hits) == len(distinct)
    assert sum(outcomes.duplicates for outcomes in first) == total - len(distinct)
    assert [(outcomes.delivered, outcomes.duplicates) for outcomes in again] == [
        (0, len(chunk)) for chunk in sent
    ]


def test_first_document_of_an_id_stays(tmp_path: Path) -> None:
    """A repeat with another text leaves no trace, neither in the document nor in the words."""
    path = tmp_path / "store.db"
    deliver(path, [Document("key-0", "first")], [Document("key-0", "second")], [Document("key-1")])
    assert found(path, "first") == ["key-0"]
    assert found(path, "second") == []
    assert found(path, "line") == ["key-1"]


@FEWER
@given(chunks)
def test_documents_come_back_verbatim(sent: list[list[Document]]) -> None:
    """A hit holds the bytes that were delivered."""
    sources: dict[tuple[str, str], bytes] = {}
    for document in (document for chunk in sent for document in chunk):
        sources.setdefault((document.index, document.id), document.source)
    with TemporaryDirectory() as directory:
        path = Path(directory, "store.db")
        deliver(path, *sent)
        hits = search(path, ALL, limit=100)
    assert {(hit.index, hit.id): hit.document for hit in hits} == sources


def test_chunk_larger_than_a_step_is_stored_whole(tmp_path: Path) -> None:
    """A chunk is taken in steps, whose repeats and refusals are counted over all of it."""
    lines = [Document(f"key-{n % 4_500}").lines for n in range(5_000)]
    lines[4_999] = bulk_lines(INDEX, "bad", b"[]")
    outcomes = send(tmp_path / "store.db", gzip.compress(b"".join(lines)), 5_000)
    assert (outcomes.delivered, outcomes.duplicates) == (4_500, 499)
    assert [refusal.item for refusal in outcomes.refused] == [4_999]
    assert len(found(tmp_path / "store.db", "line")) == 4_500


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no gzip",
        chunk_of([DOCUMENT])[:-1],
        gzip.compress(b""),
        gzip.compress(DOCUMENT.lines + DOCUMENT.lines),
        gzip.compress(DOCUMENT.lines + b'{"create":{"_index":"i"}}\n'),
        gzip.compress(DOCUMENT.lines + b"{}\n{}\n"),
    ],
)
def test_malformed_chunk_is_refused_whole(tmp_path: Path, data: bytes) -> None:
    """Of a chunk that is cut, or does not hold what it should, nothing is stored."""
    with pytest.raises(SinkRefused, match="malformed"):
        send(tmp_path / "store.db", data, 1)
    assert found(tmp_path / "store.db") == []


def test_foreign_names_are_only_text(tmp_path: Path) -> None:
    """Names and ids that look like SQL are stored and found as they are."""
    evil = "\"'); DROP TABLE indices; --"
    sent = [Document(evil, index=evil, pod=evil), Document("key-0", index="a"), Document("key-1")]
    deliver(tmp_path / "store.db", sent)
    assert {
        (hit.index, hit.id, hit.pod) for hit in search(tmp_path / "store.db", ALL, limit=9)
    } == {(document.index, document.id, document.pod) for document in sent}


def test_locked_store_is_unavailable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While another process writes, a chunk waits; then it is taken."""
    monkeypatch.setattr("shipper.sink.local._BUSY_SECS", 0.01)
    path = tmp_path / "store.db"
    deliver(path)
    with closing(sqlite3.connect(path)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(SinkUnavailable, match=r"store\.db cannot be written: .*locked"):
            deliver(path, [DOCUMENT])
    assert deliver(path, [DOCUMENT])[0].delivered == 1


def test_full_disk_stores_nothing_of_a_chunk(tmp_path: Path) -> None:
    """Where the disk takes no more, the whole chunk is unavailable, and sent again it is stored."""
    path = tmp_path / "store.db"
    chunk = [Document(f"key-{n}", "word " * n) for n in range(1_000)]

    async def fill() -> Outcomes:
        store = LocalStore(path, max_bytes=1 << 30, max_age_days=14)
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
            with pytest.raises(SinkUnavailable):
                await store.send(chunk_of(chunk), len(chunk))
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
            assert found(path) == []
            return await store.send(chunk_of(chunk), len(chunk))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
            await store.close()

    assert asyncio.run(fill()).delivered == 1_000
    assert len(found(path, "word")) == 999


def test_search_reads_beside_a_writer(tmp_path: Path) -> None:
    """What is delivered can be searched at once, while the agent runs and after it has ended."""
    path = tmp_path / "new" / "store.db"

    async def send_and_search() -> None:
        store = LocalStore(path, max_bytes=1 << 30, max_age_days=14)
        await store.check()
        assert found(path) == []
        await store.send(chunk_of([DOCUMENT]), 1)
        assert found(path) == ["key-0"]
        await store.close()

    asyncio.run(send_and_search())
    assert found(path) == ["key-0"]


def test_close_finishes_what_was_begun(tmp_path: Path) -> None:
    """A chunk that is being stored when the store is closed is stored."""

    async def send_and_close() -> Outcomes:
        store = LocalStore(tmp_path / "store.db", max_bytes=1 << 30, max_age_days=14)
        async with asyncio.TaskGroup() as group:
            sending = group.create_task(store.send(chunk_of([DOCUMENT]), 1))
            await asyncio.sleep(0)
            await store.close()
        return sending.result()

    assert asyncio.run(send_and_close()).delivered == 1


def test_only_the_owner_can_read_it(tmp_path: Path) -> None:
    """Logs hold secrets: the store's files are closed to everyone else."""

    def modes() -> set[int]:
        return {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}

    async def modes_while_open() -> set[int]:
        store = LocalStore(tmp_path / "store.db", max_bytes=1 << 30, max_age_days=14)
        await store.send(chunk_of([DOCUMENT]), 1)
        found = modes()
        await store.close()
        return found

    assert asyncio.run(modes_while_open()) == {0o600}


def test_delivered_is_synced(tmp_path: Path) -> None:
    """A commit is synced and not only written: a delivered chunk is deleted from the buffer."""

    async def synchronous() -> int:
        store = LocalStore(tmp_path / "store.db", max_bytes=1 << 30, max_age_days=14)
        level: int = store._db.execute("PRAGMA synchronous").fetchone()[0]  # noqa: SLF001
        await store.close()
        return level

    assert asyncio.run(synchronous()) == 2


def test_search_without_a_store_says_what_to_do(tmp_path: Path) -> None:
    """Where there is no store, the message names the place and the command that makes one."""
    with pytest.raises(ShipperError, match=r"no store at .*store\.db.*shipper run PATH"):
        search(tmp_path / "store.db", ALL, limit=1)


def test_what_is_no_store_is_left_alone(tmp_path: Path) -> None:
    """A file that is no store, or a newer one, needs an operator and is not touched."""
    path = tmp_path / "store.db"
    path.write_bytes(b"something else " * 100)
    with pytest.raises(StateError, match="is damaged"):
        deliver(path)
    with pytest.raises(ShipperError, match="cannot be read"):
        search(path, ALL, limit=1)
    assert path.read_bytes() == b"something else " * 100
    path.unlink()
    with closing(sqlite3.connect(path)) as other:
        other.execute("PRAGMA user_version = 2")
    with pytest.raises(StateError, match="newer shipper"):
        deliver(path)
    with pytest.raises(StateError, match="cannot be opened"):
        deliver(path / "store.db")
