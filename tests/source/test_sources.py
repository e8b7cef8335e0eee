"""Sources: every series gets a follower, soon, and loses it when it is gone."""

import asyncio
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from shipper.source.poll import Poller
from tests.cost import uncollected
from tests.source.running import (
    Delivered,
    Running,
    config_of,
    read_once,
    refuse_watches,
    running,
    turning,
    until,
)


class Asleep(Poller):
    """A poller whose files have been quiet for ever: who waits has to be woken."""

    async def run(self) -> None:
        await asyncio.Event().wait()


class Place:
    """A directory of logs, one of them there from the start."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.logs = root / "logs"
        self.logs.mkdir()
        (self.logs / "first.log").write_text("first\n")

    @staticmethod
    async def is_watched(agent: Running) -> None:
        """Wait for the first scan, which comes after the watches."""
        await until(lambda: agent.sources.open_files == 1)


def in_the_directory(place: Place) -> None:
    (place.logs / "a.log").write_text("one\n")


def in_a_new_directory(place: Place) -> None:
    directory = place.logs / "x" / "y"
    directory.mkdir(parents=True)
    (directory / "a.log").write_text("one\n")


def behind_a_link(place: Place) -> None:
    (place.root / "0.log").write_text("one\n")
    (place.logs / "a.log").symlink_to(place.root / "0.log")


def in_the_place_of_a_renamed_file(place: Place) -> None:
    (place.logs / "first.log").rename(place.logs / "first.log.1")
    (place.logs / "first.log").write_text("one\n")


@pytest.mark.parametrize(
    "appear", [in_the_directory, in_a_new_directory, behind_a_link, in_the_place_of_a_renamed_file]
)
def test_new_file_is_open_within_200_ms(tmp_path: Path, appear: Callable[[Place], None]) -> None:
    """A file that appears is open 200 ms later by events alone, with polls and scans far away."""
    place = Place(tmp_path)

    async def follow() -> None:
        config = config_of(tmp_path / "state", place.logs, scan_secs=60, settle_secs=60)
        async with running(config, Delivered(), poller=Asleep()) as agent:
            await place.is_watched(agent)
            appear(place)
            await until(lambda: agent.sources.open_files == 2, within_secs=0.2)

    asyncio.run(follow())


@pytest.mark.parametrize("appear", [in_the_directory, in_a_new_directory, behind_a_link])
def test_scan_alone_finds_new_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, appear: Callable[[Place], None]
) -> None:
    """Where the system lets nothing be watched, a new file is found by the next scan."""
    refuse_watches(monkeypatch)
    place = Place(tmp_path)

    async def follow() -> None:
        async with running(config_of(tmp_path / "state", place.logs), Delivered()) as agent:
            await place.is_watched(agent)
            appear(place)
            await until(lambda: agent.sources.open_files == 2)

    asyncio.run(follow())


def test_short_lived_files_are_seen(tmp_path: Path) -> None:
    """Files that are there for half a second among thousands of others: scans come too seldom."""
    place, delivered = Place(tmp_path), Delivered()
    (tmp_path / "pods").mkdir()
    for number in range(3000):
        (place.logs / f"{number:04}.log").touch()
    jobs = [f"job{number:02}" for number in range(40)]

    async def follow() -> None:
        config = config_of(tmp_path / "state", f"{place.logs}/*.log", scan_secs=60)
        async with running(config, delivered) as agent, asyncio.TaskGroup() as group:
            await until(lambda: agent.sources.open_files == 3001, within_secs=30)
            for name in jobs:
                group.create_task(run_job(name))
                await asyncio.sleep(0.02)
            await until(lambda: len(delivered.by_id) == 1 + 10 * len(jobs))

    async def run_job(name: str) -> None:
        """Write ten lines behind a link, as kubelet has it, and delete all of it soon after.

        Some links come by a rename.
        """
        pod, link = tmp_path / "pods" / name, place.logs / f"{name}.log"
        pod.mkdir()
        (pod / "0.log").write_text("".join(f"{name} {number}\n" for number in range(10)))
        link.with_suffix(".tmp").symlink_to(pod / "0.log")
        if name.endswith("5"):
            link.with_suffix(".tmp").rename(link)
        else:
            link.with_suffix(".tmp").unlink()
            link.symlink_to(pod / "0.log")
        await asyncio.sleep(0.5)
        link.unlink()
        shutil.rmtree(pod)

    asyncio.run(follow())
    assert delivered.logs == ["first", *(f"{name} {n}" for name in jobs for n in range(10))]


def test_event_of_a_named_rotated_file_begins_no_series(tmp_path: Path) -> None:
    """A rotated file that is named is read alone, also when it comes later."""
    place, delivered = Place(tmp_path), Delivered()
    named = place.logs / "b.log.1"

    async def follow() -> None:
        async with running(config_of(tmp_path / "state", named), delivered) as agent:
            await until(lambda: agent.sources.followers == {} and not agent.sources.open_files)
            (place.logs / "b.log").write_text("not this\n")
            named.write_text("this\n")
            await until(lambda: delivered.logs == ["this"])
            assert list(agent.sources.followers) == [str(named)]

    asyncio.run(follow())
    assert delivered.logs == ["this"]


def test_follower_ends_with_its_files(tmp_path: Path) -> None:
    """A series that is gone costs nothing any more, and one that comes back is followed again."""
    place, delivered = Place(tmp_path), Delivered()
    in_the_directory(place)
    (place.logs / "b.log.1").write_text("two\n")  # a series without a live file

    async def follow() -> None:
        async with running(config_of(tmp_path / "state", place.logs), delivered) as agent:
            await until(lambda: delivered.logs == ["first", "one", "two"])
            (place.logs / "a.log").unlink()
            (place.logs / "b.log.1").unlink()
            await until(lambda: len(agent.sources.followers) == 1)
            assert agent.sources.open_files == 1
            assert agent.sources.read_bytes == len("first\none\ntwo\n")
            (place.logs / "a.log").write_text("back\n")
            await until(lambda: "back" in delivered.logs)

    asyncio.run(follow())


def test_directory_that_vanishes_and_returns_is_followed(tmp_path: Path) -> None:
    """A directory that is removed and made again is followed as before."""
    place, delivered = Place(tmp_path), Delivered()

    async def follow() -> None:
        async with running(config_of(tmp_path / "state", place.logs), delivered) as agent:
            await until(lambda: delivered.logs == ["first"])
            shutil.rmtree(place.logs)
            await until(lambda: not agent.sources.followers)
            place.logs.mkdir()
            (place.logs / "a.log").write_text("one\n")
            await until(lambda: delivered.logs == ["first", "one"])

    asyncio.run(follow())


def test_skipped_file_is_named_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What is not followed is in `skipped` with its reason, and logged when it is first seen."""
    place = Place(tmp_path)
    (place.logs / "notes.txt").touch()

    async def follow() -> None:
        async with running(config_of(tmp_path / "state", place.logs), Delivered()) as agent:
            await place.is_watched(agent)
            assert list(agent.sources.skipped) == [str(place.logs / "notes.txt")]
            in_the_directory(place)
            await until(lambda: agent.sources.open_files == 2)

    asyncio.run(follow())
    assert caplog.text.count("notes.txt") == 1


