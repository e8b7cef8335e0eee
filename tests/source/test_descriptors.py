"""Descriptors: how many log files may be open, and how many should be closed in time."""

import asyncio
import resource

import pytest

from shipper.source.descriptors import Descriptors
from tests.source.running import until


@pytest.fixture
def allowed(monkeypatch: pytest.MonkeyPatch) -> int:
    """What the system allows the process: 1,000."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1000, 4000))
    return 1000


def test_limit_leaves_descriptors_for_everything_else(allowed: int) -> None:
    """By default, and if more is asked for, 256 of what the system allows are kept back."""
    for descriptors in (Descriptors(), Descriptors(5000)):
        descriptors.used = allowed - 257
        assert not descriptors.none_left
        descriptors.used += 1
        assert descriptors.none_left


def test_some_files_may_always_be_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """A system that allows next to nothing is tried with sixteen files."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (64, 64))
    descriptors = Descriptors()
    descriptors.used = 15
    assert not descriptors.none_left
    descriptors.used = 16
    assert descriptors.none_left


def test_who_waits_is_served_in_turn() -> None:
    """Each file that is closed lets one go on, who has waited longest; the others are wanted."""

    async def wait() -> None:
        descriptors, served = Descriptors(16), list[int]()
        for _ in range(16):
            descriptors.take()

        async def open_one(number: int) -> None:
            await descriptors.wait()
            served.append(number)

        async with asyncio.TaskGroup() as group:
            for number in range(3):
                group.create_task(open_one(number))
            await until(lambda: descriptors.wanted == 3)
            for left in (2, 1, 0):
                descriptors.give_back()
                await until(lambda left=left: len(served) == 3 - left)  # type: ignore[misc]
                assert descriptors.wanted == left
        assert served == [0, 1, 2]

    asyncio.run(wait())


def test_who_waits_no_more_takes_no_turn() -> None:
    """One who was cancelled while he waited does not keep a descriptor from the next."""

    async def wait() -> None:
        descriptors = Descriptors(16)
        descriptors.used = 16
        async with asyncio.TaskGroup() as group:
            first = group.create_task(descriptors.wait())
            group.create_task(descriptors.wait())
            await until(lambda: descriptors.wanted == 2)
            first.cancel()
            await until(first.done)
            descriptors.give_back()

    asyncio.run(wait())


def test_who_has_waited_for_long_enough_goes_on(allowed: int) -> None:
    """Or is cancelled: then nobody closes a file for that one, and the next is served."""

    async def wait() -> None:
        descriptors = Descriptors(16)
        descriptors.used = min(16, allowed)
        await descriptors.wait(0.01)
        assert descriptors.wanted == 0
        async with asyncio.TaskGroup() as group:
            first = group.create_task(descriptors.wait())
            await until(lambda: descriptors.wanted == 1)
            second = group.create_task(descriptors.wait())
            await until(lambda: descriptors.wanted == 2)
            first.cancel()
            await until(lambda: descriptors.wanted == 1)
            descriptors.give_back()
            await second
        assert descriptors.wanted == 0

    asyncio.run(wait())
