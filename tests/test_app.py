"""The whole agent in this process: sources, buffer and shipping, into a scripted server."""

import asyncio
import os
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from shipper import app
from shipper.app import Options
from shipper.buffer.lock import StateLock
from shipper.errors import ShipperError, StateError
from shipper.ops.terminal import Snapshot
from tests.buffer.running import until
from tests.fakes import elasticsearch as fakes
from tests.fakes.elasticsearch import FakeElasticsearch, says
from tests.inprocess import agent, configured, lines, once

# -- until all is read


def test_once_delivers_everything_and_ends(tmp_path: Path) -> None:
    """With `once`, all lines are delivered; then there is nothing new, until it is forgotten."""
    size = lines(tmp_path, "one", "two")
    (tmp_path / "logs/x.txt").write_text("no\n")

    async def run() -> list[Snapshot]:
        async with FakeElasticsearch().serving() as fake:
            done = [await once(tmp_path, fake), await once(tmp_path, fake)]
            assert len(fake.documents) == 2
            again = await once(tmp_path, fake, from_beginning=True)
            assert len(fake.documents) == 2, "ids are the same again (I5)"
            return [*done, again]

    first, second, again = asyncio.run(run())
    assert (first.delivered, first.read_bytes, first.buffered) == (2, size, 0)
    assert [Path(path).name for path in first.paths] == ["a.log"]
    assert [Path(path).name for path in first.skipped] == ["x.txt"]
    assert (second.delivered, again.delivered) == (0, 2)


def test_once_can_be_interrupted(tmp_path: Path) -> None:
    """While the destination is away a signal ends it; what was read is there for the next run."""
    lines(tmp_path, "one")

    async def run() -> None:
        fake = FakeElasticsearch(script=[says(503)] * 10_000)
        async with agent(tmp_path, fake, Options(once=True)) as run:
            await until(lambda: len(fake.bulks) > 1)
            done = await run.end()
            assert (done.delivered, done.buffered) == (0, 1)
            assert "answered 503" in done.trouble
            fake.script.clear()
            assert (await once(tmp_path, fake)).delivered == 1

    asyncio.run(run())


# -- an agent


def test_agent_follows_until_a_signal_and_delivers_what_it_read(tmp_path: Path) -> None:
    """SIGTERM ends reading, then delivers: nothing waits for the next start if it need not."""

    async def run() -> None:
        fake = FakeElasticsearch()
        async with agent(tmp_path, fake, buffer={"flush_secs": 30}) as run:
            lines(tmp_path, "first")
            await until(lambda: run.delivered == ["first"])
            size = lines(tmp_path, "second")
            await until(lambda: run.seen.last.read_bytes == size)
            assert run.delivered == ["first"], "it waits for flush_secs"
            done = await run.end()
            assert run.delivered == ["first", "second"]
            assert (done.delivered, done.buffered) == (2, 0)

    asyncio.run(run())


def test_first_document_does_not_wait_for_others(tmp_path: Path) -> None:
    """However large flush_secs is, the first chunk goes as soon as there is one."""
    lines(tmp_path, "first")

    async def run() -> None:
        started = time.monotonic()
        async with agent(tmp_path, FakeElasticsearch(), buffer={"flush_secs": 60}) as run:
            await until(lambda: run.delivered == ["first"])
            assert time.monotonic() - started < 5

    asyncio.run(run())


@pytest.mark.parametrize("disk_fails", [False, True])
def test_stop_is_bounded_by_grace_secs(tmp_path: Path, *, disk_fails: bool) -> None:
    """A server that hangs, and a disk that takes nothing, do not keep the agent from ending."""

    async def run() -> None:
        fake = FakeElasticsearch(script=[fakes.take_and_hang] * 100)
        buffer = {"grace_secs": 0.3, "flush_secs": 30}
        async with agent(tmp_path, fake, buffer=buffer) as run:
            lines(tmp_path, "one")
            await until(lambda: fake.bulks)
            if disk_fails:
                size = lines(tmp_path, "two")
                await until(lambda: run.seen.last.read_bytes == size)
                shutil.rmtree(run.config.state_dir / "chunks")
                (run.config.state_dir / "chunks").touch()  # nothing can be created in a file
            started = time.monotonic()
            await run.end()
            assert 0.3 <= time.monotonic() - started < 5

    asyncio.run(run())


