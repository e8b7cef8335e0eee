"""The set of chunks: the open ones, the sealed ones on disk, each leaving when it is shipped.

Theory of operation: the reading side appends what blocks became to an open chunk, on the event
loop, without waiting: to the express one, or for noisy series to the bulk one (`lanes`). One task
seals: it takes a chunk that is full or `flush_secs` old, and one thread writes the file, syncs it
and commits row and positions (I1, I6), while the next chunk is filled. Shippers claim sealed chunks
and report what became of them. `room` is the one place where the reading side waits: for a seal,
for the quota, for a disk that takes writes again; noisy series wait first.

Owns: the sealed chunks, the in-memory copy of the totals, the thread.
Does not know: files being followed, destinations.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from shipper.buffer.chunk import OpenChunk, Read
from shipper.buffer.claims import Claims
from shipper.buffer.disk import Disk
from shipper.buffer.gate import Gate
from shipper.buffer.known import Known
from shipper.buffer.lanes import Lanes
from shipper.buffer.ledger import Ledger
from shipper.buffer.positions import Positions
from shipper.buffer.quota import Need, Quota
from shipper.buffer.state import Totals
from shipper.buffer.thread import DiskThread
from shipper.config import BufferConfig
from shipper.metrics import Metrics
from shipper.model import Chunk, Lane

_AWAY_FLUSH_SECS = 30.0
"""Age at which a chunk is sealed while the destination is away: nothing waits for it there, and
a thousand small chunks an hour would cost more than they save."""
_LOOK_AGAIN_SECS = 1.0
"""While reading is paused: others may free space on the disk."""


class Spool:
    """The buffer of one state directory.

    Attributes:
        buffered_documents: Documents in sealed chunks.
        totals: Totals of the conservation law as of the last commit.
    """

    def __init__(
        self,
        state_dir: Path,
        settings: BufferConfig,
        *,
        metrics: Metrics,
        disk: Disk | None = None,
        in_order: bool = False,
    ) -> None:
        """Open state.db, and adopt or clean what the chunk directory holds.

        Args:
            state_dir: Where both are.
            settings: The limits.
            metrics: The agent's metrics.
            disk: Takes the files.
            in_order: Nothing overtakes what was read before it.

        Raises:
            StateError: The database cannot be used.
            OSError: The directory cannot be written.
        """
        self.buffered_documents = 0
        self._settings, self._metrics = settings, metrics
        self._ledger = Ledger(state_dir, disk or Disk())
        self.state = self._ledger.state
        self.directory = self._ledger.directory
        self._quota = Quota(self.directory, settings)
        self._sealed: dict[str, Chunk] = {}
        self._gate = Gate(self._quota)
        self._claims = Claims()
        self._lanes = Lanes(settings, in_order=in_order)
        self.positions = Positions(self.state.files())
        self._away = self._sealing = self._flushing = False
        self._thread = DiskThread(self._gate, place=str(self.directory))
        self.known = Known(self.state, self._thread)
        self._wake, self._idle, self._empty = asyncio.Event(), asyncio.Event(), asyncio.Event()
        found = self._ledger.adopt()
        self.totals: Totals = self.state.totals()
        self._publish([*found.ready, *found.adopted])
        self._refresh()

    # -- the reading side

    def forget_files(self) -> None:
        """Forget all positions, at start: every file is read from its beginning."""
        self.state.forget_files()
        self.totals = self.state.totals()
        self.positions.clear()

    async def room(self, stem: str = "", *, deleted: bool = False) -> None:
        """Wait until there is room for another block: the one backpressure point.

        Args:
            stem: The series that it is of: noisy ones wait first.
            deleted: The block is of a file that has no name any more.
        """
        while (obstacle := self._obstacle(stem, deleted=deleted)) is not None:
            await obstacle.wait()

    def has_room(self, stem: str = "", *, deleted: bool = False) -> bool:
        """Tell whether `room` would return at once."""
        return self._obstacle(stem, deleted=deleted) is None

    def append(self, read: Read) -> None:
        """Take what a block became; it is committed, with its positions, at the next seal."""
        self.positions.take(read)
        for flag, count in read.documents.marked.items():
            self._metrics.marked.labels(flag).inc(count)
        if self._lanes.add(read, now=time.monotonic()):
            self._wake.set()
            self._refresh()

    def hurry(self) -> None:
        """Seal soon, whatever the age: a file with lines in an open chunk was deleted."""
        self._lanes.hurry(time.monotonic() - self._age_limit())
        self._wake.set()

    def _obstacle(self, stem: str, *, deleted: bool) -> asyncio.Event | None:
        now, need = time.monotonic(), Need.QUIET
        if self._lanes.is_noisy(stem, now=now):
            need = Need.DELETED if deleted else Need.NOISY
        for event in (self._gate.opening(need), self._lanes.of(stem, now=now).has_room):
            if not event.is_set():
                return event
        return None

    # -- sealing

    async def seal_loop(self) -> None:
        """Seal an open chunk whenever one is due, for ever; never two at a time (I6)."""
        while True:
            full = await self._due()
            self._sealing = True
            self._refresh()
            await self._seal(full)
            self._sealing = False
            self._refresh()

    async def flush(self) -> None:
        """Seal everything that was appended so far."""
        self._flushing = True
        self._wake.set()
        self._refresh()
        try:
            await self._idle.wait()
        finally:
            self._flushing = False

    async def remember(self, name: str, value: str) -> None:
        """Remember a value in state.db, between two seals."""
        await self._thread.do(lambda: self.state.remember(name, value))

    async def empty(self) -> None:
        """Wait until every sealed chunk is shipped."""
        await self._empty.wait()

    async def _due(self) -> OpenChunk:
        while True:
            age_limit = 0.0 if self._flushing else self._age_limit()
            due = self._lanes.take(opened_before=time.monotonic() - age_limit)
            if due is not None:
                return due
            self._wake.clear()
            try:
                async with asyncio.timeout(self._secs_left()):
                    await self._wake.wait()
            except TimeoutError:
                self._refresh()

    def _secs_left(self) -> float | None:
        limits = [_LOOK_AGAIN_SECS] if self.paused else []
        if self._lanes.opened_at is not None:
            limits.append(self._lanes.opened_at + self._age_limit() - time.monotonic())
        return max(0.0, min(limits)) if limits else None

    def _age_limit(self) -> float:
        flush_secs = self._settings.flush_secs
        return max(flush_secs, _AWAY_FLUSH_SECS) if self._away else flush_secs

    async def _seal(self, full: OpenChunk) -> None:
        data = full.finish()
        started = time.monotonic()
        sealed = await self._thread.do(lambda: self._ledger.write(full, data))
        await self._thread.do(lambda: self._ledger.seal(full, sealed))
        self._metrics.seal_secs.observe(time.monotonic() - started)
        self.totals += full.totals
        if sealed is not None:
            self._metrics.chunk_bytes.observe(sealed.file_bytes)
            self._publish([sealed])

    # -- the shipping side

    async def claim(self, *lanes: Lane) -> Chunk:
        """Wait for a sealed chunk that nobody ships, and take it.

        Args:
            lanes: Oldest first of the first of these lanes that has one; by default express.
        """
        return await self._claims.take(lanes or tuple(Lane))

    def path(self, chunk: Chunk) -> Path:
        """Return where a chunk's file is."""
        return self.directory / chunk.name

    async def shipped(self, chunk: Chunk, *, delivered: int, dead: int = 0) -> None:
        """Report that nothing of a chunk is left to ship: its row goes, then its file (I1)."""
        await self.replace(chunk, [], delivered=delivered, dead=dead)

    async def replace(
        self, chunk: Chunk, bodies: Sequence[bytes], *, delivered: int, dead: int = 0
    ) -> list[Chunk]:
        """Report that only these bodies of a chunk are left to ship (I2).

        Returns:
            The chunks that took its place, claimed by the caller.
        """
        totals: Totals = Counter({("delivered", ""): delivered, ("dead", ""): dead})
        steps = [partial(self._ledger.write_part, chunk, body) for body in bodies]
        left = [await self._thread.do(step) for step in steps]
        await self._thread.do(lambda: self._ledger.replace(chunk, left, totals=totals))
        self.totals += totals
        self.buffered_documents -= chunk.documents
        del self._sealed[chunk.name]
        self._quota.remove(chunk.name)
        self._hold(left)
        self._refresh()
        return left

    def release(self, left: Sequence[Chunk], *, last: bool = False) -> None:
        """Give claimed chunks back, to be claimed next, or after all others."""
        self._claims.put(left) if last else self._claims.put_back(left)

    # -- state shared by both

    @property
    def paused(self) -> str:
        """Why reading is stopped, of noisy series or of all, in words; empty while it is not."""
        return self._gate.paused

    @property
    def closed(self) -> str:
        """Why reading is stopped of all series, in words; empty while quiet ones are read."""
        return self._gate.closed

    @property
    def away(self) -> bool:
        """Whether the destination takes nothing for now, as the shipping side says."""
        return self._away

    @away.setter
    def away(self, away: bool) -> None:
        self._away = away
        self._wake.set()

    @property
    def buffered_chunks(self) -> int:
        """Number of sealed chunks."""
        return len(self._sealed)

    @property
    def buffered_bytes(self) -> int:
        """Disk space of the sealed chunks."""
        return self._quota.used_bytes

    def close(self) -> None:
        """Wait for the thread and close the database."""
        self._thread.close()
        self.state.close()

    def _publish(self, sealed: Sequence[Chunk]) -> None:
        self._hold(sealed)
        self._claims.put(sealed)

    def _hold(self, sealed: Sequence[Chunk]) -> None:
        for chunk in sealed:
            self._sealed[chunk.name] = chunk
            self.buffered_documents += chunk.documents
            self._quota.add(chunk.name)

    def _refresh(self) -> None:
        self._gate.refresh()
        _set(self._idle, self._lanes.opened_at is None and not self._sealing)
        _set(self._empty, not self._sealed)


def _set(event: asyncio.Event, value: bool) -> None:  # noqa: FBT001  # it is all there is to say
    event.set() if value else event.clear()
