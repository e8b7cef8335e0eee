"""Hands the blocks of one series to its chain, and what they became, with positions, to the spool.

Theory of operation: what a block became goes into the spool together with every position that it
moved: that of its own file, and those of the files in which the parts begin that it completed.
Parts that still wait pin theirs (I4).

Owns: the chain of the series, and how far its files are read while something in them is pinned.
Does not know: which files there are, and when one is finished.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection
from dataclasses import dataclass, replace

from shipper.buffer.chunk import Read
from shipper.buffer.spool import Spool
from shipper.metrics import Metrics
from shipper.model import Documents, Position, SavedFile
from shipper.pipeline.chain import Chain
from shipper.pipeline.enrich import Enrichment
from shipper.source.block import LOST_PART, Block
from shipper.source.identity import Claim, position_check
from shipper.source.tail import Tail

log = logging.getLogger(__name__)


class Handover:
    """The way of blocks into the spool, for one series."""

    def __init__(self, path: str, chain: Chain, *, spool: Spool, metrics: Metrics) -> None:
        """Start with nothing pending.

        Args:
            path: The series, for the log.
            chain: Its chain.
            spool: Where what blocks became goes.
            metrics: The agent's metrics.
        """
        self._path = path
        self._chain = chain
        self._spool = spool
        self._metrics = metrics
        self._ends: dict[str, SavedFile] = {}
        self._waiting: dict[str, tuple[int, float]] = {}

    def enrich(self, enrichment: Enrichment) -> None:
        """Let documents that are made from now on have this in common."""
        self._chain.enrich(enrichment)

    def deliver(self, tail: Tail, block: Block, *, dropped: str = "") -> None:
        """Turn a block into documents, and hand them on with all positions that they move.

        Args:
            tail: The file that it was read from.
            block: What was read.
            dropped: Why its documents are not wanted; empty where they are.
        """
        assert tail.claim is not None  # noqa: S101  # nothing is read before it is identified
        key, saved = tail.claim.key, tail.saved or Position(0)
        pinned = self._chain.assembler.pinned_keys()
        again = saved if block.offset < saved.end else None
        documents = self._documents(block, tail, again=again)
        if dropped and documents.count:
            documents = _without_documents(documents, dropped)
        end, check = tail.offset, position_check(tail.window)
        if end < saved.end:  # all of it is committed, or pending as it was: nothing has moved
            end, check = saved.end, saved.check
        self._ends[key] = _saved_file(tail, Position(end, {}, check))
        new_bytes = end - max(block.offset, saved.end)
        lost = self._lost_part_bytes(tail)
        if lost:
            documents.dropped_bytes = {**documents.dropped_bytes, LOST_PART: lost}
        if new_bytes > 0 or documents.count or lost:
            self._keep_awaited(pinned - {key})
            self._append(documents, pinned | {key}, new_bytes=max(0, new_bytes))

    def deliver_apart(self, tail: Tail, block: Block, *, dropped: str = "") -> None:
        """Deliver a block of a file that is older than those in which parts wait for their ends.

        No line of it goes on with one of them; what it leaves waiting itself goes on in nothing.
        """
        assembler = self._chain.assembler
        waiting, ends = assembler.snapshot(), dict(self._ends)
        assembler.restore({})
        self.deliver(tail, block, dropped=dropped)
        self.flush()
        assembler.restore(waiting)
        self._ends |= ends

    def resumed(self, tail: Tail) -> None:
        """Count what a file does not have of the parts that waited in it when it was left.

        What was saved under another name is saved under its own: the other one may be gone soon.
        """
        assert tail.claim is not None  # noqa: S101  # it was identified just now
        if self._known(tail.claim) is None:
            self.note(tail)
        lost, saved = self._lost_part_bytes(tail), tail.saved
        if lost and saved:
            key = tail.claim.key
            self._ends[key] = _saved_file(tail, replace(saved, pins={}, pending_bytes=0))
            self._append(Documents(dropped_bytes={LOST_PART: lost}), {key}, new_bytes=0)

    def _lost_part_bytes(self, tail: Tail) -> int:
        """Return how many pending bytes were behind the end of a copy, if that is reached."""
        saved, claim = tail.saved, tail.claim
        if saved is None or claim is None or not saved.pending_bytes or tail.offset >= saved.end:
            return 0
        if tail.offset < tail.content.end():
            return 0
        return saved.pending_bytes - self._chain.assembler.pending_in(claim.key)

    def note(self, tail: Tail) -> None:
        """Save how long a file is that is not read now: what vanishes of it can be counted then."""
        assert tail.claim is not None  # noqa: S101  # it has no key before
        file, known = self.saved(tail), self._known(tail.claim)
        seen = (file.seen_bytes, file.sequence)
        if known is None or (known.seen_bytes, known.sequence) != seen:
            self._spool.append(Read(Documents(), (file,), 0))

    def saved(self, tail: Tail) -> SavedFile:
        """Return what is saved of a file, with how long it is now."""
        assert tail.claim is not None  # noqa: S101  # it has no key before
        known = self._known(tail.claim)
        position = known.position if known else tail.claim.position  # saved under another name
        return _saved_file(tail, position or Position(0))

    def _known(self, claim: Claim) -> SavedFile | None:
        return next((f for f in self._spool.positions.of(claim.base) if f.key == claim.key), None)

    def flush(self, streams: Collection[str] | None = None) -> None:
        """Deliver lines whose end will never come.

        Args:
            streams: Whose; None for all.
        """
        moved = self._chain.assembler.pinned_keys()
        if moved and streams != []:
            self._keep_awaited(moved)
            self._append(self._chain.flush(streams), moved, new_bytes=0)

    def overdue(self, after_secs: float) -> list[str]:
        """Return the streams on which the end of a line has not come for so long."""
        if self._chain.assembler.idle:
            self._waiting.clear()
            return []
        now, waiting = time.monotonic(), self._chain.assembler.waiting()
        before = self._waiting
        self._waiting = {
            stream: before[stream] if before.get(stream, (0, 0))[0] == size else (size, now)
            for stream, size in waiting.items()
        }
        return [s for s, (_, since) in self._waiting.items() if now - since >= after_secs]

    def holds(self, key: str) -> bool:
        """Tell whether parts that lie in a file wait here for their end."""
        return bool(self._chain.assembler.pins(key))

    @property
    def waiting_files(self) -> list[SavedFile]:
        """The files in which parts lie that wait for their end."""
        keys = self.waiting_keys
        return [file for key, file in self._ends.items() if key in keys]

    def waiting_in(self, key: str) -> list[str]:
        """Return the streams of which parts that lie in a file wait for their end."""
        return list(self._chain.assembler.pins(key))

    @property
    def waiting_keys(self) -> set[str]:
        """Keys of the files in which parts lie that wait for their end."""
        return self._chain.assembler.pinned_keys()

    @property
    def is_waiting(self) -> bool:
        """Whether any part of a line waits for its end."""
        return not self._chain.assembler.idle

    @property
    def pending_bytes(self) -> int:
        """Bytes read of lines whose end has not come."""
        return self._chain.assembler.pending_bytes if self.is_waiting else 0

    def _keep_awaited(self, keys: Collection[str]) -> None:
        """Let what is saved of files say whether they are missed, as it does by now."""
        for key in keys:
            saved = self._spool.positions.get(key)
            if saved is not None and key in self._ends:
                self._ends[key] = replace(self._ends[key], awaited=saved.awaited)

    def _append(self, documents: Documents, moved: set[str], *, new_bytes: int) -> None:
        assembler = self._chain.assembler
        pins, pending = assembler.pins, assembler.pending_in
        files = [
            file.at(replace(file.position, pins=pins(key), pending_bytes=pending(key)))
            for key, file in self._ends.items()
            if key in moved
        ]
        self._spool.append(Read(documents, tuple(files), new_bytes))
        pinned = assembler.pinned_keys()
        self._ends = {key: file for key, file in self._ends.items() if key in pinned}

    def _documents(self, block: Block, tail: Tail, *, again: Position | None) -> Documents:
        assert tail.claim is not None  # noqa: S101  # nothing is read before it is identified
        if block.skipped:
            return Documents(dropped_bytes={block.skipped: block.size})
        assembler = self._chain.assembler
        origin = _Origin(tail.claim.key, again, tail.since, _now())
        before = assembler.snapshot()
        try:
            if block.cut:
                return self._cut(block, origin)
            return self._block(block.data, block.offset, origin=origin)
        except Exception:  # the one place where the faults of the pure chain end
            log.exception("%s: a block at %d is redone by lines", self._path, block.offset)
            assembler.restore(before)
            return self._by_lines(block, origin)

    def _block(self, data: bytes, offset: int, *, origin: _Origin) -> Documents:
        return self._chain.block(
            data,
            offset,
            key=origin.key,
            now=origin.now,
            saved=origin.again,
            since=origin.since,
        )

    def _by_lines(self, block: Block, origin: _Origin) -> Documents:
        assembler, done, offset = self._chain.assembler, Documents(), block.offset
        for line in block.data.removesuffix(b"\n").split(b"\n"):
            start = offset - block.offset
            raw = block.data[start : start + len(line) + 1]
            before = assembler.snapshot()
            try:
                made = self._block(raw, offset, origin=origin)
            except Exception:  # noqa: BLE001  # reported by the caller; the line is kept
                assembler.restore(before)
                self._metrics.pipeline_errors.inc()
                made = self._chain.verbatim(
                    raw,
                    offset,
                    key=origin.key,
                    now=origin.now,
                    saved=origin.again,
                )
            done.extend(made)
            offset += len(raw)
        return done

    def _cut(self, block: Block, origin: _Origin) -> Documents:
        if origin.again is not None and origin.again.committed("", block.offset):
            return Documents()
        return self._chain.cut(
            block.data,
            block.offset,
            source_bytes=block.size,
            key=origin.key,
            now=origin.now,
        )


@dataclass(frozen=True, slots=True)
class _Origin:
    """Where lines come from, and when.

    Attributes:
        key: File key.
        again: The position that reading resumed from, while it is not passed.
        since: Earlier events are dropped.
        now: RFC 3339 time of reading.
    """

    key: str
    again: Position | None
    since: str
    now: str


def _saved_file(tail: Tail, position: Position) -> SavedFile:
    claim = tail.claim
    assert claim is not None  # noqa: S101  # it has no key before
    place, rest = (tail.stem, *tail.hint), (tail.seen_bytes, tail.since, claim.sequence)
    return SavedFile(claim.key, claim.base, *place, position, *rest)


def _without_documents(documents: Documents, reason: str) -> Documents:
    dropped = {**documents.dropped_bytes, reason: documents.chunked_bytes}
    return Documents(dropped_bytes=dropped)


def _now() -> str:
    secs, nanos = divmod(time.time_ns(), 1_000_000_000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(secs))}.{nanos:09d}Z"
