"""Poll: followers wake soon where something happens, and cost little where nothing does."""

import asyncio
import time
from itertools import pairwise

from shipper.source.poll import Look, Poller, interval_secs
from tests.source.running import until


def test_interval_grows_with_silence() -> None:
    """A file is looked at every 50 ms while it is written, at most every 2 s when it is quiet."""
    intervals = [interval_secs(quiet) for quiet in (0, 1, 5, 20, 119, 121, 1e6, float("inf"))]
    assert intervals[0] == 0.05
    assert intervals[-1] == 2.0
    assert all(before <= after for before, after in pairwise(intervals))


def test_wait_ends_with_the_change() -> None:
    """A follower sleeps until its files have changed."""

    async def wait() -> int:
        looks = iter([False, False, True])
        count = 0

        def changed() -> bool:
            nonlocal count
            count += 1
            return next(looks)

        poller = Poller()
        async with asyncio.TaskGroup() as group:
            serving = group.create_task(poller.run())
            await poller.wait(Look(changed, lambda: 0.0))
            serving.cancel()
        return count

    assert asyncio.run(wait()) == 3


def test_wake_ends_a_long_wait_at_once() -> None:
    """A follower that is woken does not sleep out its interval."""

    async def wait() -> float:
        poller, look = Poller(), Look(lambda: False, lambda: 1e6)
        async with asyncio.TaskGroup() as group:
            serving = group.create_task(poller.run())
            waiting = group.create_task(poller.wait(look))
            await asyncio.sleep(0)
            started = time.monotonic()
            look.wake()
            await waiting
            serving.cancel()
        return time.monotonic() - started

    assert asyncio.run(wait()) < 0.5


def test_waits_that_are_due_together_are_one_wakening() -> None:
    """500 quiet files make a few wake-ups a second, not 500."""

    async def wait() -> tuple[int, int]:
        poller, looks, moments = Poller(), 0, set()

        def changed() -> bool:
            nonlocal looks
            looks += 1
            moments.add(round(asyncio.get_running_loop().time() / 0.005))
            return False

        async with asyncio.TaskGroup() as group:
            serving = group.create_task(poller.run())
            look = Look(changed, lambda: 10.0)  # looked at every 0.5 s
            waiting = [group.create_task(poller.wait(look)) for _ in range(500)]
            await until(lambda: looks >= 1000)
            for task in (serving, *waiting):
                task.cancel()
        return looks, len(moments)

    looks, moments = asyncio.run(wait())
    assert looks < 1600
    assert moments < 60


def test_cancelled_wait_is_forgotten() -> None:
    """A follower that ended is not looked at again."""

    async def wait() -> int:
        poller, looks = Poller(), 0

        def changed() -> bool:
            nonlocal looks
            looks += 1
            return False

        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(poller.wait(Look(changed, lambda: 0.0)))
            await asyncio.sleep(0)
            waiting.cancel()
            serving = group.create_task(poller.run())
            await poller.wait(Look(lambda: True, lambda: 1.5))
            serving.cancel()
        return looks

    assert asyncio.run(wait()) == 0
