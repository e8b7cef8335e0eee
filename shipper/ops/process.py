"""The process: how a signal stops it (the first asks for it, a second one does it), its limits."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import resource
import signal
import sys
from collections.abc import Coroutine
from typing import Any

log = logging.getLogger(__name__)

_SHOW_CURSOR = b"\x1b[?25h"


def stop_on_signals() -> asyncio.Event:
    """Return an event that the first SIGTERM or SIGINT sets; a second one ends the process."""
    stopping = asyncio.Event()

    def on_signal(number: int) -> None:
        if stopping.is_set():
            _exit(128 + number)
        log.info("stopping: what was read is delivered first (a second signal exits at once)")
        stopping.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, on_signal, number)
    return stopping


async def until(event: asyncio.Event, work: Coroutine[Any, Any, None]) -> None:
    """Do the work; leave it when the event is set."""
    async with asyncio.TaskGroup() as group:
        task = group.create_task(work)
        watch = group.create_task(_cancel_when(event, task))
        task.add_done_callback(lambda _: watch.cancel())


async def _cancel_when(event: asyncio.Event, task: asyncio.Task[None]) -> None:
    await event.wait()
    task.cancel()


def _exit(status: int) -> None:
    """End the process on the spot: nothing is lost by that (I7)."""
    if sys.stderr.isatty():  # the live view has hidden it
        os.write(sys.stderr.fileno(), _SHOW_CURSOR)
    os._exit(status)


def raise_descriptor_limit() -> None:
    """Raise the limit of open files as far as it goes: each followed file takes one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):  # macOS names a limit that it does not grant
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
