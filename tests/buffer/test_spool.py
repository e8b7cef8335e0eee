"""The spool: when it seals, when it stops reading, who claims what, and what a fault changes."""

import asyncio
import os
import shutil
import tempfile
import time
from collections.abc import Awaitable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipper.buffer import spool as spools
from shipper.buffer import thread
from shipper.buffer.chunk import Read
from shipper.buffer.disk import Disk
from shipper.buffer.spool import Spool
from shipper.model import Chunk
from tests.buffer.powerloss.disk import RecordingDisk
from tests.buffer.powerloss.journal import Journal
from tests.buffer.powerloss.vfs import FULL, no_fault, recorded
from tests.buffer.running import (
    KEY,
    body_of,
    documents_in,
    ids_of,
    opened,
    read_of,
    running,
    until,
)


async def _waits(work: Awaitable[object], secs: float = 0.1) -> bool:
    """Whether something is still waiting after a while."""
    try:
        async with asyncio.timeout(secs):
            await work
    except TimeoutError:
        return True
    return False


async def _sealed(spool: Spool, ids: range) -> None:
    spool.append(read_of(ids, end=ids.stop))
    await spool.flush()


# -- sealing


def test_nothing_read_nothing_written(tmp_path: Path) -> None:
    """While nothing is read, no file is written and nothing is committed."""

    async def scenario() -> None:
        journal = Journal()
        with recorded(journal, no_fault):
            async with running(tmp_path, RecordingDisk(journal), flush_secs=0.01) as spool:
                before = len(journal.operations)
                assert await _waits(spool.claim())
                await spool.flush()
                assert len(journal.operations) == before

    asyncio.run(scenario())


def test_chunk_is_sealed_at_its_age(tmp_path: Path) -> None:
    """A chunk is sealed when it is flush_secs old, however small it is."""

    async def scenario() -> None:
        async with running(tmp_path, flush_secs=0.2) as spool:
            started = time.monotonic()
            spool.append(read_of([1], end=1))
            chunk = await spool.claim()
            assert time.monotonic() - started >= 0.2
            assert documents_in(spool, chunk) == [1]

    asyncio.run(scenario())


@pytest.mark.parametrize("limit", ["chunk_bytes", "chunk_documents"])
def test_chunk_is_sealed_when_it_is_full(tmp_path: Path, limit: str) -> None:
    """A chunk is sealed at once when it has chunk_bytes or chunk_documents."""

    async def scenario() -> None:
        async with running(tmp_path, None, **{limit: 4_096}) as spool:
            size = 4_096 // len(body_of([1])) if limit == "chunk_bytes" else 4_095
            spool.append(read_of([1] * size, end=size))
            assert await _waits(spool.claim())
            spool.append(read_of([2] * 10, end=size + 10))
            assert (await spool.claim()).documents == size + 10

    asyncio.run(scenario())


def test_full_chunk_stops_reading_until_it_is_taken(tmp_path: Path) -> None:
    """I6: while one chunk is being sealed and the next one is full, there is no room."""

    async def scenario() -> None:
        async with opened(tmp_path, chunk_documents=2) as spool:
            await spool.room()
            spool.append(read_of([1, 2], end=2))
            assert await _waits(spool.room())
            async with asyncio.TaskGroup() as group:
                sealing = group.create_task(spool.seal_loop())
                await spool.room()
                assert (await spool.claim()).documents == 2
                sealing.cancel()

    asyncio.run(scenario())


def test_chunks_are_claimed_oldest_first(tmp_path: Path) -> None:
    """I6: chunks are sealed in the order of reading, and claimed in it, also after a restart."""

    async def scenario() -> None:
        async with running(tmp_path) as spool:
            for n in range(5):
                await _sealed(spool, range(n, n + 1))
            await spool.claim()
        async with running(tmp_path) as spool:
            chunks = [await spool.claim() for _ in range(5)]
            assert [documents_in(spool, chunk) for chunk in chunks] == [[n] for n in range(5)]
            assert await _waits(spool.claim())

    asyncio.run(scenario())


def test_positions_move_without_documents(tmp_path: Path) -> None:
    """I3: where every line was dropped, the position is committed, and no chunk is made."""

    async def scenario() -> None:
        async with running(tmp_path) as spool:
            spool.append(read_of([], end=100, dropped=100))
            await spool.flush()
            assert spool.buffered_chunks == 0
            assert spool.totals == {("read_bytes", ""): 100, ("dropped_bytes", "rule"): 100}
        async with opened(tmp_path) as spool:
            assert [file.position.end for file in spool.positions.of(KEY)] == [100]
            assert spool.totals == {("read_bytes", ""): 100, ("dropped_bytes", "rule"): 100}

    asyncio.run(scenario())


