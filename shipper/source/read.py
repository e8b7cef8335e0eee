"""Reads the files of one series: which one each is, its next block, and where that goes.

Owns: the open files of the series, and the way of their blocks into the spool. Does not know: when
to read, and in which order.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from shipper.pipeline.chain import Chain
from shipper.source.block import IGNORED, LIMIT, Block
from shipper.source.cold import fetched
from shipper.source.copies import is_unseen
from shipper.source.discover import Series
from shipper.source.generations import Generations
from shipper.source.handover import Handover
from shipper.source.identity import Place
from shipper.source.joints import Joints
from shipper.source.limits import Rate
from shipper.source.losses import DELETED
from shipper.source.metadata import Metadata
from shipper.source.recognise import begin, identify
from shipper.source.surroundings import Surroundings
from shipper.source.tail import Tail
from shipper.source.threads import GZIP_THREADS, in_thread
from shipper.source.unidentified import alike, is_saved, waits_for_plain

_ONCE_QUIET_SECS = 1.0
"""With `--once`, for how long a last line without its newline may still be in the making."""
_KEY_RETRY_SECS = 1.0


class Reader:
    """Reads what is open of one series.

    Attributes:
        files: What is open.
        handover: The way of blocks into the spool.
        joints: Where lines may go on in the next file.
        read_bytes: Bytes read so far.
        initial: Places of the files that begin where `follow.read_from` says.
    """

    def __init__(self, series: Series, around: Surroundings) -> None:
        """Prepare; no file is opened."""
        config = around.config
        self.read_bytes, self._late = 0, False
        self.initial: set[Place] = set()
        self._stem, self._around = series.stem, around
        self._settings = config.follow
        limits = config.follow.limits
        self._rate = Rate(limits.lines_per_sec, limits.bytes_per_sec)
        self.files = Generations(
            series,
            around.limits,
            identity=around.identity,
            descriptors=around.descriptors,
            on_deleted=around.spool.hurry,
            on_gap=lambda: around.losses.gap(series.stem),
        )
        self._metadata = Metadata(series, config, in_use=around.pods)
        chain = Chain(
            self._metadata.tag,
            self._metadata.now(),
            container=self._metadata.names is not None,
            max_record_bytes=config.pipeline.max_record_bytes,
        )
        self.handover = Handover(series.path, chain, spool=around.spool, metrics=around.metrics)
        self.joints = Joints(self.handover, around.identity)

    def close(self, *, for_good: bool) -> None:
        """Close all files; if it is `for_good`, nothing will be read of them after this run."""
        self.files.close_all()
        if for_good:
            self._metadata.close()

    def note(self, *, look: bool = True) -> None:
        """Identify the open files, and save how long they are: what vanishes is counted then.

        Args:
            look: Look how long they are now.
        """
        # Whoever kept its inode is asked first; of two that are alike, the live one is no copy.
        newest_first, at = self.files.tails[::-1], self._around.spool.positions.at
        for tail in sorted(newest_first, key=lambda tail: not at(*tail.hint)):
            with contextlib.suppress(OSError):  # the next step meets it, and tells
                if self._is_known(tail, look=look) and tail.unread_bytes:
                    self.handover.note(tail)

    def _is_known(self, tail: Tail, *, look: bool) -> bool:
        if (look and not tail.update(reads=False)) or tail.busy or tail.compressed:
            return False
        return self._is_identified(tail, final=False)

    async def next_block(self, tail: Tail) -> Block | None:
        """Read on in a file, and hand over what there is."""
        return await self._attempt(tail, self._next)

    async def read_held(self) -> None:
        """Read whole lines up to the end of each file that has no name any more."""
        is_gap = False
        for tail in list(self.files.tails):
            if not tail.nameless:
                is_gap |= tail.claim is None or tail.unread_bytes > 0
                continue
            tail.after_gap |= is_gap
            is_gap = False
            while await self.next_block(tail) is not None:  # noqa: ASYNC110  # others' turn
                await asyncio.sleep(0)

    async def rest(self, tail: Tail) -> Block | None:
        """Read the half line at the end of a file to which nothing will be written any more."""
        return await self._attempt(tail, self._rest_of)

    def abandon(self, tail: Tail, reason: str) -> None:
        """Close a file that is not read on; what is unread of it is missed."""
        losses, secs = self._around.losses, self._settings.settle_secs
        if tail.claim is not None:
            file = self.handover.saved(tail)
            if file.unread_bytes or tail.rewritten:
                losses.miss(file, reason, within_secs=secs, is_gap=tail.rewritten)
        elif not tail.compressed:
            losses.abandon(self._stem, reason, size=0 if tail.copy_of else tail.seen_bytes)
        elif not is_saved(tail, self._around.identity, positions=self._around.spool.positions):
            losses.gap(self._stem)
            tail.after_gap = True
        self.joints.miss(tail, self.files.tails)
        self.files.close([tail])

    def may_finish(self, tail: Tail) -> bool:
        """Tell whether a file whose end was read is done with."""
        if tail.compressed:
            return tail.claim is not None
        return self.is_final(tail) or (self._around.once and not tail.unread_bytes)

    def is_final(self, tail: Tail) -> bool:
        """Tell whether nothing will be written to a file any more."""
        settle_secs = self._settings.settle_secs
        if tail.compressed:
            left = self._around.once or tail.written_secs_ago >= settle_secs
            return left and not os.path.exists(tail.path.removesuffix(".gz"))  # noqa: PTH110
        if self._around.once:
            return max(tail.written_secs_ago, tail.quiet_secs) >= _ONCE_QUIET_SECS
        if tail.live or tail.quiet_secs < settle_secs:
            return False
        # Without a newer file its writer may go on; but it must not keep others from being opened.
        may_go_on = tail is self.files.tails[-1] and not self._around.descriptors.none_left
        return not may_go_on or tail.deleted or not tail.shown

    async def _attempt(self, tail: Tail, read: Callable[[Tail], Block | None]) -> Block | None:
        """Read from a file; one that cannot be read now is set aside, and the others go on."""
        if tail.due_at is not None and time.monotonic() < tail.due_at:
            return None
        tail.due_at = None
        try:
            block = await self._in_turn(tail, read)
        except OSError as error:
            self._around.report(tail.path, error)
            self._set_aside(tail)
            return None
        if block is not None:
            self._deliver(tail, block)
        elif tail.compressed and tail.claim is None and tail in self.files.tails:
            self.files.set_aside(tail)  # in the making, or its original is still open
        return block

    def _set_aside(self, tail: Tail) -> None:
        """Leave a file for now; if it is deleted before it can be read on, that is counted."""
        self.files.set_aside(tail)
        if tail not in self.files.tails and tail.claim is not None and tail.unread_bytes:
            size = tail.offset + tail.unread_bytes
            file = replace(self.handover.saved(tail), seen_bytes=size)
            self._around.losses.miss(file, DELETED, within_secs=self._settings.settle_secs)

    async def _in_turn(self, tail: Tail, read: Callable[[Tail], Block | None]) -> Block | None:
        spool, stem = self._around.spool, self._stem
        if self._settings.limits.action == "delay":
            await asyncio.sleep(self._rate.wait_secs(time.monotonic()))
        if tail not in self.files.tails or not await self._recognise(tail):
            return None
        self._late |= await self._metadata.arrive()
        while tail in self.files.tails:  # it may be abandoned while this waits
            await spool.room(stem, deleted=tail.nameless)
            if tail.compressed and tail in self.files.tails:
                self.handover.enrich(self._metadata.now())
                return await _in_thread(tail, read)
            await fetched(*tail.next_bytes)
            async with self._around.turns:  # waiting for room with one would keep the others out
                if tail in self.files.tails and spool.has_room(stem, deleted=tail.nameless):
                    self.handover.enrich(self._metadata.now())
                    return read(tail)
        return None

    def _deliver(self, tail: Tail, block: Block) -> None:
        is_apart = self.joints.begin(tail, self.files.tails)
        deliver = self.handover.deliver_apart if is_apart else self.handover.deliver
        deliver(tail, block, dropped=self._over_limit(block))
        self.read_bytes += block.size
        if self._late:  # these lines have waited long enough
            self._late = False
            self._around.spool.hurry()

    def _over_limit(self, block: Block) -> str:
        """Charge a block to the limits; returns why it is dropped, or nothing."""
        if not self._rate.limits or block.skipped:
            return ""
        lines, now = block.data.count(b"\n") or 1, time.monotonic()
        if self._settings.limits.action == "delay":
            self._rate.spend(lines, block.size, now=now)
            return ""
        return "" if self._rate.takes(lines, block.size, now=now) else LIMIT

    async def _recognise(self, tail: Tail) -> bool:
        """Identify a file if it is compressed; False while it cannot be told.

        What that takes is read in a thread; it is held against what is known when that is done.
        """
        if tail.claim is not None or not tail.compressed:
            return True
        if waits_for_plain(tail, self.files.tails):
            return False
        saved = alike(tail, self._around.identity, positions=self._around.spool.positions)
        ends = [end for file in saved for end in (file.position.end, file.position.resume)]
        await _in_thread(tail, lambda _: tail.content.survey(ends))
        if tail.content.whole() and not tail.content.end():
            self.files.finish(tail)  # there is nothing to tell it by, and nothing to read
            return False
        if not self._is_identified(tail, final=self.is_final(tail)):
            return False
        self.handover.note(tail)
        return True

    def _next(self, tail: Tail) -> Block | None:
        if not tail.update() or not self._is_identified(tail, final=self.is_final(tail)):
            return None
        return tail.read(self._metadata.most_block_bytes)

    def _rest_of(self, tail: Tail) -> Block | None:
        if tail.has_changed() or not self._is_identified(tail, final=True):
            return None
        return tail.read_rest()

    def _is_identified(self, tail: Tail, *, final: bool) -> bool:
        if tail.claim is not None:
            return True
        if not tail.compressed and is_unseen(tail, self.files.tails):
            return False
        known = identify(
            tail,
            self._around.identity,
            final=final,
            held=self.handover.holds,
            copies=partial(self.files.is_copy, tail, within_secs=self._settings.settle_secs),
            tails=self.files.tails,
        )
        if known:
            self._begin(tail)
        elif tail.copy_of:
            tail.delay(_KEY_RETRY_SECS)
        return known

    def _begin(self, tail: Tail) -> None:
        assert tail.claim is not None  # noqa: S101  # it was identified just now
        if tail.live:
            tail.claim = self._around.identity.newest(tail.claim)
        if tail.claim.position is not None and tail.claim.position.end:
            self.files.resumed(tail)
            self.handover.resumed(tail)
            return
        self._stays_before_newer(tail)
        older, most = self._settings.ignore_older_secs, self._around.limits.max_line_bytes
        if older is not None and tail.written_secs_ago > older:
            begin(tail, "end", max_line_bytes=most, reason=IGNORED)
        elif tail.hint in self.initial:
            begin(tail, self._settings.read_from, max_line_bytes=most)

    def _stays_before_newer(self, tail: Tail) -> None:
        """Keep the files behind a new one the newer ones, though they were identified before it."""
        for newer in self.files.tails[self.files.tails.index(tail) + 1 :]:
            if newer.claim is not None:
                newer.claim = self._around.identity.newest(newer.claim)
                self.handover.note(newer)


async def _in_thread(tail: Tail, read: Callable[[Tail], Block | None]) -> Block | None:
    before, tail.busy = (tail.offset, tail.window), True
    try:
        return await in_thread(lambda: read(tail), on_cancel=tail.content.stop, pool=GZIP_THREADS)
    except asyncio.CancelledError:  # what it has read does not arrive
        tail.offset, tail.window = before
        raise
    finally:
        tail.busy = False
