"""The agent's check of its own account, beside a real buffer at work (I9)."""

import asyncio
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from shipper.buffer.spool import Spool
from shipper.buffer.state import Totals
from shipper.metrics import LAWS, Metrics
from shipper.model import FileStatus
from shipper.ops.selfcheck import Patience, SelfCheck, Told
from tests.buffer.running import read_of, running, until

IMPATIENT = Patience(look_again_secs=(0.01, 0.02), stray_secs=0)


@dataclass
class Agent:
    """What an agent tells, and may tell wrong."""

    spool: Spool
    metrics: Metrics = field(default_factory=Metrics)
    miscounted: Totals = field(default_factory=Counter)
    files: list[FileStatus] = field(default_factory=list)
    stuck: bool = False

    def counters(self) -> Totals:
        return self.spool.totals + Counter({("buffered", ""): self.spool.buffered_documents})

    def check(self, state_dir: Path, patience: Patience = IMPATIENT) -> SelfCheck:

        async def files() -> list[FileStatus]:
            return self.files

        told = Told(lambda: self.counters() + self.miscounted, files, lambda: self.stuck)
        return SelfCheck(state_dir, told, metrics=self.metrics, patience=patience)

    def mismatch(self, law: str) -> float | None:
        return self.metrics.registry.get_sample_value("shipper_account_mismatch", {"law": law})

    def checks(self, result: str) -> float:
        labels = {"result": result}
        return self.metrics.registry.get_sample_value("shipper_account_checks_total", labels) or 0


@asynccontextmanager
async def agent(root: Path) -> AsyncIterator[Agent]:
    """An agent with three documents delivered and one in the buffer."""
    async with running(root) as spool:
        spool.append(read_of([1, 2, 3], end=3))
        await spool.flush()
        await spool.shipped(await spool.claim(), delivered=3)
        spool.append(read_of([4], end=4))
        await spool.flush()
        yield Agent(spool)


@asynccontextmanager
async def checking(check: SelfCheck) -> AsyncIterator[None]:
    """Run the check, very often."""
    async with asyncio.TaskGroup() as group:
        task = group.create_task(check.run(0.01))
        try:
            yield
        finally:
            task.cancel()


def write(state_dir: Path, statement: str, *values: int) -> None:
    with closing(sqlite3.connect(state_dir / "state.db")) as db, db:
        db.execute(statement, values)


def delete_chunk(root: Path) -> None:
    next((root / "chunks").iterdir()).unlink()


def plant_position(root: Path) -> None:
    write(root, "UPDATE files SET end_offset = end_offset + 2")


def plant_bytes(root: Path) -> None:
    write(root, "UPDATE files SET pending_bytes = 2")


def plant_documents(root: Path) -> None:
    write(root, "UPDATE chunks SET documents = 3")


@pytest.mark.parametrize(
    ("plant", "law", "difference"),
    [
        (plant_position, "positions", 2),
        (plant_bytes, "bytes", 2),
        (plant_documents, "documents", 2),
        (delete_chunk, "chunks", 1),
    ],
)
def test_planted_miscount_is_reported(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    plant: Callable[[Path], None],
    law: str,
    difference: int,
) -> None:
    """As an error that names law, sides and difference, and as a metric; said once."""

    async def run() -> None:
        async with agent(tmp_path) as one:
            check = one.check(tmp_path)
            plant(tmp_path)
            async with checking(check):
                await until(lambda: one.checks("mismatch") >= 3)
            assert check.mismatches[law] == difference
            assert one.mismatch(law) == difference

    asyncio.run(run())
    said = [r.getMessage() for r in caplog.records if f"not add up ({law})" in r.getMessage()]
    assert len(said) == 1
    assert f"difference {difference}: " in said[0]


