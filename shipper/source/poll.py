"""Wakes followers when their files change, by looking: `fstat` misses nothing, inotify may.

Theory of operation: one poller serves all followers, in two rounds. Followers that do something,
or whose files grew a moment ago, are visited every 50 ms; those with quiet files every 0.6 s. Most
visits are one `fstat` for each open file, without a call of the follower (2 µs, measured). Whatever
is done to a file shows in its size or its time of change, which a rename and a deletion move, too.
Now and then the follower is asked for a thorough look, at six times the cost: it sees what the
clock makes due, and what stands at the path where a file system keeps no such time. A round with so
many members that it would cost more than its share of a core comes less often, and lets others have
their turn in between.

A follower that does not wait here, because it reads or has no room to, is visited as well: its
files go on being rotated, and what it does not open in time is gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import time
from collections.abc import Callable, Iterable, Iterator

_ACTIVE_SECS, _ACTIVE_SHARE = 0.05, 0.04
_CALM_SECS, _CALM_SHARE = 0.6, 0.03
"""How often the members of each round are visited, and which share of a core that may take. A line
in a quiet file is found within 0.6 s: with `flush_secs` and a request that makes less than 2 s."""
_BRISK_SECS = 2.0
"""For so long after it grew a file is looked at as one that is being written."""
_THOROUGH_EVERY = 4
"""Of so many visits to a follower that waits for such a file, or for the clock, one is a thorough
look: every 0.2 s, and every 2.4 s where its files are quiet."""
_THOROUGH_RARELY = 16
"""The same for one that waits for nothing but growth of quiet files: every 10 s."""
_AT_ONCE, _TURN_SECS = 50, 0.001
"""After so many visits it is looked how long they took, and whether others have their turn."""

Sizes = Iterable[tuple[int, int]]


class Look:
    """How to look at the files of one follower, and its wait for them.

    Attributes:
        changed: Looks thoroughly, while the follower waits.
        notice: Looks for new generations, while it does not.
        quiet_secs: For how long its files have not changed.
        timed: What it waits for may also be a moment, rather than a change of its files.
        visits: How often it was visited.
        calm: The follower waits for its files alone.
        attended: It is visited also while it does not wait.
    """

    __slots__ = (
        "_future",
        "_known",
        "_sizes",
        "attended",
        "calm",
        "changed",
        "notice",
        "quiet_secs",
        "timed",
        "visits",
    )

    def __init__(
        self,
        changed: Callable[[], bool],
        quiet_secs: Callable[[], float],
        *,
        sizes: Callable[[], Sizes] | None = None,
        notice: Callable[[], None] | None = None,
    ) -> None:
        """Say how to look; nothing given here may raise or block.

        Args:
            changed: Tells whether there is anything to do: in the files, or at their path.
            quiet_secs: For how long the files have not changed.
            sizes: Descriptor of each open file and its size as of the last reading; asked at the
                beginning of a wait. Without it `changed` is called at each visit.
            notice: Opens what is new at the path.
        """
        self.changed = changed
        self.notice = notice
        self.quiet_secs = quiet_secs
        self.timed = True
        self.visits = 0
        self.attended = self.calm = False
        self._sizes = sizes
        self._known: tuple[tuple[int, int, int], ...] | None = None
        self._future: asyncio.Future[None] | None = None

    @property
    def waits(self) -> bool:
        """Whether there is a wait that has not ended."""
        return self._future is not None and not self._future.done()

    def wake(self) -> None:
        """End the wait, if there is one."""
        if self._future is not None and not self._future.done():
            self._future.set_result(None)

    def begin(self) -> asyncio.Future[None]:
        """Begin a wait."""
        self.recall()
        self._future = asyncio.get_running_loop().create_future()
        return self._future

    def recall(self) -> None:
        """Take the files as they are for known."""
        self._known = None
        if self._sizes is not None:
            with contextlib.suppress(OSError):  # nobody knows: the next visit asks
                self._known = tuple((fd, n, os.fstat(fd).st_ctime_ns) for fd, n in self._sizes())

    def differs(self) -> bool:
        """Compare the files with what is known of them; True where nobody knows."""
        if self._known is None:
            return True
        try:
            for descriptor, size, changed_ns in self._known:
                status = os.fstat(descriptor)
                if status.st_size != size or status.st_ctime_ns != changed_ns:
                    return True
        except OSError:  # the thorough look meets it, too
            return True
        return False


class Poller:
    """Looks at files on behalf of followers."""

    def __init__(self, *, active_secs: float = _ACTIVE_SECS) -> None:
        """Start with nobody to be visited.

        Args:
            active_secs: How often those that do something are visited.
        """
        self._active = _Round(self._visit_active, interval_secs=active_secs, share=_ACTIVE_SHARE)
        self._calm = _Round(self._visit_calm, interval_secs=_CALM_SECS, share=_CALM_SHARE)
        self._number = itertools.count()

    async def run(self) -> None:
        """Visit for ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._active.run())
            group.create_task(self._calm.run())

    @contextlib.contextmanager
    def attending(self, look: Look) -> Iterator[None]:
        """Visit a follower until the end of the block, also while it does not wait."""
        look.attended = True
        look.visits = next(self._number)  # those who began together are not all asked together
        self._active.add(look)
        try:
            yield
        finally:
            look.attended = False
            self._remove(look)

    async def wait(self, look: Look) -> None:
        """Return when the files have changed, or when the look is woken."""
        future = look.begin()
        self._active.add(look)
        self._calm_down(look)
        look.calm = not look.timed
        try:
            await future
        finally:
            look.calm = False
            self._remove(look)
            if look.attended:
                self._active.add(look)

    def _visit_active(self, look: Look) -> None:
        look.visits += 1
        if look.waits:
            if look.visits % _THOROUGH_EVERY == 0:
                self._ask(look)
                self._calm_down(look)
            elif look.differs():
                self._ask(look)
        elif look.notice is not None:
            look.notice()

    def _visit_calm(self, look: Look) -> None:
        look.visits += 1
        every = _THOROUGH_EVERY if look.timed else _THOROUGH_RARELY
        if look.visits % every == 0 or look.differs():
            self._ask(look)

    def _ask(self, look: Look) -> None:
        if not look.waits:  # woken a moment ago, and not gone on yet
            return
        if look.changed():
            look.wake()
        else:
            look.recall()

    def _calm_down(self, look: Look) -> None:
        if look.waits and look.quiet_secs() > _BRISK_SECS:
            self._active.remove(look)
            self._calm.add(look)

    def _remove(self, look: Look) -> None:
        self._active.remove(look)
        self._calm.remove(look)


class _Round:
    """Visits each member once in an interval; less often where that cost more than its share."""

    def __init__(
        self, visit: Callable[[Look], None], *, interval_secs: float, share: float
    ) -> None:
        self._interval_secs = interval_secs
        self._share = share
        self._visit = visit
        self._members: dict[Look, None] = {}
        self._filled = asyncio.Event()

    def add(self, look: Look) -> None:
        self._members[look] = None
        self._filled.set()

    def remove(self, look: Look) -> None:
        self._members.pop(look, None)

    async def run(self) -> None:
        while True:
            await self._filled.wait()
            started = time.monotonic()
            cost_secs = await self._visit_all()
            rest_secs = started + self._interval_secs - time.monotonic()
            await asyncio.sleep(max(rest_secs, cost_secs / self._share))
            if not self._members:
                self._filled.clear()

    async def _visit_all(self) -> float:
        cost_secs, began = 0.0, time.thread_time()
        for number, look in enumerate(list(self._members), 1):
            if look in self._members:
                self._visit(look)
            if number % _AT_ONCE == 0 and time.thread_time() - began > _TURN_SECS:
                cost_secs += time.thread_time() - began
                await asyncio.sleep(0)
                began = time.thread_time()
        return cost_secs + time.thread_time() - began
