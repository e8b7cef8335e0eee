"""All sources of an agent: finds series, and follows each with a task of its own.

Theory of operation: a scan is the truth. Directory events make it happen sooner, but not often: it
may have much to look at. So what they name is looked at alone, at once: it may be gone soon.

Owns: the followers. Does not know: what they read.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections import deque
from collections.abc import Sequence
from functools import partial

from shipper.model import SeriesStatus
from shipper.source.directory import Found
from shipper.source.discover import Scan, scan
from shipper.source.follow import Follower
from shipper.source.names import split_name
from shipper.source.surroundings import Surroundings
from shipper.source.survey import Survey
from shipper.source.threads import in_thread
from shipper.source.upkeep import Upkeep
from shipper.source.wakening import Wakening

log = logging.getLogger(__name__)

_MIN_SCAN_GAP_SECS = 0.1
"""Least time between two scans, however many directory events come."""
_EVENT_SCAN_SHARE = 30
"""A scan that takes long is repeated for events after at least this many times as long: 3%. What
they name is followed before that."""
_SCAN_SHARE = 100
"""The same without an event: 1% of a core."""
_STARTED_AT_ONCE = 50
"""Followers started before the event loop gets to something else: about 2 ms."""
_TOLD_AT_ONCE = 500
"""Followers that are told of a scan, the same."""
_NAMED_AT_ONCE, _NAMED_AT_MOST = 200, 100_000
"""Paths of events that are looked at and started together, 8 ms and 30 ms to open their files, and
that wait for it; more are left to the scan. With fewer at once the first would be read before the
last are open, which may be gone by then."""


class Sources:
    """The reading side.

    Attributes:
        followers: By series.
        skipped: Files that are not followed, and why, as of the last scan.
        unread: With `once`, files that could not be read.
    """

    def __init__(self, around: Surroundings) -> None:
        """Prepare; nothing is read before `run`."""
        self.followers: dict[str, Follower] = {}
        self.skipped: dict[str, str] = {}
        self.unread: list[str] = []
        self._around = around
        self._upkeep = Upkeep(around, self.followers)
        self._ended_read_bytes = 0
        self._wake = asyncio.Event()
        self._touched: deque[str] = deque(maxlen=_NAMED_AT_MOST)
        self._called = False
        self._new: deque[str] = deque(maxlen=_NAMED_AT_MOST)
        self._has_new = asyncio.Event()

    async def run(self) -> None:
        """Follow for ever; with `once`, until everything is read."""
        first = await self._around.begin_first_start()
        async with asyncio.TaskGroup() as group:
            if self._around.once:
                found = await in_thread(lambda: scan(self._around.config.sources))
                await self._start(found, group, first=first)
                await self._tell(found)
                self.unread += sorted(found.unreadable)
                return
            group.create_task(self._around.poller.run())
            await self._discover(group, first=first)

    async def _discover(self, group: asyncio.TaskGroup, *, first: float) -> None:
        loop = asyncio.get_running_loop()
        sources = self._around.config.sources
        survey = Survey(sources)
        wakening = Wakening(sources, lambda path: self._was_touched(path, loop))
        begun = False
        try:
            while True:
                self._wake.clear()
                await in_thread(wakening.update)  # before the scan: it finds what came before that
                found, took_secs = await in_thread(lambda: _timed(survey))
                if not begun:
                    self._upkeep.begin(found, first_start=first > 0)
                    group.create_task(self._upkeep.run())
                await self._start(found, group, first=0.0 if begun else first)
                await self._tell(found)
                if not begun:
                    group.create_task(self._follow_new(group))
                begun = True
                await asyncio.sleep(max(_MIN_SCAN_GAP_SECS, took_secs * _EVENT_SCAN_SHARE))
                await self._wait(max(self._around.config.follow.scan_secs, took_secs * _SCAN_SHARE))
        finally:
            await asyncio.to_thread(wakening.stop)

    async def _wait(self, secs: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(secs):
                await self._wake.wait()

    def _was_touched(self, path: str, loop: asyncio.AbstractEventLoop) -> None:
        """Take note of a path, in another thread.

        One call into the loop at a time: more would fill the pipe by which signals come, too.
        """
        self._touched.append(path)
        if not self._called:
            self._called = True
            loop.call_soon_threadsafe(self._touch)

    def _touch(self) -> None:
        """Let the followers of the paths look at once: a scan may come too late for a rotation."""
        self._called = False
        touched = dict.fromkeys(self._touched.popleft() for _ in range(len(self._touched)))
        stems = {path: _stem_of(path) for path in touched}
        for stem in self.followers.keys() & stems.values():
            self.followers[stem].touch()
        self._new.extend(path for path, stem in stems.items() if stem not in self.followers)
        self._has_new.set()
        self._wake.set()

    async def _follow_new(self, group: asyncio.TaskGroup) -> None:
        """Follow, for ever, what directory events name."""
        sources = self._around.config.sources
        while True:
            await self._has_new.wait()
            self._has_new.clear()
            while self._new:
                at_once = min(len(self._new), _NAMED_AT_ONCE)
                paths = [self._new.popleft() for _ in range(at_once)]
                found = await in_thread(partial(scan, sources, named=paths))
                await self._start(found, group, at_once=_NAMED_AT_ONCE)

    async def _start(
        self,
        found: Scan,
        group: asyncio.TaskGroup,
        *,
        first: float = 0.0,
        at_once: int = _STARTED_AT_ONCE,
    ) -> None:
        for number, (name, series) in enumerate(found.series.items(), 1):
            if name not in self.followers:
                self.followers[name] = Follower(series, self._around)
                group.create_task(self._follow(name, found.files[name], first=first))
            if number % at_once == 0:
                await asyncio.sleep(0)

    async def _tell(self, found: Scan) -> None:
        """Let the followers know what a scan has found, and the log what is skipped."""
        for path, why in found.skipped.items():
            if path not in self.skipped:
                log.warning("%s is skipped: %s", path, why)
        self.skipped = found.skipped
        for number, (name, follower) in enumerate(list(self.followers.items()), 1):
            follower.saw(found.files.get(name, []))
            if number % _TOLD_AT_ONCE == 0:
                await asyncio.sleep(0)

    async def _follow(self, name: str, found: Sequence[Found], *, first: float) -> None:
        follower = self.followers[name]
        followed = self._around.identity.followed
        followed.add(follower.series.stem)
        await follower.run(found, written_before=first)
        followed.discard(follower.series.stem)
        if self._around.once:
            self.unread += follower.unread
        else:
            self._ended_read_bytes += follower.read_bytes
            del self.followers[name]
            if follower.vanished:
                self._upkeep.forget(follower.series.stem)
            self._wake.set()  # a file that came back meanwhile needs a new one

    @property
    def read_bytes(self) -> int:
        """Bytes read since the start."""
        return self._ended_read_bytes + sum(f.read_bytes for f in self.followers.values())

    @property
    def open_files(self) -> int:
        """Number of files held open."""
        return self._around.descriptors.used

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

    def status(self) -> list[SeriesStatus]:
        """Return how far each series is read."""
        return [follower.status() for follower in self.followers.values()]


def _stem_of(path: str) -> str:
    directory, name = os.path.split(path)
    return f"{directory}/{split_name(name)[0]}"


def _timed(survey: Survey) -> tuple[Scan, float]:
    started = time.thread_time()
    return survey.look(), time.thread_time() - started
