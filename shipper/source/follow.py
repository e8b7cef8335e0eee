"""Follows one series: reads its generations, oldest first.

Theory of operation: each step reads one block of the oldest generation that has one. A half line
at the end of a rotated file holds the next one back until its writer has finished it, or a
successor is there and it has been quiet for `settle_secs` (writers go on into a renamed file until
they reopen it); after that the file is finished and closed. What one generation leaves waiting for
its end goes on in the next, because the chain is the same, and both stay pinned until the event is
in a chunk (I4). Where generations are missing between two, what waits is given up first, so that
no line is glued to another.

While it reads, or waits for room, `notice` opens new generations, so that they are held.

Owns: the loop of one series. Does not know: chunks, the destination, other series.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import Sequence

from shipper.model import SavedFile, SeriesStatus
from shipper.source.directory import Found
from shipper.source.discover import Series
from shipper.source.losses import HELD_BYTES, TRUNCATED
from shipper.source.parking import park
from shipper.source.poll import Look
from shipper.source.progress import holds_back, lag_secs_of, only_grows, status_of
from shipper.source.read import Reader
from shipper.source.surroundings import Surroundings
from shipper.source.tail import Tail

_RETRY_SECS = _NOTE_SECS = 1.0
_ONCE_RETRY_SECS = 2.0  # what would be tried after more than this is left, with `once`


class Follower:
    """The sequential loop of one series.

    Attributes:
        series: Which series.
        look: How the poller looks at its files.
        unread: With `once`, the files that could not be read.
    """

    def __init__(self, series: Series, around: Surroundings) -> None:
        """Prepare; files are opened by `run`."""
        self.series = series
        self._around = around
        self._reader = Reader(series, around)
        self._files, self._handover = self._reader.files, self._reader.handover
        self.look = Look(
            self._has_changed, self.quiet_secs, sizes=self._files.sizes, notice=self.notice
        )
        self.unread: list[str] = []
        self._found: Sequence[Found] | None = None
        self._noted_at = 0.0
        self._stale, self._ended, self._queued = True, False, False

    async def run(
        self, found: Sequence[Found] | None = None, *, written_before: float = 0.0
    ) -> None:
        """Follow until the series is gone; with `once`, until its end.

        Args:
            found: Its files, if they are just looked up.
            written_before: `follow.read_from` says where those of them begin that were written
                last before this moment (Unix time).
        """
        self._found = found
        first = [file for file in found or () if file.signature[3] < written_before * 1e9]
        self._reader.initial = {file.signature[:2] for file in first}
        try:
            with self._around.poller.attending(self.look):
                while not self._ended:
                    await self._try_to_follow()
        except asyncio.CancelledError:
            await self._rescue()
            raise
        finally:
            self._reader.close(for_good=self._ended and not self._around.once)

    def saw(self, found: Sequence[Found]) -> None:
        """Take note of the files of the series that a scan has found."""
        if self._files.has_news(found) or not (found or self._files.tails):
            self._stale = True
            self.look.wake()

    def touch(self) -> None:
        """Look at the path at once."""
        self.look.wake()
        if not self.look.waits:
            self.notice()

    def notice(self) -> None:
        """Open new generations, so that they are held, and note how long the open ones are."""
        if self._queued:
            return
        try:
            if self._is_stale():
                self._refresh()
            elif time.monotonic() - self._noted_at >= _NOTE_SECS:
                self._note()
        except OSError:
            self._stale = True  # the next step meets it, and tells

    async def _try_to_follow(self) -> None:
        try:
            await self._follow()
        except OSError as error:
            self._around.report(self.series.path, error)
            await asyncio.sleep(_RETRY_SECS)

    async def _follow(self) -> None:
        while not self._ended:
            if self._is_stale():
                self._refresh()
                await asyncio.sleep(0)  # whoever has files to open comes first: they may go soon
            if await self._step() or self._renew() or await self._finish():
                await asyncio.sleep(0)
            elif self._files.starved:
                self.park()  # one of its own may be in its way
                await self._wait_for_descriptor()
            elif self._is_stale():
                await asyncio.sleep(0)
            else:
                self._give_way()
                await self._rest()

    async def _rest(self) -> None:
        hopes = self._around.once and self._files.aside.is_hopeful(_ONCE_RETRY_SECS)
        if not self._files.tails and not hopes and (self._around.once or self._files.gone()):
            self._handover.flush()
            self._ended, self.unread = True, self._files.aside.unknown
        elif self._around.once:
            await asyncio.sleep(0.05)
            self._stale |= hopes
        else:
            self._handover.flush(self._overdue())
            self._reader.note(look=False)  # a look would hide what has come since the last step
            self.look.timed = self._handover.is_waiting or not only_grows(self._files.tails)
            await self._around.poller.wait(self.look)

    def _is_stale(self) -> bool:
        if self._files.starved and self._around.descriptors.none_left:
            return False  # a look would show the same again
        return self._stale or self._files.moved()

    async def _wait_for_descriptor(self) -> None:
        self._queued = True  # what `notice` opened now would not be read before this ends
        # What is open has a name no more, or ends in a half line: the clock makes that due.
        await self._around.descriptors.wait(_RETRY_SECS if self._files.tails else None)
        self._queued, self._stale = False, True

    def _give_way(self) -> None:
        """Close what has nothing to read, if others wait for a descriptor."""
        if self._around.descriptors.wanted:
            self.park()

    def _refresh(self) -> None:
        for path, error in self._files.refresh(self._found):
            self._around.report(path, error)
        self._found = self._found if self._files.starved else None
        self._stale = False
        self._note()

    def _note(self) -> None:
        self._noted_at = time.monotonic()
        self._reader.note()

    def _has_changed(self) -> bool:
        try:
            may_finish = any(self._reader.may_finish(t) for t in self._files.tails if not t.live)
            return self._files.has_changed() or may_finish or bool(self._overdue())
        except OSError:
            return True  # the next step meets it, too

    def _overdue(self) -> list[str]:
        return self._handover.overdue(self._around.config.follow.partial_secs)

    # -- reading

    async def _step(self) -> bool:
        """Read one block, of the oldest generation that has one; tells whether there was one."""
        for tail in list(self._files.tails):
            block = await self._reader.next_block(tail)
            if block is not None or tail.scanning:
                return True
            tail.behind_since = None
            if tail.rewritten or holds_back(tail, self._files.tails):
                return False
        return False

    def _renew(self) -> bool:
        """Open rewritten files as the new ones that they are; tells whether there were any.

        What waits for its end can go on in a copy that was made of such a file before.
        """
        rewritten = [tail for tail in self._files.tails if tail.rewritten]
        if not rewritten:
            return False
        for tail in rewritten:
            self._files.begin_anew(tail)
            self._reader.abandon(tail, TRUNCATED)
        self._files.retry()
        self._refresh()
        if all(t.claim is not None or not t.compressed for t in self._files.tails):
            self._reader.joints.end_cut_lines()
        return True

    async def _finish(self) -> bool:
        """Finish the oldest generation that may be; tells whether there was one."""
        for tail in list(self._files.tails):
            finished = await self._is_finished(tail)
            if finished or holds_back(tail, self._files.tails):
                return finished
        return False

    async def _is_finished(self, tail: Tail) -> bool:
        """Read the rest of a file, and close it, if it may be; tells whether it had one, or is."""
        if tail.due_at is not None or tail.copy_of or not self._reader.may_finish(tail):
            return False
        rest = await self._reader.rest(tail)
        if tail not in self._files.tails or not tail.is_read_out:
            return rest is not None
        self._files.finish(tail)
        if self._files.gone():  # another series may take this file at once
            self._handover.flush()
        return True

    def abandon(self, tail: Tail) -> None:
        """Give up a file without a name that takes too much space."""
        self._reader.abandon(tail, HELD_BYTES)
        self._files.retry()
        self._stale = True

    def give_up_parts(self) -> None:
        """Deliver the lines that wait for their ends as they are."""
        self._handover.flush()

    async def _rescue(self) -> None:
        """Read to its end, at a stop, what nobody can read after it: files without a name."""
        with contextlib.suppress(TimeoutError, OSError):
            async with asyncio.timeout(self._around.config.buffer.grace_secs / 2):
                await self._reader.read_held()
        self._reader.joints.end_lost_lines(self.tails, settled=self._settled_now)

    def _settled_now(self, file: SavedFile) -> bool:
        self._stale = True  # a `.gz` that was made a moment ago may hold what began in it
        self.notice()
        return self._files.settled(file)

    def park(self) -> int:
        """Close the files that have nothing to read, while it rests; returns how many."""
        return park(self._files)

    def quiet_secs(self) -> float:
        """Seconds since any of its files grew."""
        return min((tail.quiet_secs for tail in self._files.tails), default=math.inf)

    def settled(self, file: SavedFile | None = None) -> bool:
        """Tell whether every generation on disk is identified; `file` as in `Generations`."""
        return not self._stale and self._files.settled(file)

    @property
    def vanished(self) -> bool:
        """Whether the last file of the series was deleted, rather than moved out of sight."""
        return self._files.vanished

    @property
    def read_bytes(self) -> int:
        """Bytes read so far."""
        return self._reader.read_bytes

    @property
    def lag_bytes(self) -> int:
        """Bytes that are there and not read, as of the last look."""
        return sum(tail.unread_bytes for tail in self._files.tails)

    @property
    def lag_secs(self) -> float:
        """For how long the oldest unread lines have been there."""
        return max((lag_secs_of(tail) for tail in self._files.tails), default=0.0)

    @property
    def pending_bytes(self) -> int:
        """Bytes read of lines whose end has not come."""
        return self._handover.pending_bytes

    @property
    def tails(self) -> Sequence[Tail]:
        """The open files, oldest first."""
        return self._files.tails

    def status(self) -> SeriesStatus:
        """Return how far the series is read."""
        losses, pending = self._around.losses, self._handover.pending_bytes
        return status_of(self.series, self._files.tails, losses=losses, pending_bytes=pending)
