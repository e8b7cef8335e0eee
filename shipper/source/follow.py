"""Follows one series: reads its generations, oldest first, and hands each block over.

Theory of operation: each step reads one block of the oldest generation that has one. A half line
at the end of a rotated file holds the next one back until its writer has finished it, or a
successor is there and it has been quiet for `settle_secs` (writers go on into a renamed file until
they reopen it); after that the file is finished and closed. What one generation leaves waiting for
its end goes on in the next, because the chain is the same, and both stay pinned until the event is
in a chunk (I4).

Owns: the reading of one series. Does not know: chunks, the destination, other series.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from shipper.buffer.spool import Spool
from shipper.config import Config
from shipper.metrics import Metrics
from shipper.pipeline.chain import Chain
from shipper.source.directory import Found
from shipper.source.discover import Series
from shipper.source.generations import Generations
from shipper.source.handover import Handover
from shipper.source.identity import Identity
from shipper.source.poll import Look, Poller
from shipper.source.tail import Block, Limits, Tail
from shipper.source.threads import in_thread

log = logging.getLogger(__name__)

_RETRY_SECS = 1.0
_ONCE_QUIET_SECS = 1.0
"""With `--once`, for how long a last line without its newline may still be in the making."""
_READERS = 4
"""Followers that take turns of one block: with thousands of files behind, the event loop still
gets to everything else within this many blocks, about a millisecond each."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all followers share.

    Attributes:
        config: The whole configuration.
        spool: Where what blocks became goes.
        identity: Gives files their keys.
        poller: Wakes followers.
        metrics: The agent's metrics.
        once: Read to the end and stop, rather than follow.
        turns: Whoever reads a block has one of these.
    """

    config: Config
    spool: Spool
    identity: Identity
    poller: Poller
    metrics: Metrics
    once: bool
    turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_READERS))


class Follower:
    """The sequential loop of one series.

    Attributes:
        series: Which series.
        read_bytes: Bytes read by this follower.
    """

    def __init__(self, series: Series, around: Surroundings) -> None:
        """Prepare; files are opened by `run`."""
        config = around.config
        self.series = series
        self.read_bytes = 0
        self._around = around
        self._files = Generations(
            series,
            _limits_of(config),
            identity=around.identity,
            on_deleted=around.spool.hurry,
        )
        chain = Chain(
            series.path,
            tag=series.tag,
            index_prefix=config.output.index_prefix,
            fields=config.pipeline.fields,
            max_record_bytes=config.pipeline.max_record_bytes,
        )
        self._handover = Handover(series.path, chain, spool=around.spool, metrics=around.metrics)
        self._settle_secs = config.follow.settle_secs
        self._look = Look(self._has_changed, self.quiet_secs)
        self._found: Sequence[Found] | None = None
        self._stale = True
        self._ended = False

    async def run(self, found: Sequence[Found] | None = None) -> None:
        """Follow until the series is gone; with `once`, until its end.

        Args:
            found: Its files, if they are just looked up.
        """
        self._found = found
        try:
            while not self._ended:
                try:
                    await self._follow()
                except OSError as error:
                    self._report(self.series.path, error)
                    await asyncio.sleep(_RETRY_SECS)
        finally:
            self._files.close_all()

    def saw(self, found: Sequence[Found]) -> None:
        """Take note of the files of the series that a scan has found."""
        if self._files.has_news(found) or not (found or self._files.tails):
            self._stale = True
            self._look.wake()

    async def _follow(self) -> None:
        while not self._ended:
            if self._is_stale():
                self._refresh()
            if await self._step() or self._renew() or await self._finish() or self._is_stale():
                await asyncio.sleep(0)
            else:
                await self._rest()

    async def _rest(self) -> None:
        if not self._files.tails and (self._around.once or self._files.gone()):
            self._handover.flush()
            self._ended = True
        elif self._around.once:
            await asyncio.sleep(0.05)
        else:
            await self._around.poller.wait(self._look)

    def _is_stale(self) -> bool:
        return self._stale or self._files.moved()

    def _refresh(self) -> None:
        found, self._found = self._found, None
        for path, error in self._files.refresh(found):
            self._report(path, error)
        self._stale = False

    def _renew(self) -> bool:
        """Open rewritten files as the new ones that they are; tells whether there were any."""
        rewritten = self._files.rewritten()
        if rewritten:
            self._handover.flush()  # the end of what is pending is gone with the rest
            self._files.close(rewritten)
            self._stale = True
        return bool(rewritten)

    def _has_changed(self) -> bool:
        try:
            return self._files.has_changed() or any(
                self._may_finish(tail) for tail in self._files.tails if not tail.live
            )
        except OSError:
            return True  # the next step meets it, too

    def _report(self, path: str, error: OSError) -> None:
        self._around.metrics.read_errors.labels(
            errno.errorcode.get(error.errno or 0, "other")
        ).inc()
        log.warning("%s: cannot be read, tried again: %s", path, error)

    # -- reading

    async def _step(self) -> bool:
        """Read one block, of the oldest generation that has one; tells whether there was one."""
        for tail in list(self._files.tails):
            block = await self._attempt(tail, self._next)
            if block is not None:
                self._deliver(tail, block)
            if block is not None or tail.scanning:
                return True
            tail.behind_since = None
            if self._holds_back(tail):
                return False
        return False

    def _next(self, tail: Tail) -> Block | None:
        if not tail.update() or not self._is_identified(tail, final=self._is_final(tail)):
            return None
        return tail.read()

    def _is_identified(self, tail: Tail, *, final: bool) -> bool:
        return tail.identify(self._around.identity, final=final, held=self._handover.holds)

    async def _attempt(self, tail: Tail, read: Callable[[Tail], Block | None]) -> Block | None:
        """Read from a file; one that cannot be read now is set aside, and the others go on."""
        try:
            if tail.compressed:
                await self._around.spool.room()
                block = await in_thread(lambda: read(tail))
            else:
                async with self._around.turns:
                    await self._around.spool.room()
                    block = read(tail)
        except OSError as error:
            self._report(tail.path, error)
            self._files.set_aside(tail)
            return None
        if tail.compressed and tail.claim is None:  # in the making, or its original still open
            self._files.set_aside(tail)
        return block

    def _deliver(self, tail: Tail, block: Block) -> None:
        self._handover.deliver(tail, block)
        self.read_bytes += block.size

    def _holds_back(self, tail: Tail) -> bool:
        """Tell whether a file ends in a half line that newer lines must not overtake."""
        return tail in self._files.tails and not tail.live and tail.unread_bytes > 0

    # -- the end of a generation

    async def _finish(self) -> bool:
        """Finish the oldest generation that may be; tells whether there was one."""
        for tail in list(self._files.tails):
            if self._may_finish(tail):
                rest = await self._attempt(tail, self._end_of)
                if rest is not None:
                    self._deliver(tail, rest)
                if tail in self._files.tails and not tail.has_changed():
                    self._files.finish(tail)
                return True
            if self._holds_back(tail):
                return False
        return False

    def _end_of(self, tail: Tail) -> Block | None:
        if tail.has_changed() or not self._is_identified(tail, final=True):
            return None
        return tail.read_rest()

    def _may_finish(self, tail: Tail) -> bool:
        if tail.compressed:
            return tail.claim is not None
        return self._is_final(tail) or (self._around.once and not tail.unread_bytes)

    def _is_final(self, tail: Tail) -> bool:
        """Tell whether nothing will be written to a file any more."""
        if tail.compressed:
            left = self._around.once or tail.written_secs_ago >= self._settle_secs
            return left and not os.path.exists(tail.path.removesuffix(".gz"))  # noqa: PTH110
        if self._around.once:
            return max(tail.written_secs_ago, tail.quiet_secs) >= _ONCE_QUIET_SECS
        if tail.live or tail.quiet_secs < self._settle_secs:
            return False
        return tail is not self._files.tails[-1] or tail.deleted

    # -- what is told of it

    def quiet_secs(self) -> float:
        """Seconds since any of its files grew."""
        return min((tail.quiet_secs for tail in self._files.tails), default=math.inf)

    @property
    def open_files(self) -> int:
        """Number of files held open."""
        return len(self._files.tails)

    @property
    def lag_bytes(self) -> int:
        """Bytes that are there and not read."""
        if self._around.spool.paused:  # then nobody else looks
            with contextlib.suppress(OSError):
                for tail in self._files.tails:
                    tail.has_changed()
        return sum(tail.unread_bytes for tail in self._files.tails)

    @property
    def lag_secs(self) -> float:
        """For how long the oldest unread lines have been there; the start of a line is none."""
        behind = [tail.behind_since for tail in self._files.tails]
        since = [moment for moment in behind if moment is not None]
        return time.monotonic() - min(since) if since else 0.0

    @property
    def pending_bytes(self) -> int:
        """Bytes read of lines whose end has not come."""
        return self._handover.pending_bytes


def _limits_of(config: Config) -> Limits:
    """Return how much is read at once: no block holds a line that is too long, because none can."""
    max_line_bytes = config.pipeline.max_line_bytes
    return Limits(min(config.follow.block_bytes, max_line_bytes), max_line_bytes)
