"""What is done for all series together, once a second: bounds are kept, losses are counted.

Owns: since when positions have had no file. Does not know: what is read.
"""

from __future__ import annotations

import asyncio
import heapq
import time
from collections.abc import Mapping, Sequence

from shipper.buffer.chunk import Read
from shipper.model import Documents, SavedFile
from shipper.source.discover import Scan
from shipper.source.follow import Follower
from shipper.source.losses import MISSING
from shipper.source.surroundings import FIRST_START, OVER, Surroundings
from shipper.source.tail import Tail
from shipper.source.unidentified import is_spare

_TICK_SECS = 1.0
_SURELY_DELETED_SECS = 600.0
"""For how long the position of a deleted file is kept while others of its series are there: its
`.gz` may be on its way."""
_MOVED_AWAY_SECS = 300.0
"""For how long, after the start, a whole series may be out of sight before it is taken for deleted:
its file system may be mounted late."""
_FIRST_START_SECS = 60.0


class Upkeep:
    """Keeps the bounds that all series share."""

    def __init__(self, around: Surroundings, followers: Mapping[str, Follower]) -> None:
        """Watch over these followers."""
        self._around = around
        self._followers = followers
        self._settings = around.config.follow
        self._fileless: dict[str, float] = {}
        self._expire_at = 0.0
        self._started_at = time.monotonic()
        self._first_start = False

    async def run(self) -> None:
        """Keep the bounds, for ever."""
        while True:
            await asyncio.sleep(min(_TICK_SECS, self._settings.settle_secs))
            self.tick()
            if self._first_start and self._has_begun():
                self._first_start = False
                await self._around.spool.remember(FIRST_START, OVER)

    def tick(self) -> None:
        """Look at everything once.

        What waits for quiet files to grow, most of a node's, holds and keeps nothing.
        """
        busy = {name: f for name, f in self._followers.items() if not f.look.calm}
        self._abandon_held(busy)
        self._bound_parts(list(busy.values()))
        self._park()
        self._around.losses.sweep(self._is_settled)
        if time.monotonic() >= self._expire_at:
            self._expire_at = time.monotonic() + min(60.0, self._settings.expire_secs / 4)
            self._expire()

    def begin(self, found: Scan, *, first_start: bool) -> None:
        """Miss what has a position from before the start, given what is on disk now.

        Args:
            found: What is on disk.
            first_start: The first start is not over.
        """
        self._first_start = first_start
        settle_secs = self._settings.settle_secs
        there = {series.stem for series in found.series.values()}
        self._around.losses.begin(
            self._around.spool.positions.all(),
            lambda stem: settle_secs if stem in there else _MOVED_AWAY_SECS,
        )

    def forget(self, stem: str) -> None:
        """Forget the positions of a series that was deleted, but where another one may go on."""
        losses, positions = self._around.losses, self._around.spool.positions
        named_twice = self._around.identity.named_twice
        files = [file for file in positions.in_stem(stem) if not named_twice(file.key)]
        for file in filter(_is_unfinished, files):
            if not losses.misses(file.key):
                losses.miss(file, MISSING, within_secs=0)
        losses.settle(stem)
        self._forget([file for file in positions.in_stem(stem) if not named_twice(file.key)])

    def _is_settled(self, file: SavedFile) -> bool:
        follower = self._followers.get(file.stem)
        return follower is None or follower.settled(file)

    def _abandon_held(self, followers: Mapping[str, Follower]) -> None:
        """Close files that have no name any more, until those that are left fit the budget.

        What nothing is lost with goes first; then the oldest file of whoever holds the most.
        """
        held = {f: [t for t in f.tails if t.nameless] for f in followers.values()}
        over = sum(t.disk_bytes for tails in held.values() for t in tails)
        over -= self._settings.held_bytes
        for follower, tails in held.items() if over > 0 else ():
            for tail in self._spare(follower, tails):
                over -= tail.disk_bytes
                tails.remove(tail)
                follower.abandon(tail)
        largest = [(-sum(t.disk_bytes for t in held[f]), n) for n, f in followers.items()]
        heapq.heapify(largest)
        while over > 0 and largest:
            minus_bytes, name = heapq.heappop(largest)
            oldest = next((t for t in held[followers[name]] if not t.busy), None)
            if oldest is not None:
                over -= oldest.disk_bytes
                held[followers[name]].remove(oldest)
                followers[name].abandon(oldest)
                heapq.heappush(largest, (minus_bytes + oldest.disk_bytes, name))

    def _spare(self, follower: Follower, tails: Sequence[Tail]) -> list[Tail]:
        identity = self._around.identity
        idle = [tail for tail in tails if not tail.busy]
        return [tail for tail in idle if is_spare(tail, follower.tails, identity=identity)]

    def _bound_parts(self, followers: Sequence[Follower]) -> None:
        """Give up the longest lines that wait for their ends, until these fit into memory."""
        total = sum(follower.pending_bytes for follower in followers)
        while total > self._around.config.pipeline.max_pending_bytes:
            largest = max(followers, key=lambda follower: follower.pending_bytes)
            total -= largest.pending_bytes
            largest.give_up_parts()

    def _park(self) -> None:
        """Close the files that have been quiet for longest, for those who wait for a descriptor."""
        wanted = self._around.descriptors.wanted
        if not wanted:
            return
        resting = [follower for follower in self._followers.values() if follower.look.waits]
        for follower in sorted(resting, key=Follower.quiet_secs, reverse=True):
            wanted -= follower.park()
            if wanted <= 0:
                return

    def _has_begun(self) -> bool:
        """Tell whether every file that was there at the start has begun where it should."""
        late = time.monotonic() - self._started_at >= _FIRST_START_SECS
        return late or all(follower.settled() for follower in self._followers.values())

    def _expire(self) -> None:
        """Forget positions whose files have been gone for long; what is unread is missed first."""
        around, now = self._around, time.time()
        files = around.spool.positions.all()
        gone = [f for f in files if not around.identity.holds(f.key)]
        self._fileless = {file.key: self._fileless.get(file.key, now) for file in gone}
        over = [file for file in gone if self._is_over(file, now)]
        for file in filter(_is_unfinished, over):
            around.losses.miss(file, MISSING, within_secs=0)
        self._forget([file for file in over if not _is_unfinished(file)])

    def _is_over(self, file: SavedFile, now: float) -> bool:
        """Tell whether a file that nobody has open is gone for good.

        Its `.gz` may wait to be identified until reading goes on, and a part of a line that began
        in it for its end.
        """
        waits = file.position.pending_bytes and file.stem in self._followers
        if waits or self._around.losses.misses(file.key) or not self._is_settled(file):
            return False
        expire_secs = self._settings.expire_secs
        if self._around.identity.retired(file.key):
            expire_secs = min(expire_secs, _SURELY_DELETED_SECS)
        return now - max(self._fileless[file.key], file.saved_at) >= expire_secs

    def _forget(self, files: list[SavedFile]) -> None:
        if files:
            self._around.spool.append(Read(Documents(), (), 0, forgotten=tuple(files)))
        for file in files:
            self._around.identity.forget(file.key)


def _is_unfinished(file: SavedFile) -> bool:
    """Tell whether bytes of a file are unread, or read and in no document yet."""
    return bool(file.unread_bytes or file.position.pending_bytes)
