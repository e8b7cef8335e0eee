"""The disk's thread: one step at a time, each until it is done."""

import asyncio
import errno
import threading
from functools import partial
from pathlib import Path

import pytest

from shipper.buffer import thread as threads
from shipper.buffer.gate import Gate
from shipper.buffer.quota import Quota
from shipper.buffer.thread import DiskThread
from shipper.errors import DiskFault
from tests.buffer.running import settings


def test_step_is_repeated_until_the_disk_takes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step that is refused is done again, and its result is that of the last try."""
    monkeypatch.setattr(threads, "_FAULT_RETRY_SECS", 0.001)
    left: list[Exception] = [OSError(errno.ENOSPC, "full"), DiskFault("busy")]
    paused: list[str] = []

    async def scenario() -> int:
        gate = Gate(Quota(tmp_path, settings()))
        thread = DiskThread(gate, place="here")

        def step() -> int:
            paused.append(gate.paused)
            if left:
                raise left.pop(0)
            return 7

        try:
            return await thread.do(step)
        finally:
            thread.close()

    assert asyncio.run(scenario()) == 7
    assert paused == ["", "the disk refuses writes: full", "the disk refuses writes: busy"]


def test_steps_follow_one_another(tmp_path: Path) -> None:
    """I6: no two steps are done at the same time, and they are done in the order of their call."""

    async def scenario() -> list[tuple[int, int]]:
        thread, done = DiskThread(Gate(Quota(tmp_path, settings())), place=""), []

        def step(number: int) -> None:
            done.append((number, threading.get_ident()))

        async with asyncio.TaskGroup() as group:
            for number in range(50):
                group.create_task(thread.do(partial(step, number)))
        thread.close()
        return done

    done = asyncio.run(scenario())
    assert [number for number, _ in done] == list(range(50))
    assert len({ident for _, ident in done}) == 1


def test_program_fault_is_not_repeated(tmp_path: Path) -> None:
    """What is no fault of the disk ends the program with its traceback."""

    async def scenario() -> None:
        thread = DiskThread(Gate(Quota(tmp_path, settings())), place="")
        try:
            await thread.do(lambda: 1 // 0)
        finally:
            thread.close()

    with pytest.raises(ZeroDivisionError):
        asyncio.run(scenario())
