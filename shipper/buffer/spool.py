"""The set of chunks: one open, the sealed ones on disk, each leaving when it is shipped.

Theory of operation: the reading side appends what blocks became to the open chunk, on the event
loop, without waiting. One task seals: it detaches the open chunk when that is full or `flush_secs`
old, and one thread writes the file, syncs it and commits row and positions (I1, I6), while the
next chunk is filled. Shippers claim sealed chunks and report what became of them. `room` is the one
place where the reading side waits: for a seal, for the quota, for a disk that takes writes again.

Owns: the open chunk, the claims, the in-memory copies of positions and totals, the thread.
Does not know: files being followed, destinations.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

from shipper.buffer.chunk import OpenChunk, Read
from shipper.buffer.disk import Disk
from shipper.buffer.ledger import Ledger
from shipper.buffer.quota import Quota
from shipper.buffer.state import Totals
from shipper.config import BufferConfig
from shipper.errors import DiskFault
from shipper.metrics import Metrics
from shipper.model import Chunk, SavedFile

log = logging.getLogger(__name__)

_AWAY_FLUSH_SECS = 30.0
"""Age at which a chunk is sealed while the destination is away: nothing waits for it there, and
a thousand small chunks an hour would cost more than they save."""
_FAULT_RETRY_SECS = 1.0

_T = TypeVar("_T")


class Spool:
    """The buffer of one state directory.

    Attributes:
        buffered_documents: Documents in sealed chunks.
        paused: Why reading is stopped, in words; empty while it is not.
        totals: Totals of the conservation law as of the last commit.
    """

    def __init__(
        self, state_dir: Path, settings: BufferConfig, *, metrics: Metrics, disk: Disk | None = None
    ) -> None:
        """Open state.db, and adopt or clean what the chunk directory holds.

        Raises:
            StateError: The database cannot be used.
            OSError: The directory cannot be written.
        """
        self.buffered_documents = 0
        self.paused = ""
        self._settings = settings
        self._metrics = metrics
        self._ledger = Ledger(state_dir, disk or Disk())
        self.state = self._ledger.state
        self.directory = self._ledger.directory
        self._quota = Quota(self.directory, settings)
        self._sealed: dict[str, Chunk] = {}
        self._faults: dict[int, str] = {}
        self._claimable: deque[Chunk] = deque()
        self._files: dict[str, dict[str, SavedFile]] = {}
        for file in self.state.files():
            self._files.setdefault(file.base, {})[file.key] = file
        self._open: OpenChunk | None = None
        self._away = self._sealing = self._flushing = False
        self._thread = ThreadPoolExecutor(1, "spool")
        self._wake, self._room, self._idle = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._claims, self._empty = asyncio.Event(), asyncio.Event()
        found = self._ledger.adopt()
        self.totals: Totals = self.state.totals()
        self._publish([*found.ready, *found.adopted])
        self._refresh()

    # -- the reading side

    def saved(self, base: str) -> list[SavedFile]:
        """Return the files with this hash of stem and head, as of their last `append`."""
        return list(self._files.get(base, {}).values())

    def forget_files(self) -> None:
        """Forget all positions, at start: every file is read from its beginning."""
        self.state.forget_files()
        self._files.clear()

    async def room(self) -> None:
        """Wait until there is room for another block: the one backpressure point."""
        while not self._room.is_set():
            await self._room.wait()

    def append(self, read: Read) -> None:
        """Take what a block became; it is committed, with its positions, at the next seal."""
        if self._open is None:
            self._open = OpenChunk(time.monotonic())
            self._wake.set()
        self._open.add(read)
        for file in read.files:
            self._files.setdefault(file.base, {})[file.key] = file
        for flag, count in read.documents.marked.items():
            self._metrics.marked.labels(flag).inc(count)
        if self._is_full(self._open):
            self._wake.set()
            self._refresh()

    def hurry(self) -> None:
        """Seal soon, whatever the age: a file with lines in the open chunk was deleted."""
        if self._open is not None:
            self._open.opened_at = min(self._open.opened_at, time.monotonic() - self._age_limit())
            self._wake.set()

    # -- sealing

    async def seal_loop(self) -> None:
        """Seal the open chunk whenever it is due, for ever; never two at a time (I6)."""
        while True:
            full = await self._due()
            self._open, self._sealing = None, True
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

    async def empty(self) -> None:
        """Wait until every sealed chunk is shipped."""
        await self._empty.wait()

    async def _due(self) -> OpenChunk:
        while self._open is None or not self._is_due(self._open):
            self._wake.clear()
            try:
                async with asyncio.timeout(self._secs_left()):
                    await self._wake.wait()
            except TimeoutError:
                self._refresh()
        return self._open

    def _is_due(self, chunk: OpenChunk) -> bool:
        age = time.monotonic() - chunk.opened_at
        return self._flushing or self._is_full(chunk) or age >= self._age_limit()

    def _secs_left(self) -> float | None:
        limits = [_FAULT_RETRY_SECS] if self.paused else []
        if self._open is not None:
            limits.append(self._open.opened_at + self._age_limit() - time.monotonic())
        return max(0.0, min(limits)) if limits else None

    def _age_limit(self) -> float:
        flush_secs = self._settings.flush_secs
        return max(flush_secs, _AWAY_FLUSH_SECS) if self._away else flush_secs

    def _is_full(self, chunk: OpenChunk) -> bool:
        limits = self._settings
        return chunk.body_bytes >= limits.chunk_bytes or chunk.documents >= limits.chunk_documents

    async def _seal(self, full: OpenChunk) -> None:
        data = full.finish()
        started = time.monotonic()
        sealed = await self._persist(lambda: self._ledger.write(full, data))
        await self._persist(lambda: self._ledger.seal(full, sealed))
        self._metrics.seal_secs.observe(time.monotonic() - started)
        self.totals += full.totals
        if sealed is not None:
            self._metrics.chunk_bytes.observe(sealed.file_bytes)
            self._publish([sealed])

    # -- the shipping side

    async def claim(self) -> Chunk:
        """Wait for a sealed chunk that nobody ships, and take it, oldest first."""
        while not self._claimable:
            self._claims.clear()
            await self._claims.wait()
        return self._claimable.popleft()

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
        left = [await self._persist(step) for step in steps]
        await self._persist(lambda: self._ledger.replace(chunk, left, totals=totals))
        self.totals += totals
        self.buffered_documents -= chunk.documents
        del self._sealed[chunk.name]
        self._quota.remove(chunk.name)
        self._hold(left)
        self._refresh()
        return left

    def release(self, left: Sequence[Chunk], *, last: bool = False) -> None:
        """Give claimed chunks back, to be claimed next, or after all others."""
        self._claimable.extend(left) if last else self._claimable.extendleft(reversed(left))
        self._claims.set()

    # -- state shared by both

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
        self._thread.shutdown()
        self.state.close()

    async def _persist(self, step: Callable[[], _T]) -> _T:
        """Do a step in the thread, again and again until the disk takes it."""
        try:
            while True:
                try:
                    return await asyncio.get_running_loop().run_in_executor(self._thread, step)
                except (OSError, DiskFault) as error:
                    self._fail(id(step), error)
                await asyncio.sleep(_FAULT_RETRY_SECS)
        finally:
            self._faults.pop(id(step), None)

    def _publish(self, sealed: Sequence[Chunk]) -> None:
        self._hold(sealed)
        self._claimable.extend(sealed)
        self._claims.set()

    def _hold(self, sealed: Sequence[Chunk]) -> None:
        for chunk in sealed:
            self._sealed[chunk.name] = chunk
            self.buffered_documents += chunk.documents
            self._quota.add(chunk.name)

    def _refresh(self) -> None:
        why = next(iter(self._faults.values()), "") or self._quota.exceeded()
        if why != self.paused:
            log.warning("reading is paused: %s" if why else "reading goes on%s", why)
            self.paused = why
        full = self._open is not None and self._is_full(self._open)
        _set(self._room, not why and not full)
        _set(self._idle, self._open is None and not self._sealing)
        _set(self._empty, not self._sealed)

    def _fail(self, step: int, error: OSError | DiskFault) -> None:
        log.error("the buffer in %s cannot be written: %s", self.directory, error)
        what = error.strerror if isinstance(error, OSError) else error
        self._faults[step] = f"the disk refuses writes: {what}"
        self._refresh()


def _set(event: asyncio.Event, value: bool) -> None:  # noqa: FBT001  # it is all there is to say
    event.set() if value else event.clear()
