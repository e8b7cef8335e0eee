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

from shipper.buffer.chunk import Read
from shipper.buffer.spool import Spool
from shipper.metrics import Metrics
from shipper.model import Documents, Position, SavedFile
from shipper.pipeline.chain import Chain
from shipper.source.tail import Block, Tail

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

    def deliver(self, tail: Tail, block: Block) -> None:
        """Turn a block into documents, and hand them on with all positions that they move."""
        assert tail.claim is not None  # noqa: S101  # nothing is read before it is identified
        key, saved = tail.claim.key, tail.saved or Position(0)
        pinned = self._chain.assembler.pinned_keys()
        again = saved if block.offset < saved.end else None
        documents = self._documents(block, key, again=again)
        end, check = tail.position()
        if end < saved.end:  # all of it is committed, or pending as it was: nothing has moved
            end, check = saved.end, saved.check
        self._ends[key] = tail.saved_as(Position(end, {}, check))
        new_bytes = end - max(block.offset, saved.end)
        if new_bytes > 0 or documents.count:
            self._append(documents, pinned | {key}, new_bytes=max(0, new_bytes))

    def flush(self) -> None:
        """Deliver the lines whose end never came: no file is left that could bring it."""
        moved = self._chain.assembler.pinned_keys()
        if moved:
            self._append(self._chain.flush(), moved, new_bytes=0)

    def holds(self, key: str) -> bool:
        """Tell whether parts that lie in a file wait here for their end."""
        return bool(self._chain.assembler.pins(key))

    @property
    def pending_bytes(self) -> int:
        """Bytes read of lines whose end has not come."""
        return self._chain.assembler.pending_bytes

    def _append(self, documents: Documents, moved: set[str], *, new_bytes: int) -> None:
        assembler = self._chain.assembler
        files = [
            file.at(Position(file.position.end, assembler.pins(key), file.position.check))
            for key, file in self._ends.items()
            if key in moved
        ]
        self._spool.append(Read(documents, tuple(files), new_bytes))
        pinned = assembler.pinned_keys()
        self._ends = {key: file for key, file in self._ends.items() if key in pinned}

    def _documents(self, block: Block, key: str, *, again: Position | None) -> Documents:
        assembler, now = self._chain.assembler, _now()
        before = assembler.snapshot()
        try:
            if block.cut:
                return self._cut(block, key, now=now, again=again)
            return self._chain.block(block.data, block.offset, key=key, now=now, saved=again)
        except Exception:  # the one place where the faults of the pure chain end
            log.exception("%s: a block at %d is redone by lines", self._path, block.offset)
            assembler.restore(before)
            return self._by_lines(block, key, now=now, again=again)

    def _by_lines(self, block: Block, key: str, *, now: str, again: Position | None) -> Documents:
        assembler, done, offset = self._chain.assembler, Documents(), block.offset
        for line in block.data.removesuffix(b"\n").split(b"\n"):
            start = offset - block.offset
            raw = block.data[start : start + len(line) + 1]
            before = assembler.snapshot()
            try:
                made = self._chain.block(raw, offset, key=key, now=now, saved=again)
            except Exception:  # noqa: BLE001  # reported by the caller; the line is kept
                assembler.restore(before)
                self._metrics.pipeline_errors.inc()
                made = self._chain.verbatim(raw, offset, key=key, now=now)
            done.extend(made)
            offset += len(raw)
        return done

    def _cut(self, block: Block, key: str, *, now: str, again: Position | None) -> Documents:
        if again is not None and again.committed("", block.offset):
            return Documents()
        return self._chain.cut(block.data, block.offset, source_bytes=block.size, key=key, now=now)


def _now() -> str:
    secs, nanos = divmod(time.time_ns(), 1_000_000_000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(secs))}.{nanos:09d}Z"
