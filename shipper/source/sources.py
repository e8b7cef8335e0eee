"""All sources of an agent: finds series, and follows each with a task of its own.

Owns: the followers. Does not know: what they read.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Sequence

from shipper.config import SourceConfig
from shipper.source.directory import Found
from shipper.source.discover import Scan, Wakening, scan
from shipper.source.follow import Follower, Surroundings
from shipper.source.threads import in_thread

log = logging.getLogger(__name__)

_MIN_SCAN_GAP_SECS = 0.1
"""Least time between two scans, however many directory events come."""
_EVENT_SCAN_SHARE = 9
"""A scan that takes long is repeated for events after at least this many times as long: 10%."""
_SCAN_SHARE = 100
"""The same without an event: 1% of a core."""
_STARTED_AT_ONCE = 50
"""Followers started before the event loop gets to something else: about 2 ms."""


class Sources:
    """The reading side.

    Attributes:
        followers: By series.
        skipped: Files that are not followed, and why, as of the last scan.
    """

    def __init__(self, around: Surroundings) -> None:
        """Prepare; nothing is read before `run`."""
        self.followers: dict[str, Follower] = {}
        self.skipped: dict[str, str] = {}
        self._around = around
        self._ended_read_bytes = 0
        self._wake = asyncio.Event()

    async def run(self) -> None:
        """Follow for ever; with `once`, until everything is read."""
        async with asyncio.TaskGroup() as group:
            if self._around.once:
                found = await in_thread(lambda: scan(self._around.config.sources))
                await self._start(found, group)
                return
            group.create_task(self._around.poller.run())
            await self._discover(group)

    async def _discover(self, group: asyncio.TaskGroup) -> None:
        loop = asyncio.get_running_loop()
        sources = self._around.config.sources
        wakening = Wakening(sources, lambda: loop.call_soon_threadsafe(self._wake.set))
        try:
            while True:
                self._wake.clear()
                await in_thread(wakening.update)  # before the scan: it finds what came before that
                found, took_secs = await in_thread(lambda: _timed_scan(sources))
                await self._start(found, group)
                await asyncio.sleep(max(_MIN_SCAN_GAP_SECS, took_secs * _EVENT_SCAN_SHARE))
                await self._wait(max(self._around.config.follow.scan_secs, took_secs * _SCAN_SHARE))
        finally:
            await asyncio.to_thread(wakening.stop)

    async def _wait(self, secs: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(secs):
                await self._wake.wait()

    async def _start(self, found: Scan, group: asyncio.TaskGroup) -> None:
        for path, why in found.skipped.items():
            if path not in self.skipped:
                log.warning("%s is skipped: %s", path, why)
        self.skipped = found.skipped
        for number, (name, series) in enumerate(found.series.items(), 1):
            if name not in self.followers:
                self.followers[name] = Follower(series, self._around)
                group.create_task(self._follow(name, found.files[name]))
            if number % _STARTED_AT_ONCE == 0:
                await asyncio.sleep(0)
        for name, follower in self.followers.items():
            follower.saw(found.files.get(name, []))

    async def _follow(self, name: str, found: Sequence[Found]) -> None:
        follower = self.followers[name]
        await follower.run(found)
        if not self._around.once:
            self._ended_read_bytes += follower.read_bytes
            del self.followers[name]
            self._wake.set()  # a file that came back meanwhile needs a new one

    @property
    def read_bytes(self) -> int:
        """Bytes read since the start."""
        return self._ended_read_bytes + sum(f.read_bytes for f in self.followers.values())

    @property
    def open_files(self) -> int:
        """Number of files held open."""
        return sum(follower.open_files for follower in self.followers.values())

    @property
    def lag_bytes(self) -> int:
        """Bytes that are there and not read."""
        return sum(follower.lag_bytes for follower in self.followers.values())

    @property
    def lag_secs(self) -> float:
        """For how long the oldest unread bytes have been there."""
        return max((follower.lag_secs for follower in self.followers.values()), default=0.0)

    @property
    def pending_bytes(self) -> int:
        """Bytes read of lines whose end has not come."""
        return sum(follower.pending_bytes for follower in self.followers.values())


def _timed_scan(sources: Sequence[SourceConfig]) -> tuple[Scan, float]:
    started = time.thread_time()
    return scan(sources), time.thread_time() - started