def test_reading_deleted_files_at_a_stop_is_part_of_the_grace(tmp_path: Path) -> None:
    """What is read of them takes its time from that of the delivery."""

    async def run() -> None:
        fake = FakeElasticsearch(script=[fakes.take_and_hang] * 100)
        async with agent(tmp_path, fake, buffer={"grace_secs": 2, "max_chunks": 8}) as run:
            for number in range(1, 9):
                lines(tmp_path, "line")
                await until(lambda n=number: run.seen.last.buffered == n)  # type: ignore[misc]
            size = lines(tmp_path, "line")
            (tmp_path / "logs/a.log").unlink()
            await until(lambda: run.seen.last.lag_bytes == size // 9)
            started = time.monotonic()
            await run.end()
            assert 1.9 <= time.monotonic() - started < 3.6  # twice the grace would be 4

    asyncio.run(run())


def test_stop_does_not_wait_for_a_server_that_is_away(tmp_path: Path) -> None:
    """Where nothing is taken anyway, the agent ends at once and keeps everything."""

    async def run() -> None:
        fake = FakeElasticsearch(script=[says(503)] * 10_000)
        async with agent(tmp_path, fake, buffer={"grace_secs": 60}) as run:
            lines(tmp_path, "one")
            await until(lambda: len(fake.bulks) > 1)
            started = time.monotonic()
            assert (await run.end()).buffered == 1
            assert time.monotonic() - started < 5

    asyncio.run(run())


def test_health_and_metrics_tell_what_is_the_matter(tmp_path: Path) -> None:
    """Live but not ready while the server is away, with its words; then the law holds (I9)."""

    async def run() -> None:
        fake = FakeElasticsearch(version=None, root_status=503)
        async with agent(tmp_path, fake) as run:
            size = lines(tmp_path, "one", "two")
            await run.until_ready_says("answered 503")
            assert (await run.get("/livez"))[0] == 200
            fake.version, fake.root_status = "9.5.3", 200
            fake.script = [fakes.refuses([(400, "mapper_parsing_exception")])]
            await until(lambda: run.seen.last.delivered == 1)
            await run.until_ready_says("ready\n")
            assert (await run.get("/readyz"))[0] == 200
            values = _values((await run.get("/metrics"))[1])
            assert values["read_bytes_total"] == values["chunked_bytes_total"] == size
            assert values["chunked_documents_total"] == 2
            assert values["delivered_documents_total"] == values["dead_documents_total"] == 1
            assert values["dead_letters"] == values["series"] == 1
            await run.end()
            assert await run.get("/livez") == (0, ""), "it listens no more"

    asyncio.run(run())


def _values(text: str) -> dict[str, float]:
    pairs = [line.rsplit(" ", 1) for line in text.splitlines() if line.startswith("shipper_")]
    return {name.removeprefix("shipper_"): float(value) for name, value in pairs}


def test_fault_of_the_program_ends_it(tmp_path: Path) -> None:
    """What nobody has foreseen is not survived in silence: the supervisor starts it anew."""

    async def run() -> None:
        async with FakeElasticsearch().serving() as fake:
            config = configured(tmp_path, fake.url)
            lines(tmp_path, "one")
            await app.run(config, Options(once=True), view=Broken())

    with pytest.raises(ExceptionGroup) as group:
        asyncio.run(run())
    assert group.group_contains(ZeroDivisionError)


class Broken:
    """A view with a bug."""

    def show(self, snapshot: Snapshot) -> None:
        """Fail."""
        raise ZeroDivisionError(len(snapshot.paths))


# -- one agent per state directory


def test_second_agent_waits_live_and_not_ready(tmp_path: Path) -> None:
    """It says who has the directory, takes over when that one ends, and loses no line meanwhile."""
    lines(tmp_path, "one")
    (tmp_path / "state").mkdir()
    lock = StateLock(tmp_path / "state")
    assert lock.acquire()

    async def run() -> None:
        async with agent(tmp_path, FakeElasticsearch()) as run:
            await run.until_ready_says(f"is in use by pid {os.getpid()}")
            assert (await run.get("/readyz"))[0] == 503
            assert (await run.get("/livez"))[0] == 200
            assert not run.fake.requests
            lock.release()
            await until(lambda: run.delivered == ["one"])
            await run.end()

    asyncio.run(run())


def test_waiting_agent_can_be_stopped(tmp_path: Path) -> None:
    """A signal ends the wait, in good order."""
    (tmp_path / "state").mkdir()
    lock = StateLock(tmp_path / "state")
    assert lock.acquire()

    async def run() -> None:
        async with agent(tmp_path, FakeElasticsearch()) as run:
            await run.until_ready_says("is in use")
            assert "is in use" in (await run.end()).trouble

    asyncio.run(run())
    lock.release()


def test_short_run_does_not_wait_for_another(tmp_path: Path) -> None:
    """Where somebody sits before it, it is refused at once, with the holder's name."""
    (tmp_path / "state").mkdir()
    lock = StateLock(tmp_path / "state")
    assert lock.acquire()
    config = configured(tmp_path, "http://127.0.0.1:9")
    with pytest.raises(ExceptionGroup) as group:
        asyncio.run(app.run(config, Options(once=True, wait_for_lock=False)))
    assert group.group_contains(StateError, match=f"is in use by pid {os.getpid()}.*stop it, or")
    lock.release()


def test_unusable_state_dir_is_named(tmp_path: Path) -> None:
    """A state directory that is a file says what to do, before anything is read."""
    (tmp_path / "state").write_text("")
    config = configured(tmp_path, "http://127.0.0.1:9")
    with pytest.raises(ShipperError, match=r"state_dir .*state cannot be used.*--state-dir"):
        asyncio.run(app.run(config, Options(once=True)))


# -- another output


def test_changed_output_with_undelivered_documents_is_refused_with_the_choices(
    tmp_path: Path,
) -> None:
    """Documents for one output do not go to another unless that is asked for."""
    lines(tmp_path, "one")

    async def interrupted() -> None:
        fake = FakeElasticsearch(script=[says(503)] * 10_000)
        async with agent(tmp_path, fake) as run:
            await until(lambda: len(fake.bulks) > 1)
            await run.end()

    async def refused() -> None:
        async with FakeElasticsearch().serving() as fake:
            await once(tmp_path, fake)

    async def moved() -> dict[Any, Any]:
        async with FakeElasticsearch().serving() as fake:
            await once(tmp_path, fake, move_buffer=True)
            return fake.documents

    asyncio.run(interrupted())
    with pytest.raises(StateError) as fault:
        asyncio.run(refused())
    assert fault.value.exit_status == 3
    text = str(fault.value)
    assert text.startswith("1 documents in ")
    assert all(choice in text for choice in ("old output", "--move-buffer", "--state-dir"))
    assert [source["log"] for source in asyncio.run(moved()).values()] == ["one\n"]


def test_changed_output_is_taken_when_all_is_delivered(tmp_path: Path) -> None:
    """With nothing in the buffer there is nothing to ask."""
    lines(tmp_path, "one")

    async def run() -> int:
        async with FakeElasticsearch().serving() as first:
            await once(tmp_path, first)
        lines(tmp_path, "two")
        async with FakeElasticsearch().serving() as second:
            return (await once(tmp_path, second)).delivered

    assert asyncio.run(run()) == 1


def test_node_name_is_fixed_at_the_first_start(tmp_path: Path) -> None:
    """A host that is called otherwise tomorrow makes the same ids (I5)."""
    lines(tmp_path, "one")

    async def run() -> set[Any]:
        async with FakeElasticsearch().serving() as fake:
            for name in ("a", "b"):
                config = configured(tmp_path, fake.url, node_name=name)
                await app.run(config, Options(once=True, from_beginning=True))
            return set(fake.documents)

    assert len(asyncio.run(run())) == 1
