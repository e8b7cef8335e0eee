"""Poll: followers wake soon where something happens, and cost little where nothing does."""

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from shipper.source.poll import Look, Poller
from tests.cost import uncollected
from tests.source.running import until

QUIET_SECS, BUSY_SECS = 1e6, 0.0


class Files:
    """The files of a follower, and what the poller asked of them."""

    def __init__(self, *paths: Path, quiet_secs: float = QUIET_SECS) -> None:
        self.asked: list[float] = []
        self.noticed: list[float] = []
        self.descriptors = [os.open(path, os.O_RDONLY) for path in paths]
        self.sizes = [os.fstat(descriptor).st_size for descriptor in self.descriptors]
        self.look = Look(
            self._changed,
            lambda: quiet_secs,
            sizes=self.known,
            notice=lambda: self.noticed.append(time.monotonic()),
        )

    def known(self) -> Iterable[tuple[int, int]]:
        """The files, as they were read last."""
        return zip(self.descriptors, self.sizes, strict=True)

    def _changed(self) -> bool:
        self.asked.append(time.monotonic())
        sizes = [os.fstat(descriptor).st_size for descriptor in self.descriptors]
        return sizes != self.sizes

    def close(self) -> None:
        for descriptor in self.descriptors:
            os.close(descriptor)


@asynccontextmanager
async def serving() -> AsyncIterator[tuple[Poller, asyncio.TaskGroup]]:
    """A poller at work, with a group for those who wait."""
    poller = Poller()
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(poller.run())]
        try:
            yield poller, group
        finally:
            for task in tasks:
                task.cancel()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "a.log").write_bytes(b"a line\n")
    return tmp_path / "a.log"


def append(path: Path) -> float:
    """Write to a file; returns when."""
    with path.open("ab") as file:
        file.write(b"more\n")
    return time.monotonic()


@pytest.mark.parametrize(("quiet_secs", "within"), [(QUIET_SECS, 0.8), (BUSY_SECS, 0.3)])
def test_wait_ends_with_the_change(path: Path, quiet_secs: float, within: float) -> None:
    """A file that was quiet for long is found to grow 0.5 s later, a busy one 50 ms later."""

    async def wait() -> float:
        files = Files(path, quiet_secs=quiet_secs)
        async with serving() as (poller, group):
            waiting = group.create_task(poller.wait(files.look))
            await asyncio.sleep(0.5)
            grown = append(path)
            await waiting
        files.close()
        return time.monotonic() - grown

    assert asyncio.run(wait()) < within


def test_growth_between_reading_and_waiting_is_found(path: Path) -> None:
    """What counts is the size as of the last reading, not that at the beginning of the wait."""

    async def wait() -> None:
        files = Files(path)
        append(path)
        async with serving() as (poller, _), asyncio.timeout(5):
            await poller.wait(files.look)
        assert len(files.asked) == 1
        files.close()

    asyncio.run(wait())


def rename(path: Path) -> None:
    path.rename(path.with_name("a.log.1"))


def rewrite(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"b line")


@pytest.mark.parametrize("change", [rename, rewrite, Path.unlink])
def test_quiet_file_is_looked_at_when_something_is_done_to_it(
    path: Path, change: Callable[[Path], object]
) -> None:
    """What no size shows, as a rotation, is looked at 0.6 s later, and once."""

    async def wait() -> float:
        files = Files(path)
        files.look.timed = False
        async with serving() as (poller, group):
            waiting = group.create_task(poller.wait(files.look))
            await asyncio.sleep(0.7)
            assert files.asked == []
            change(path)
            done = time.monotonic()
            await until(lambda: bool(files.asked))
            await asyncio.sleep(0.7)
            waiting.cancel()
        files.close()
        (asked,) = files.asked
        return asked - done

    assert asyncio.run(wait()) < 0.8


@pytest.mark.parametrize(
    ("timed", "visits", "asked"),
    [(True, range(2, 5), [4]), (False, range(2, 5), []), (False, range(14, 17), [16])],
)
def test_quiet_files_are_looked_at_thoroughly_now_and_then(
    timed: bool, visits: range, asked: list[int]
) -> None:
    """At each fourth visit, 2.4 s, where the clock makes something due; at each 16th elsewhere."""

    async def wait() -> list[int]:
        looked = list[int]()

        def changed() -> bool:
            looked.append(look.visits)
            return False

        look = Look(changed, lambda: QUIET_SECS, sizes=list)
        look.timed, look.visits = timed, visits.start
        async with serving() as (poller, group):
            waiting = group.create_task(poller.wait(look))
            await until(lambda: look.visits == visits.stop)
            waiting.cancel()
        return looked

    assert asyncio.run(wait()) == asked


