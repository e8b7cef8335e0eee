"""Signals: the first asks, the second ends."""

import asyncio
import os
import resource
import signal
import subprocess
import sys

import pytest

from shipper.ops.process import (
    keep_freed_memory,
    raise_descriptor_limit,
    stop_on_signals,
    until,
)

LINGERS_SECS = 0.05
WAITS = """
import asyncio
from shipper.ops.process import stop_on_signals
async def run():
    stopping = stop_on_signals()
    print("ready", flush=True)
    await stopping.wait()
    print("stopping", flush=True)
    await asyncio.sleep(60)
asyncio.run(run())
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_first_signal_asks_the_second_ends(number: signal.Signals) -> None:
    """After the second one nothing runs any more; its number is in the exit status."""
    with subprocess.Popen([sys.executable, "-c", WAITS], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            process.send_signal(number)
            assert process.stdout.readline() == b"stopping\n"
            process.send_signal(number)
            assert process.wait(20) == 128 + number
        finally:
            process.kill()


def test_signal_sets_the_event() -> None:
    """Whoever waits for the event goes on."""

    async def run() -> None:
        stopping = stop_on_signals()
        os.kill(os.getpid(), signal.SIGTERM)
        async with asyncio.timeout(10):
            await stopping.wait()

    asyncio.run(run())


def test_work_is_left_when_the_event_is_set() -> None:
    """Without the event the work ends by itself; with it, at once, also if it was set before."""
    done: list[str] = []

    async def work(name: str) -> None:
        await asyncio.sleep(0)
        done.append(name)

    async def hang(event: asyncio.Event) -> None:
        event.set()
        await asyncio.Event().wait()

    async def linger() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(LINGERS_SECS)

    async def run() -> None:
        event = asyncio.Event()
        async with asyncio.timeout(10):
            assert await until(event, work("to its end")) == 0
            await until(event, hang(event))
            await until(event, hang(event))
            assert await until(event, linger()) >= LINGERS_SECS, "what it took is told"

    asyncio.run(run())
    assert done == ["to its end"]


def test_fault_of_the_work_is_raised() -> None:
    """An exception is not lost in it."""

    async def work() -> None:
        await asyncio.sleep(0)
        raise ValueError("bug")

    with pytest.raises(ExceptionGroup) as group:
        asyncio.run(until(asyncio.Event(), work()))
    assert group.group_contains(ValueError, match="bug")


def test_limit_of_descriptors_is_raised() -> None:
    """As far as the system allows: each followed file takes one."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(256, before[1]), before[1]))
    try:
        raise_descriptor_limit()
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == before[1]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_freed_memory_is_kept_where_that_can_be_told() -> None:
    """A C library that has no such setting is no fault."""
    keep_freed_memory()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ctypes.CDLL", lambda _name: object())
        keep_freed_memory()
