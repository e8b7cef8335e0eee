"""Ships sealed chunks: sends, and turns the answer into what becomes of the chunk.

Theory of operation: N tasks claim chunks, one of them bulk chunks first, so that none wait for
ever, and one beside them express chunks alone, so that those need not wait until the destination
has taken what noisy series write. A chunk is sent again until each of its documents is
delivered or a dead letter; there is no limit of tries. Whose fault a failure is shows in what
others do meanwhile. If no other chunk has passed since this one failed last, it is the
destination: everyone waits, with full jitter, and the trouble is told. If one has, it is the chunk:
it alone waits, and holds up nobody. A chunk that has earned that `_PATIENCE` times is halved, until
the document that is to blame is alone and becomes a dead letter. A server that says that it has too
many requests (429) blames nobody.

Owns: the tries of each chunk. Does not know: HTTP, files being followed.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass

from shipper.buffer.chunk import decompress, join, lines_of
from shipper.buffer.spool import Spool
from shipper.errors import SinkRefused, SinkUnavailable
from shipper.metrics import Metrics
from shipper.model import Chunk, Lane
from shipper.sink.bulk import Outcomes, Refusal
from shipper.sink.deadletter import DeadLetters
from shipper.sink.destination import Destination
from shipper.sink.standing import Fault, Standing, reason_of

log = logging.getLogger(__name__)

_PATIENCE = 3
"""How often a chunk may fail while others pass. Not once: behind one address there may be a server
that refuses everything beside one that takes it."""

_TOO_MANY_REQUESTS = 429


@dataclass(slots=True)
class _Tries:
    """What happened to one chunk.

    Attributes:
        passed: How many chunks had passed when it failed last.
        failures: How often it failed.
        blamed: How often it failed although another had passed since the time before.
        refused: How often of these the server said why.
        verdict: Why its one document is refused; it is not sent again.
    """

    passed: int
    failures: int = 0
    blamed: int = 0
    refused: int = 0
    verdict: Refusal | None = None


class Shipping:
    """The shipping side of one spool and one destination.

    Attributes:
        checked: Whether the destination has answered since the start.
    """

    def __init__(
        self,
        spool: Spool,
        destination: Destination,
        *,
        letters: DeadLetters,
        metrics: Metrics,
        retry_max_secs: float,
    ) -> None:
        """Start with nothing known of the destination."""
        self.checked = False
        self._spool = spool
        self._destination = destination
        self._letters = letters
        self._metrics = metrics
        self._standing = Standing(spool, metrics=metrics, retry_max_secs=retry_max_secs)
        self._tries: dict[str, _Tries] = {}
        self._passed = 0
        self._opening = asyncio.Lock()

    @property
    def trouble(self) -> str:
        """Why nothing is delivered, in words; empty while it works."""
        return self._standing.trouble

    @property
    def away(self) -> asyncio.Event:
        """Set while there is trouble."""
        return self._standing.away

    async def run(self, concurrency: int) -> None:
        """Ship for ever, with so many requests at a time, and one more for express chunks."""
        await self._until_checked()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._ship_chunks(Lane.EXPRESS))
            group.create_task(self._ship_chunks(Lane.BULK, Lane.EXPRESS))
            for _ in range(concurrency - 1):
                group.create_task(self._ship_chunks(Lane.EXPRESS, Lane.BULK))

    async def _until_checked(self) -> None:
        while not self.checked:
            try:
                await self._destination.check()
                self.checked = True
            except (SinkUnavailable, SinkRefused) as error:
                await self._standing.wait_out(error, Lane.BULK)
        self._standing.works()

    async def _ship_chunks(self, *lanes: Lane) -> None:
        while True:
            chunk = await self._spool.claim(*lanes)
            try:
                await self._ship(chunk)
            except (SinkUnavailable, SinkRefused) as error:
                await self._failed(chunk, error)

    async def _ship(self, chunk: Chunk) -> None:
        data = await self._read(chunk)
        tries = self._tries.get(chunk.name)
        if tries is not None and tries.verdict is not None:
            await self._settle(chunk, data, outcomes=Outcomes(refused=[tries.verdict]))
            del self._tries[chunk.name]
            return
        log.debug("request begin %s", chunk.name)
        with self._metrics.request_secs.time():
            outcomes = await self._destination.send(data, chunk.documents)
        log.debug("request end %s", chunk.name)
        self._count(outcomes)
        if len(outcomes.retry) == chunk.documents:
            await self._turned_away(chunk, outcomes.why)
            return
        parts = await self._settle(chunk, data, outcomes=outcomes)
        self._pass(chunk)
        if parts:
            self._postpone(parts, _Tries(self._passed, failures=1))
            self._report_again(chunk, len(outcomes.retry), why=outcomes.why)

    # -- an answer for each document

    async def _turned_away(self, chunk: Chunk, why: str) -> None:
        """Keep a chunk none of whose documents was taken.

        The first time it is taken for a sign: a full write queue turns away every chunk, and they
        are not to follow one another without a pause. After that it waits by itself: it may be
        the only one, all of its documents being for an index that is closed.
        """
        tries = self._tries.setdefault(chunk.name, _Tries(self._passed))
        tries.failures += 1
        if tries.failures == 1:
            await self._standing.wait_out(SinkUnavailable(why), chunk.lane)
            self._spool.release([chunk], last=True)
        else:
            self._postpone([chunk], tries)
            self._report_again(chunk, chunk.documents, why=why)

    async def _settle(self, chunk: Chunk, data: bytes, *, outcomes: Outcomes) -> list[Chunk]:
        """Keep what is refused as dead letters; returns the chunk of what is to be sent again."""
        delivered = outcomes.delivered + outcomes.duplicates
        if delivered == chunk.documents:
            await self._spool.shipped(chunk, delivered=delivered)
            return []
        async with self._opening:  # one opened chunk at a time: the bodies are large
            lines = await self._open(chunk, data)
            await self._bury(lines, outcomes.refused)
            left = [line for n in outcomes.retry for line in lines[2 * n : 2 * n + 2]]
            bodies, dead = [join(left)] if left else [], len(outcomes.refused)
            return await self._spool.replace(chunk, bodies, delivered=delivered, dead=dead)

    async def _bury(self, lines: list[bytes], refusals: list[Refusal]) -> None:
        if not refusals:
            return
        letters = [(lines[2 * r.item], lines[2 * r.item + 1], r) for r in refusals]
        dropped = await asyncio.to_thread(self._letters.keep, letters)
        log.warning(
            "%d documents are refused and kept as dead letters (shipper deadletters ls): %s: %s",
            len(refusals),
            refusals[0].type,
            refusals[0].reason,
        )
        if dropped:
            self._metrics.dropped_letters.inc(dropped)
            log.error("%d old dead letters went: output.dead_letters.max_bytes", dropped)

    # -- no answer, or one for the request as a whole

    async def _failed(self, chunk: Chunk, error: Fault) -> None:
        if error.status == _TOO_MANY_REQUESTS:
            await self._standing.wait_out(error, chunk.lane)
            self._spool.release([chunk])
            return
        tries = self._tries.setdefault(chunk.name, _Tries(self._passed))
        is_blamed = self._passed > tries.passed
        tries.passed = self._passed
        tries.failures += 1
        tries.blamed += is_blamed
        tries.refused += is_blamed and error.status > 0
        guilty = is_blamed and tries.blamed >= _PATIENCE
        splits = guilty or (isinstance(error, SinkUnavailable) and error.too_large)
        if splits and chunk.documents > 1 and await self._halved(chunk, error):
            return
        has_verdict = tries.verdict is not None  # then it is our own disk that fails
        is_refused = is_blamed and tries.refused >= _PATIENCE
        if is_refused and chunk.documents == 1 and not has_verdict:
            tries.verdict = Refusal(0, error.status, "request_refused", str(error))
            self._spool.release([chunk])
        elif is_blamed:
            self._postpone([chunk], tries, retry_after_secs=error.retry_after_secs)
            self._report_again(chunk, chunk.documents, why=str(error), reason=reason_of(error))
        else:
            await self._standing.wait_out(error, chunk.lane)
            self._spool.release([chunk], last=True)  # others may pass, and show whose fault it is

    async def _halved(self, chunk: Chunk, error: Fault) -> bool:
        """Put two chunks in a chunk's place; tells whether that could be done."""
        try:
            async with self._opening:
                lines = await self._open(chunk, await self._read(chunk))
                half = len(lines) // 4 * 2  # each document is two lines
                bodies = [join(lines[:half]), join(lines[half:])]
                parts = await self._spool.replace(chunk, bodies, delivered=0)
        except SinkUnavailable:
            return False
        log.warning("a chunk of %d bytes is split: %s", chunk.body_bytes, error)
        del self._tries[chunk.name]
        self._spool.release(parts)
        return True

    # -- chunks that wait by themselves

    def _postpone(
        self, chunks: list[Chunk], tries: _Tries, *, retry_after_secs: float | None = None
    ) -> None:
        for chunk in chunks:
            self._tries[chunk.name] = tries
        wait = self._standing.jittered(tries.failures, retry_after_secs)
        asyncio.get_running_loop().call_later(wait, self._spool.release, chunks)

    def _report_again(
        self, chunk: Chunk, documents: int, *, why: str, reason: str = "items"
    ) -> None:
        self._metrics.retries.labels(reason).inc()
        log.warning("%d of %d documents are sent again: %s", documents, chunk.documents, why)

    async def _read(self, chunk: Chunk) -> bytes:
        try:
            return await asyncio.to_thread(self._spool.path(chunk).read_bytes)
        except OSError as error:
            raise SinkUnavailable(f"chunk {chunk.name} cannot be read: {error}") from error

    async def _open(self, chunk: Chunk, data: bytes) -> list[bytes]:
        try:
            return lines_of(await asyncio.to_thread(decompress, data))
        except ValueError as error:
            raise SinkUnavailable(f"chunk {chunk.name} is broken: {error}") from error

    # -- what is told of it

    def _pass(self, chunk: Chunk) -> None:
        self._passed += 1
        self._tries.pop(chunk.name, None)
        self._standing.passed(chunk.lane)

    def _count(self, outcomes: Outcomes) -> None:
        counter = self._metrics.outcomes
        counter.labels("delivered").inc(outcomes.delivered)
        counter.labels("duplicate").inc(outcomes.duplicates)
        counter.labels("retry").inc(len(outcomes.retry))
        counter.labels("refused").inc(len(outcomes.refused))
