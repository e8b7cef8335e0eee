"""The process: how a signal stops it (the first asks for it, a second one does it), its limits."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import logging
import os
import resource
import signal
import sys
import time
from collections.abc import Coroutine
from typing import Any

log = logging.getLogger(__name__)

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_KEPT_BYTES = 64 << 20
"""Free memory at the top of the heap from which on it is given back."""
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


async def until(event: asyncio.Event, work: Coroutine[Any, Any, None]) -> float:
    """Do the work; leave it when the event is set.

    Returns:
        For how many seconds that lasted; 0 if the work ended by itself.
    """
    async with asyncio.TaskGroup() as group:
        task = group.create_task(work)
        watch = group.create_task(_cancel_when(event, task))
        task.add_done_callback(lambda _: watch.cancel())
    return 0.0 if watch.cancelled() else time.monotonic() - watch.result()


async def _cancel_when(event: asyncio.Event, task: asyncio.Task[None]) -> float:
    """Cancel the task when the event is set, and return when that was."""
    await event.wait()
    task.cancel()
    return time.monotonic()


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


def keep_freed_memory() -> None:
    """Let the allocator keep what was freed, where that can be told (glibc).

    Each block takes and frees some hundred kilobytes. Given back to the system and taken again they
    cost a page fault each 4 KiB: a quarter of all CPU (373,000 instead of 495,000 documents per
    CPU-second, with the same peak of memory).

    Source: https://man7.org/linux/man-pages/man3/mallopt.3.html
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
    mallopt(_M_MMAP_THRESHOLD, _KEPT_BYTES // 2)