def test_chunk_and_positions_move_together(tmp_path: Path) -> None:
    """I1: what is read is known at once, and after a crash as far as it was sealed."""

    async def scenario() -> None:
        async with running(tmp_path) as spool:
            await _sealed(spool, range(3))
            spool.append(read_of([3], end=4))
            spool.append(read_of([3], end=9, key="other"))
            assert [file.position.end for file in spool.positions.of(KEY)] == [4]
            assert [file.position.end for file in spool.positions.of("other")] == [9]
        async with running(tmp_path) as spool:
            assert [file.position.end for file in spool.positions.of(KEY)] == [3]
            assert spool.positions.of("other") == []
            assert documents_in(spool, await spool.claim()) == [0, 1, 2]

    asyncio.run(scenario())


def test_positions_can_be_forgotten(tmp_path: Path) -> None:
    """After `forget_files` every file is new; chunks stay."""

    async def scenario() -> None:
        async with running(tmp_path) as spool:
            await _sealed(spool, range(3))
            spool.forget_files()
            assert spool.positions.of(KEY) == []
        async with running(tmp_path) as spool:
            assert spool.positions.of(KEY) == []
            assert spool.buffered_chunks == 1

    asyncio.run(scenario())


def test_absent_destination_makes_chunks_older(tmp_path: Path) -> None:
    """While the destination is away chunks are sealed later; at once when it is back."""

    async def scenario() -> None:
        async with running(tmp_path, flush_secs=0.01) as spool:
            spool.away = True
            spool.append(read_of([1], end=1))
            assert await _waits(spool.claim())
            spool.away = False
            async with asyncio.timeout(10):
                assert (await spool.claim()).documents == 1

    asyncio.run(scenario())


def test_deleted_file_hurries(tmp_path: Path) -> None:
    """Lines of a deleted file are sealed soon, also while the destination is away."""

    async def scenario() -> None:
        async with running(tmp_path) as spool:
            spool.hurry()
            spool.away = True
            spool.append(read_of([1], end=1))
            spool.hurry()
            assert (await spool.claim()).documents == 1

    asyncio.run(scenario())


def test_flush_seals_what_there_is(tmp_path: Path) -> None:
    """`flush` returns when all is sealed; a flush that was given up does not hasten later ones."""

    async def scenario() -> None:
        async with opened(tmp_path) as spool:
            await spool.flush()
            spool.append(read_of([1], end=1))
            assert await _waits(spool.flush(), 0.01)
            async with asyncio.TaskGroup() as group:
                sealing = group.create_task(spool.seal_loop())
                assert await _waits(spool.claim())
                await spool.flush()
                assert spool.buffered_documents == 1
                sealing.cancel()

    asyncio.run(scenario())


# -- shipping


def test_shipped_chunk_is_gone(tmp_path: Path) -> None:
    """I1: a shipped chunk has neither row nor file, and the spool is empty."""

    async def scenario() -> None:
        async with running(tmp_path) as spool:
            await spool.empty()
            await _sealed(spool, range(3))
            assert await _waits(spool.empty(), 0.01)
            assert spool.buffered_bytes > 0
            await spool.shipped(await spool.claim(), delivered=2, dead=1)
            await spool.empty()
            assert (spool.buffered_chunks, spool.buffered_documents) == (0, 0)
            assert spool.buffered_bytes == 0
            assert list(spool.directory.iterdir()) == []
            assert (spool.totals["delivered", ""], spool.totals["dead", ""]) == (2, 1)

    asyncio.run(scenario())


def test_rest_of_a_chunk_waits_until_released(tmp_path: Path) -> None:
    """I2: what is left of a chunk takes its place, claimed until it is given back."""

    async def scenario() -> None:
        async with running(tmp_path) as spool:
            await _sealed(spool, range(6))
            await _sealed(spool, range(6, 8))
            chunk = await spool.claim()
            parts = [body_of([1, 3]), body_of([5])]
            left = await spool.replace(chunk, parts, delivered=2, dead=1)
            assert (spool.buffered_chunks, spool.buffered_documents) == (3, 5)
            assert documents_in(spool, await spool.claim()) == [6, 7]
            assert await _waits(spool.claim(), 0.01)
            spool.release(left)
            claimed = [await spool.claim(), await spool.claim()]
            assert [documents_in(spool, part) for part in claimed] == [[1, 3], [5]]
        async with running(tmp_path) as spool:
            rows = [documents_in(spool, await spool.claim()) for _ in range(3)]
            assert sorted(rows) == [[1, 3], [5], [6, 7]]

    asyncio.run(scenario())


