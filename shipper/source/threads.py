"""What blocks for long runs in a thread, and is not left alone there."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import TypeVar

_T = TypeVar("_T")

GZIP_THREADS = ThreadPoolExecutor(2, thread_name_prefix="gzip")
"""Where compressed files are read: each whole, to tell which one it is, which may take a minute.
Chunks are read in the event loop's own threads, and shipping must not wait for that."""


async def in_thread(
    call: Callable[[], _T],
    *,
    on_cancel: Callable[[], None] | None = None,
    pool: Executor | None = None,
) -> _T:
    """Call in a thread, to the end even when cancelled: what it works on may be closed then.

    Args:
        call: What to do there.
        on_cancel: Called when it is cancelled, so that it may end sooner.
        pool: Of which threads; None for the event loop's own.
    """
    work = asyncio.get_running_loop().run_in_executor(pool, call)
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        if on_cancel is not None:
            on_cancel()
        await asyncio.wait([work])
        raise


def close(descriptor: int) -> None:
    """Close a file that was only read: what that may fail with changes nothing."""
    with contextlib.suppress(OSError):
        os.close(descriptor)


def close_soon(descriptor: int) -> None:
    """Close a file that was only read, without waiting for it.

    With the last descriptor of a deleted file goes its space, which took up to 2 s for 64 MiB.
    """
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        close(descriptor)
    else:
        loop.run_in_executor(None, close, descriptor).add_done_callback(_ignore)


def _ignore(_: object) -> None:
    """Nobody waits for it."""
