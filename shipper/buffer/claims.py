"""The sealed chunks that nobody ships, in the order in which they are to be.

Does not know: what becomes of a chunk that was taken.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence

from shipper.model import Chunk, Lane


class Claims:
    """A line of chunks for each lane."""

    def __init__(self) -> None:
        """Start with nothing to ship."""
        self._lines: dict[Lane, deque[Chunk]] = {lane: deque() for lane in Lane}
        self._news = asyncio.Event()

    def put(self, chunks: Iterable[Chunk]) -> None:
        """Let chunks be taken, after all others of their lanes."""
        for chunk in chunks:
            self._lines[chunk.lane].append(chunk)
        self._news.set()

    def put_back(self, chunks: Sequence[Chunk]) -> None:
        """Let chunks be taken, before all others of their lanes."""
        for chunk in reversed(chunks):
            self._lines[chunk.lane].appendleft(chunk)
        self._news.set()

    async def take(self, lanes: Sequence[Lane]) -> Chunk:
        """Wait for a chunk and take it: the oldest of the first of these lanes that has one."""
        while True:
            for lane in lanes:
                if self._lines[lane]:
                    return self._lines[lane].popleft()
            self._news.clear()
            await self._news.wait()