def test_who_began_together_is_not_asked_together() -> None:
    """The thorough looks at many quiet files are spread over the time in which each has one."""

    async def numbers() -> set[int]:
        poller, looks = Poller(), [Look(bool, lambda: QUIET_SECS) for _ in range(32)]
        with contextlib.ExitStack() as stack:
            for look in looks:
                stack.enter_context(poller.attending(look))
            return {look.visits % 16 for look in looks}

    assert len(asyncio.run(numbers())) == 16


def test_without_sizes_every_visit_is_a_thorough_look() -> None:
    """Where nobody knows sizes, the follower's own look decides."""

    async def wait() -> int:
        looks = iter([False, False, True])
        async with serving() as (poller, _), asyncio.timeout(5):
            await poller.wait(Look(lambda: next(looks), lambda: BUSY_SECS))
        return len(list(looks))

    assert asyncio.run(wait()) == 0


def test_file_that_cannot_be_looked_at_is_the_followers_affair(path: Path) -> None:
    """An error of the quick look leads to a thorough one, and ends nothing else."""

    async def wait() -> None:
        files = Files(path)
        asked = asyncio.Event()

        def changed() -> bool:
            asked.set()
            return False

        look = Look(changed, lambda: QUIET_SECS, sizes=lambda: [(-1, 0)])
        async with serving() as (poller, group), asyncio.timeout(5):
            broken = group.create_task(poller.wait(look))
            waiting = group.create_task(poller.wait(files.look))
            await asked.wait()
            append(path)
            await waiting
            broken.cancel()
        files.close()

    asyncio.run(wait())


def test_wake_ends_a_long_wait_at_once() -> None:
    """A follower that is woken does not sleep out its interval."""

    async def wait() -> float:
        look = Look(lambda: False, lambda: QUIET_SECS)
        async with serving() as (poller, group):
            waiting = group.create_task(poller.wait(look))
            await asyncio.sleep(0)
            started = time.monotonic()
            look.wake()
            await waiting
        return time.monotonic() - started

    assert asyncio.run(wait()) < 0.3


def test_busy_follower_notices_what_is_new(path: Path) -> None:
    """A follower that reads, or waits for room, looks for new generations every 50 ms."""

    async def work() -> tuple[Files, int]:
        files = Files(path)
        async with serving() as (poller, group):
            with poller.attending(files.look):
                await until(lambda: len(files.noticed) == 20)
                waiting = group.create_task(poller.wait(files.look))
                await asyncio.sleep(0)
                before = len(files.noticed)
                await asyncio.sleep(0.3)
                assert len(files.noticed) == before, "it waits: its own look sees it"
                files.look.wake()
                await waiting
                await until(lambda: len(files.noticed) == before + 5)
            after = len(files.noticed)
            await asyncio.sleep(0.2)
        files.close()
        return files, after

    files, after = asyncio.run(work())
    assert files.noticed[19] - files.noticed[0] < 2
    assert len(files.noticed) == after, "it has ended"


def test_cancelled_wait_is_forgotten() -> None:
    """A follower that ended is not looked at again."""

    async def wait() -> int:
        looks = 0

        def changed() -> bool:
            nonlocal looks
            looks += 1
            return False

        async with serving() as (poller, group):
            waiting = group.create_task(poller.wait(Look(changed, lambda: BUSY_SECS)))
            await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.sleep(0.3)
        return looks

    assert asyncio.run(wait()) == 0


def test_many_quiet_files_leave_the_loop_to_others(path: Path) -> None:
    """10,000 quiet files are visited in slices: nothing else waits long for its turn."""

    async def longest_turn_secs() -> float:
        files, longest = [Files(path) for _ in range(100)], 0.0
        looks = [
            Look(lambda: False, lambda: QUIET_SECS, sizes=files[n % 100].known)
            for n in range(10_000)
        ]
        async with serving() as (poller, group):
            waiting = [group.create_task(poller.wait(look)) for look in looks]
            await asyncio.sleep(0.01)
            ends = time.monotonic() + 2.5
            while time.monotonic() < ends:
                before = time.thread_time()
                await asyncio.sleep(0)
                longest = max(longest, time.thread_time() - before)
            for task in waiting:
                task.cancel()
        for each in files:
            each.close()
        return longest

    with uncollected():  # a collection of the whole suite's objects would be somebody's turn
        assert asyncio.run(longest_turn_secs()) < 0.02