def test_counter_that_went_wrong_in_memory_is_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What is exported is held against what is written; when it is right again, that is said."""

    async def run() -> None:
        async with agent(tmp_path) as one:
            check = one.check(tmp_path)
            one.miscounted["delivered", ""] = 7
            async with checking(check):
                await until(lambda: one.mismatch("counters") == 7)
                one.miscounted.clear()
                await until(lambda: one.mismatch("counters") == 0)
            assert check.mismatches == {}

    asyncio.run(run())
    assert "delivered as exported: 10; in state.db: 3; difference 7" in caplog.text
    assert caplog.messages[-1] == "the account adds up again"


def test_file_shorter_than_its_position_is_reported(tmp_path: Path) -> None:
    """The size on disk is looked at, whatever the agent believes."""
    path = tmp_path / "a.log"
    path.write_bytes(b"123\n")
    place = path.stat()

    async def run() -> None:
        async with agent(tmp_path) as one:
            check = one.check(tmp_path)
            write(tmp_path, "UPDATE files SET device = ?, inode = ?", place.st_dev, place.st_ino)
            one.files = [FileStatus(str(path), "k", 4, 4, 0, held=False, live=True)]
            assert await check.check() == []
            path.write_bytes(b"1\n")
            assert [mismatch.law for mismatch in await check.check()] == ["sizes"]
            one.files = [FileStatus(str(path), "k", 2, 4, 0, held=False, live=True)]
            assert await check.check() == [], "it was truncated, and the agent knows"

    asyncio.run(run())


def test_chunk_file_without_a_row_is_reported_when_no_seal_explains_it(tmp_path: Path) -> None:
    """Not at once, and not while the disk takes nothing: then a seal may be halfway for long."""

    async def run() -> None:
        async with agent(tmp_path) as one:
            chunk = next((tmp_path / "chunks").iterdir())
            chunk.with_name(f"{one.spool.state.database_id}-{1:020d}.ndjson.gz").touch()
            patient = one.check(tmp_path, Patience((), stray_secs=60))
            check = one.check(tmp_path)
            assert await patient.check() == []
            one.stuck = True
            assert await check.check() == []
            one.stuck = False
            assert await patient.check() == []
            assert [mismatch.law for mismatch in await check.check()] == ["chunks"]

    asyncio.run(run())


def test_buffer_at_work_is_no_mismatch(tmp_path: Path) -> None:
    """Chunks sealed, split and shipped while the check looks never are a false alarm."""

    async def work(spool: Spool) -> None:
        for number in range(10, 10_000, 10):
            spool.append(read_of(range(number, number + 9), end=number, dropped=1))
            await spool.flush()
            chunk = await spool.claim()
            parts = await spool.replace(chunk, [], delivered=8, dead=1) if number % 20 else []
            if not number % 20:
                await spool.shipped(chunk, delivered=9)
            assert not parts

    async def run() -> None:
        async with running(tmp_path) as spool, asyncio.TaskGroup() as group:
            one = Agent(spool)
            check = one.check(tmp_path, Patience((0.01, 0.05), stray_secs=60))
            working = group.create_task(work(spool))
            async with checking(check):
                await until(lambda: one.checks("ok") >= 50 or one.checks("mismatch"))
            working.cancel()
            assert check.mismatches == {}
            assert one.checks("mismatch") == 0

    asyncio.run(run())


def test_check_that_cannot_look_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It counts neither as right nor as wrong, and is tried again."""

    async def run() -> None:
        async with agent(tmp_path) as one:
            check = one.check(tmp_path)
            (tmp_path / "chunks").rename(tmp_path / "away")
            async with checking(check):
                await until(lambda: "the account cannot be checked" in caplog.text)
                (tmp_path / "away").rename(tmp_path / "chunks")
                await until(lambda: one.checks("ok"))
            assert one.checks("mismatch") == 0

    asyncio.run(run())


def test_every_law_has_a_sample_from_the_start() -> None:
    """An alert on a difference needs no law that was broken before."""
    value = Metrics().registry.get_sample_value
    assert [value("shipper_account_mismatch", {"law": law}) for law in LAWS] == [0] * len(LAWS)
    assert value("shipper_account_checks_total", {"result": "mismatch"}) == 0