def test_released_chunk_is_claimed_next_or_last(tmp_path: Path) -> None:
    """A chunk that is given back is claimed before the others, or behind them if asked."""

    async def scenario() -> None:
        async with running(tmp_path) as spool:
            for n in range(3):
                await _sealed(spool, range(n, n + 1))
            chunk = await spool.claim()
            spool.release([chunk])
            assert await spool.claim() == chunk
            spool.release([chunk], last=True)
            claimed = [await spool.claim() for _ in range(3)]
            assert [documents_in(spool, c) for c in claimed] == [[1], [2], [0]]

    asyncio.run(scenario())


def test_each_chunk_is_claimed_once(tmp_path: Path) -> None:
    """I2: of many shippers that wait, one gets a chunk."""

    async def scenario() -> None:
        got: list[Chunk] = []

        async def ship(spool: Spool) -> None:
            while True:
                got.append(await spool.claim())

        async with running(tmp_path) as spool, asyncio.TaskGroup() as group:
            shippers = [group.create_task(ship(spool)) for _ in range(5)]
            for n in range(10):
                await _sealed(spool, range(n, n + 1))
            await until(lambda: len(got) == 10)
            assert len({chunk.name for chunk in got}) == 10
            for shipper in shippers:
                shipper.cancel()

    asyncio.run(scenario())


# -- the quota


def test_quota_stops_reading_until_a_chunk_is_shipped(tmp_path: Path) -> None:
    """At the quota there is no room and `paused` says why; a shipped chunk makes room."""

    async def scenario() -> None:
        async with running(tmp_path, max_chunks=8) as spool:
            for n in range(8):
                await spool.room()
                await _sealed(spool, range(n, n + 1))
            assert spool.paused == "buffer.max_chunks (8) is reached"
            assert await _waits(spool.room())
            await spool.shipped(await spool.claim(), delivered=1)
            await spool.room()
            assert spool.paused == "buffer.max_chunks (8) is reached but for its reserve"
            await spool.shipped(await spool.claim(), delivered=1)
            assert spool.paused == ""

    asyncio.run(scenario())


def test_noisy_series_leave_the_reserve_to_others(tmp_path: Path) -> None:
    """Noisy series stop first, then their deleted files, and quiet series last of all."""

    async def scenario() -> None:
        async with running(tmp_path, max_chunks=16) as spool:
            spool.append(read_of(range(20_000), end=20_000))
            await spool.flush()
            asked = [("/quiet", False), ("/log", True), ("/log", False)]
            stopped: dict[tuple[str, bool], int] = {}
            while not stopped.get(asked[0]):
                full = [ask for ask in asked if not spool.has_room(ask[0], deleted=ask[1])]
                stopped = dict.fromkeys(full, spool.buffered_chunks) | stopped
                await _sealed(spool, range(20_000, 20_001))
            assert [stopped[ask] for ask in asked] == [16, 15, 14]

    asyncio.run(scenario())


def test_quota_holds_after_a_restart(tmp_path: Path) -> None:
    """Chunks of an earlier run count against the quota."""

    async def scenario() -> None:
        async with running(tmp_path) as spool:
            for n in range(8):
                await _sealed(spool, range(n, n + 1))
        async with running(tmp_path, max_chunks=8) as spool:
            assert spool.paused == "buffer.max_chunks (8) is reached"
            assert await _waits(spool.room(), 0.01)

    asyncio.run(scenario())


