"""Wakes followers when their files change, by looking: `fstat` misses nothing, inotify may.

Theory of operation: one task serves all followers. Each says how long its files have been quiet,
and is looked at again after about a fifth of that: 50 ms while a file is written, 1 s after 5 s of
silence, 2 s after a minute. One timer for all of them makes 500 quiet files cost less than a
timer each would.
"""

from __future__ import annotations

import asyncio
import heapq
import time
from collections.abc import Callable
from itertools import count

_INTERVALS = ((0.25, 0.05), (0.5, 0.1), (1.0, 0.2), (2.0, 0.4), (5.0, 0.8), (60.0, 1.0))
"""Up to how long a silence, how often to look. Few different ones, so that many looks fall due at
the same moment."""
_LONG_IDLE_SECS = 2.0
_CELLS = 4
"""What is due within the same cell of a grid is one wake-up; a cell is that part of an interval."""


def interval_secs(quiet_secs: float) -> float:
    """Return after how long files that have been quiet for so long are looked at again."""
    for longest, interval in _INTERVALS:
        if quiet_secs <= longest:
            return interval
    return _LONG_IDLE_SECS


class Look:
    """How to look at the files of one follower, and its wait for them."""

    def __init__(self, changed: Callable[[], bool], quiet_secs: Callable[[], float]) -> None:
        """Say how to look.

        Args:
            changed: Looks at the files; must not raise and not block.
            quiet_secs: For how long they have not changed.
        """
        self.changed = changed
        self.quiet_secs = quiet_secs
        self._future: asyncio.Future[None] | None = None

    def wake(self) -> None:
        """End the wait, if there is one."""
        if self._future is not None and not self._future.done():
            self._future.set_result(None)

    def begin(self) -> asyncio.Future[None]:
        """Begin a wait."""
        self._future = asyncio.get_running_loop().create_future()
        return self._future


class Poller:
    """Looks at files on behalf of followers."""

    def __init__(self) -> None:
        """Start with nobody waiting."""
        self._waiting: list[tuple[float, int, asyncio.Future[None], Look]] = []
        self._numbers = count()
        self._wake = asyncio.Event()

    async def wait(self, look: Look) -> None:
        """Return when the files have changed, or when the look is woken."""
        future = look.begin()
        self._put(future, look)
        await future

    async def run(self) -> None:
        """Serve the waiting, for ever."""
        while True:
            await self._until_due()
            now = time.monotonic()
            while self._waiting and self._waiting[0][0] <= now:
                _, _, future, look = heapq.heappop(self._waiting)
                if not future.done():
                    self._look(future, look)

    def _look(self, future: asyncio.Future[None], look: Look) -> None:
        if look.changed():
            future.set_result(None)
        else:
            self._put(future, look)

    def _put(self, future: asyncio.Future[None], look: Look) -> None:
        secs = interval_secs(look.quiet_secs())
        cell = secs / _CELLS
        due = (time.monotonic() + secs) // cell * cell
        if not self._waiting or due < self._waiting[0][0]:
            self._wake.set()
        heapq.heappush(self._waiting, (due, next(self._numbers), future, look))

    async def _until_due(self) -> None:
        self._wake.clear()
        secs = self._waiting[0][0] - time.monotonic() if self._waiting else None
        try:
            async with asyncio.timeout(secs):
                await self._wake.wait()
        except TimeoutError:
            return
