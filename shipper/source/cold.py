"""What the disk has yet to give is fetched by a thread, so that the event loop need not wait.

Only the system's own memory of the file is filled there: what is read is read as ever, afterwards.
So nothing has to agree between threads, and nobody waits for one at a stop: what it reads is thrown
away, whatever has the descriptor by then.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from concurrent.futures import ThreadPoolExecutor

_DISK_THREADS = ThreadPoolExecutor(4, thread_name_prefix="disk")
"""A disk that turns serves some requests at once sooner than one by one; a slow one must not keep
the threads busy in which chunks and compressed files are read."""
_FETCHED_BYTES = 1 << 20
"""Some blocks: to copy that takes 0.06 ms of CPU, as much as the way to a thread and back."""
_AT_ONCE = getattr(os, "RWF_NOWAIT", None)
"""Linux alone has it."""


async def fetched(descriptor: int, offsets: range) -> None:
    """Return when these bytes are in memory, as far as their ends tell, or cannot be read at all.

    Where nobody can tell (on a network's file system, or without Linux) that is at once.

    Source: preadv2(2), RWF_NOWAIT
    """
    ends = {offsets[0], offsets[-1]} if offsets else set[int]()
    if any(_is_cold(descriptor, offset) for offset in ends):
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(_DISK_THREADS, _fetch, descriptor, offsets)


def _is_cold(descriptor: int, offset: int) -> bool:
    if _AT_ONCE is None:
        return False
    try:
        os.preadv(descriptor, [bytearray(1)], offset, _AT_ONCE)
    except OSError as error:  # any other one: it cannot tell | whoever reads it meets this, too
        return isinstance(error, BlockingIOError)
    return False


def _fetch(descriptor: int, offsets: range) -> None:
    with contextlib.suppress(OSError):  # whoever reads it meets this, too
        os.pread(descriptor, max(len(offsets), _FETCHED_BYTES), offsets.start)