def test_space_that_others_free_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading goes on by itself when the disk has enough space again."""
    monkeypatch.setattr(spools, "_LOOK_AGAIN_SECS", 0.01)
    fields = list(os.statvfs(tmp_path))
    fields[2], fields[4] = 100, 5  # f_blocks, f_bavail
    monkeypatch.setattr(os, "statvfs", lambda _: os.statvfs_result(fields))

    async def scenario() -> None:
        async with running(tmp_path, min_free_percent=15) as spool:
            assert spool.paused.startswith("the disk is fuller than")
            assert await _waits(spool.room())
            fields[4] = 50
            await spool.room()
            assert spool.paused == ""

    asyncio.run(scenario())


# -- a disk that refuses


class FullDisk(Disk):
    """A disk that takes nothing while it is full."""

    def __init__(self) -> None:
        self.full = False

    def write(self, descriptor: int, data: bytes) -> None:
        if self.full:
            raise OSError(28, "No space left on device")
        super().write(descriptor, data)


@pytest.fixture
def _no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thread, "_FAULT_RETRY_SECS", 0.005)
    monkeypatch.setattr(spools, "_LOOK_AGAIN_SECS", 0.005)


@pytest.mark.usefixtures("_no_waits")
def test_full_disk_stops_reading_and_not_shipping(tmp_path: Path) -> None:
    """On a full disk reading stops and says why, chunks are shipped, and nothing is lost."""

    async def scenario() -> None:
        disk = FullDisk()
        async with running(tmp_path, disk) as spool, asyncio.TaskGroup() as group:
            await _sealed(spool, range(3))
            disk.full = True
            spool.append(read_of(range(3, 5), end=5))
            flush = group.create_task(spool.flush())
            await until(lambda: spool.paused)
            assert spool.paused == "the disk refuses writes: No space left on device"
            assert await _waits(spool.room(), 0.05)
            await spool.shipped(await spool.claim(), delivered=3)
            assert spool.paused == "the disk refuses writes: No space left on device"
            assert not flush.done()
            disk.full = False
            await flush
            await spool.room()
            assert spool.paused == ""
            assert documents_in(spool, await spool.claim()) == [3, 4]
            assert spool.totals == spool.state.totals()
            assert spool.totals["chunked", ""] == 5

    asyncio.run(scenario())


@pytest.mark.usefixtures("_no_waits")
def test_rest_of_a_chunk_waits_for_a_full_disk(tmp_path: Path) -> None:
    """I2: what is left of a chunk is written once the disk takes it; until then all is kept."""

    async def scenario() -> None:
        disk = FullDisk()
        async with running(tmp_path, disk) as spool, asyncio.TaskGroup() as group:
            await _sealed(spool, range(4))
            chunk = await spool.claim()
            disk.full = True
            work = group.create_task(spool.replace(chunk, [body_of([2])], delivered=3))
            await until(lambda: spool.paused)
            assert [row.name for row in spool.state.chunks()] == [chunk.name]
            disk.full = False
            (part,) = await work
            assert documents_in(spool, part) == [2]
            assert spool.state.chunks() == [part]
            assert spool.totals["delivered", ""] == 3
            assert spool.paused == ""

    asyncio.run(scenario())


@pytest.mark.usefixtures("_no_waits")
def test_full_disk_under_the_database(tmp_path: Path) -> None:
    """I1: a commit that has no space is repeated; chunk, positions and totals are there once."""
    full = False

    async def scenario() -> None:
        nonlocal full
        async with running(tmp_path) as spool, asyncio.TaskGroup() as group:
            await _sealed(spool, range(3))
            full = True
            spool.append(read_of(range(3, 5), end=5))
            flush = group.create_task(spool.flush())
            chunk = await spool.claim()
            ship = group.create_task(spool.shipped(chunk, delivered=3))
            await until(lambda: "database or disk is full" in spool.paused)
            assert spool.path(chunk).exists()
            full = False
            await flush
            await ship
            assert spool.paused == ""
            assert documents_in(spool, await spool.claim()) == [3, 4]
            assert len(list(spool.directory.iterdir())) == 1
            assert spool.totals == spool.state.totals()
            assert spool.totals["delivered", ""] == 3

    with recorded(Journal(), lambda what, _path: FULL if full and what == "write" else 0):
        asyncio.run(scenario())


@pytest.mark.usefixtures("_no_waits")
def test_stop_on_a_full_disk_loses_nothing(tmp_path: Path) -> None:
    """I7: what could not be sealed before the end is not committed, and is read again."""

    async def scenario() -> None:
        disk = FullDisk()
        async with running(tmp_path, disk) as spool:
            await _sealed(spool, range(3))
            disk.full = True
            spool.append(read_of(range(3, 5), end=5))
            assert await _waits(spool.flush())
        async with running(tmp_path) as spool:
            assert [file.position.end for file in spool.positions.of(KEY)] == [3]
            assert spool.buffered_documents == 3

    asyncio.run(scenario())


# -- any sequence


steps = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(0, 9), st.integers(0, 3)),
        st.tuples(st.just("seal"), st.just(0), st.just(0)),
        st.tuples(st.just("claim"), st.just(0), st.just(0)),
        st.tuples(st.just("ship"), st.integers(0, 5), st.just(0)),
        st.tuples(st.just("replace"), st.integers(0, 5), st.integers(1, 4)),
        st.tuples(st.just("split"), st.integers(0, 5), st.just(0)),
        st.tuples(st.just("release"), st.integers(0, 5), st.integers(0, 1)),
        st.tuples(st.just("crash"), st.just(0), st.just(0)),
    ),
    max_size=25,
)


class Walk:
    """Takes any steps on a spool, and checks after each that nothing appears or vanishes."""

    def __init__(self) -> None:
        self.claimed: list[Chunk] = []
        self.gone: set[int] = set()
        self.end = 0

    async def take(self, spool: Spool, step: tuple[str, int, int]) -> None:
        """Do one step; what cannot be done now is left out."""
        name, first, second = step
        if name == "append":
            self._append(spool, first, second)
        elif name == "seal":
            await spool.flush()
        elif name == "claim" and spool.buffered_chunks > len(self.claimed):
            self.claimed.append(await spool.claim())
        elif name in {"ship", "replace", "split", "release"} and self.claimed:
            chunk = self.claimed.pop(first % len(self.claimed))
            await self._settle(spool, chunk, name, second)
        self._check(spool)

    def crash(self, spool: Spool) -> None:
        """Forget what only the process knew."""
        self.claimed.clear()
        self.end = max((file.position.end for file in spool.positions.of(KEY)), default=0)
        self._check(spool)

    def _append(self, spool: Spool, count: int, dropped: int) -> None:
        ids = range(self.end, self.end + count)
        self.end += count + dropped
        spool.append(read_of(ids, end=self.end, dropped=dropped))

    async def _settle(self, spool: Spool, chunk: Chunk, how: str, every: int) -> None:
        ids = documents_in(spool, chunk)
        if how == "release":
            spool.release([chunk], last=bool(every))
        elif how == "ship":
            self.gone.update(ids)
            await spool.shipped(chunk, delivered=len(ids))
        elif how == "split":
            half = len(ids) // 2
            bodies = [body_of(part) for part in (ids[:half], ids[half:]) if part]
            self.claimed += await spool.replace(chunk, bodies, delivered=0)
        else:
            left = ids[every:]
            self.gone.update(ids[:every])
            bodies = [body_of(left)] if left else []
            dead = 1
            done = len(ids) - len(left) - dead
            self.claimed += await spool.replace(chunk, bodies, delivered=done, dead=dead)

    def _check(self, spool: Spool) -> None:
        totals, rows = spool.totals, spool.state.chunks()
        assert totals == spool.state.totals()
        assert totals["read_bytes", ""] == (
            totals["chunked_bytes", ""] + totals["dropped_bytes", "rule"]
        )
        assert totals["chunked", ""] == (
            totals["delivered", ""] + totals["dead", ""] + spool.buffered_documents
        )
        assert totals["lost_documents", ""] == 0
        buffered = [n for row in rows for n in documents_in(spool, row)]
        assert len(buffered) == len(set(buffered)) == spool.buffered_documents
        assert not self.gone.intersection(buffered)
        assert len(rows) == spool.buffered_chunks == len(list(spool.directory.iterdir()))
        blocks = sum(path.stat().st_blocks for path in spool.directory.iterdir())
        assert spool.buffered_bytes == 512 * blocks


@given(steps)
def test_nothing_appears_or_vanishes(taken: list[tuple[str, int, int]]) -> None:
    """I2, I9: bytes and documents add up after any sequence of steps and crashes."""

    async def scenario(root: Path) -> None:
        walk, left, generation = Walk(), list(taken), 0
        while True:
            async with running(root) as spool:
                walk.crash(spool)
                while left and left[0][0] != "crash":
                    await walk.take(spool, left.pop(0))
                generation += 1
                after = root.with_name(f"generation-{generation}")
                shutil.copytree(root, after)  # as a kill leaves it: nothing is closed
            if not left:
                return
            left.pop(0)
            root = after

    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch) / "state"
        root.mkdir()
        asyncio.run(scenario(root))


def test_flags_are_counted(tmp_path: Path) -> None:
    """Documents that carry a flag are counted by it."""

    async def scenario() -> None:
        async with running(tmp_path) as spool:
            read = read_of([1], end=1)
            spool.append(Read(replace(read.documents, marked={"cut": 1}), read.files, 1))
            assert spool._metrics.marked.labels("cut")._value.get() == 1  # noqa: SLF001

    asyncio.run(scenario())


def test_body_is_what_was_appended(tmp_path: Path) -> None:
    """I8: `zcat` of a chunk's file is what was appended, in order."""

    async def scenario() -> None:
        async with running(tmp_path) as spool:
            for n in range(50):
                spool.append(read_of(range(n * 10, n * 10 + 10), end=n * 10 + 10))
            await spool.flush()
            assert documents_in(spool, await spool.claim()) == list(range(500))
            assert ids_of(body_of(range(3))) == [0, 1, 2]

    asyncio.run(scenario())