def test_lag_is_what_is_there_and_not_read(tmp_path: Path) -> None:
    """I9: while reading is paused the bytes and seconds behind grow with the files."""
    place, delivered = Place(tmp_path), Delivered()

    async def follow() -> None:
        async with running(config_of(tmp_path / "state", place.logs), delivered) as agent:
            await until(lambda: delivered.logs == ["first"])
            await until(lambda: agent.sources.lag_bytes == 0 and agent.sources.lag_secs == 0)
            delivered.away = True
            with (place.logs / "first.log").open("a", buffering=1) as file:
                while agent.spool.has_room():  # until chunks that nobody ships have filled it
                    file.write("more\n")
                    await asyncio.sleep(0.005)
                written = file.tell()
                file.write("last\n")
            read = agent.sources.read_bytes
            await until(lambda: agent.sources.lag_bytes == written + 5 - read)
            since = agent.sources.lag_secs
            await until(lambda: agent.sources.lag_secs > since + 0.3)
            delivered.away = False
            await until(lambda: "last" in delivered.logs)
            await until(lambda: agent.sources.lag_bytes == 0 and agent.sources.lag_secs == 0)

    asyncio.run(follow())


def test_many_files_leave_the_event_loop_turning(tmp_path: Path) -> None:
    """2,000 files that are all behind are read in turns, between which everything else runs."""
    logs, delivered = tmp_path / "logs", Delivered()
    logs.mkdir()
    for number in range(2000):
        (logs / f"{number}.log").write_text(f"{number}\n" * 50)

    async def follow() -> float:
        """Return the longest time without a turn, as a share of all: machines differ in speed."""
        async with running(config_of(tmp_path / "state", logs), delivered), turning() as delays:
            await until(lambda: len(delivered.by_id) == 100_000, within_secs=60)
            return max(delays) / sum(delays)

    with uncollected():  # a collection of the whole suite's objects would be a long gap
        assert asyncio.run(follow()) < 0.2


def test_quiet_files_cost_little(tmp_path: Path) -> None:
    """500 files that nobody writes take a small part of a core."""
    logs, delivered = tmp_path / "logs", Delivered()
    logs.mkdir()
    for number in range(500):
        (logs / f"{number}.log").write_text("line\n")

    async def follow() -> float:
        config = config_of(tmp_path / "state", logs, scan_secs=5)
        async with running(config, delivered):
            await until(lambda: len(delivered.by_id) == 500)
            before, due = time.process_time(), time.monotonic() + 1.0
            await until(lambda: time.monotonic() > due)
            return time.process_time() - before

    assert asyncio.run(follow()) < 0.5


def test_once_takes_turns_over_many_files(tmp_path: Path) -> None:
    """`--once` reads every file of a directory and ends."""
    logs, delivered = tmp_path / "logs", Delivered()
    logs.mkdir()
    for number in range(300):
        (logs / f"{number}.log").write_text("line\nlast")
        os.utime(logs / f"{number}.log", (1, 1))
    agent = asyncio.run(read_once(config_of(tmp_path / "state", logs), delivered))
    assert len(delivered.by_id) == 600
    assert agent.sources.open_files == 0
