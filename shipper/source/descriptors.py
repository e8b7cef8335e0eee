"""How many log files may be open at once, over all series, and who waits for one to be closed.

Owns: the count, and the queue. Does not know: which files are open.
"""

from __future__ import annotations

import asyncio
import resource
from collections import deque

_RESERVE = 256
"""Descriptors for everything else: connections, chunks, the database."""


class Descriptors:
    """The count of open log files, held against its limit.

    Attributes:
        used: How many are open.
    """

    def __init__(self, most: int | None = None) -> None:
        """Start with none open.

        Args:
            most: The limit; None takes what the system allows this process.
        """
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        allowed = max(16, soft - _RESERVE)
        self._most = allowed if most is None else min(most, allowed)
        self.used = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def none_left(self) -> bool:
        """Whether no more may be opened."""
        return self.used >= self._most

    @property
    def wanted(self) -> int:
        """How many files should be closed for those who wait."""
        return len(self._waiting)

    def take(self) -> None:
        """Count a file that was opened."""
        self.used += 1

    def give_back(self) -> None:
        """Count a file that was closed; who has waited longest goes on."""
        self.used -= 1
        if self._waiting:
            self._waiting.popleft().set_result(None)

    async def wait(self, most_secs: float | None = None) -> None:
        """Wait until a file was closed, but for no longer than this."""
        if not self.none_left:
            return
        future = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        try:
            await asyncio.wait([future], timeout=most_secs)
        finally:
            if not future.done():
                self._waiting.remove(future)
