"""From a block of lines to its documents: chooses the fast path or the reference path.

One chain serves one series. The choice is made in `Chain.block` and nowhere else; both paths make
the same documents of the same lines.

Owns: the assembler of its series. Does not know: files, chunks, the destination.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from io import BytesIO

from shipper.model import Documents, Event, Position
from shipper.pipeline import line as lines
from shipper.pipeline.assemble import Assembler
from shipper.pipeline.blocks import pieces, splicer_of, start_of_format
from shipper.pipeline.decode import decode
from shipper.pipeline.encode import encode
from shipper.pipeline.enrich import Enrichment
from shipper.pipeline.line import Line
from shipper.pipeline.route import action_prefix, index_of
from shipper.pipeline.timestamp import comparable, is_day

HOLE = "hole"
"""Reason for which leading NULs of a line are dropped: a writer without O_APPEND goes on behind
them after its file was truncated (copytruncate)."""

READ_FROM = "read_from"
"""Reason for which events before the moment of `read_from` are dropped."""

EXCLUDED = "excluded"
"""Reason for which the lines of a pod are dropped that asks for that, and may."""

PENDING = "metadata_pending"
"""Mark of a document whose pod was not known yet."""

_NEVER = "~"
"""Later than all times."""


@dataclass(slots=True)
class _Run:
    """What one call has made so far, and what it was called with."""

    key: str
    now: str
    saved: Position | None
    pieces: list[bytes] = field(default_factory=list)
    count: int = 0
    chunked_bytes: int = 0
    dropped_bytes: Counter[str] = field(default_factory=Counter)
    marked: Counter[str] = field(default_factory=Counter)

    def add(self, documents: bytes, count: int, *, source_bytes: int) -> None:
        self.pieces.append(documents)
        self.count += count
        self.chunked_bytes += source_bytes

    def documents(self) -> Documents:
        body, dropped, marked = b"".join(self.pieces), dict(self.dropped_bytes), dict(self.marked)
        return Documents(body, self.count, self.chunked_bytes, dropped, marked)


class Chain:
    """Turns the blocks of one series into documents.

    Attributes:
        assembler: The parts that wait for their end, and what they pin.
    """

    def __init__(
        self, tag: str, enrichment: Enrichment, *, container: bool, max_record_bytes: int
    ) -> None:
        """Begin a series.

        Args:
            tag: Fluentd's tag of its files.
            enrichment: What its documents have in common.
            container: A container's runtime writes it: a line of no format is flagged.
            max_record_bytes: Most text that a joined line keeps.
        """
        self._enrichment = enrichment
        self._container = container
        self._prefix: tuple[str, str, bytes] = ("", "", b"")
        # Per file of the first start, so they stay few; a part may outlast the blocks of its file.
        self._since: dict[str, str] = {}
        self.assembler = Assembler(tag, max_record_bytes=max_record_bytes)

    def enrich(self, enrichment: Enrichment) -> None:
        """Let what is made from now on have this in common."""
        if enrichment is not self._enrichment:
            self._enrichment = enrichment
            self._prefix = ("", "", b"")

    def block(
        self,
        block: bytes,
        offset: int,
        *,
        key: str,
        now: str,
        saved: Position | None = None,
        since: str = "",
    ) -> Documents:
        """Turn whole lines into documents.

        Args:
            block: Lines, the last one with its newline unless its file ends without one.
            offset: Of the block in its file.
            key: File key.
            now: RFC 3339 time of reading.
            saved: The position that reading resumed from, while `offset` is before its end: what
                it has committed is skipped.
            since: RFC 3339 in UTC, of the file: earlier events are dropped. An event is as old as
                its first part, and a line without a time of its own is not old.
        """
        run = self._run(key, now, saved=saved, since=since)
        self._take(block, offset, run=run)
        return run.documents()

    def verbatim(
        self,
        raw: bytes,
        offset: int,
        *,
        key: str,
        now: str,
        saved: Position | None = None,
        since: str = "",
    ) -> Documents:
        """Keep a line as it is, flagged: for one on which `block` raises; arguments as there."""
        run = self._run(key, now, saved=saved, since=since)
        kept = self._without_hole(raw, offset, run=run)
        if kept:
            line = lines.plain(kept.removesuffix(b"\n"), now=now, flags=(lines.UNPARSED,))
            self._line(line, offset + len(raw) - len(kept), size=len(kept), run=run)
        return run.documents()

    def cut(  # noqa: PLR0913  # the arguments of `block`, and a length
        self,
        head: bytes,
        offset: int,
        *,
        source_bytes: int,
        key: str,
        now: str,
        saved: Position | None = None,
        since: str = "",
    ) -> Documents:
        """Keep the head of a line that is longer than `max_line_bytes`.

        Args:
            head: What is kept of it.
            offset: Of the line in its file.
            source_bytes: Length of the whole line, newline included.
            key: File key.
            now: RFC 3339 time of reading.
            saved: As for `block`.
            since: As for `block`; what is kept is plain text, and so is not old.
        """
        run = self._run(key, now, saved=saved, since=since)
        kept = self._without_hole(head, offset, run=run)
        hole = len(head) - len(kept)
        line = lines.cut(kept, original_bytes=source_bytes - hole, now=now)
        self._line(line, offset + hole, size=source_bytes - hole, run=run)
        return run.documents()

    def flush(self, streams: Collection[str] | None = None) -> Documents:
        """Deliver the lines whose end did not come: of these streams, or (None) of all."""
        run = _Run("", "", None)
        for event in self.assembler.flush(streams):
            self._emit(event, run)
        return run.documents()

    def _run(self, key: str, now: str, *, saved: Position | None, since: str) -> _Run:
        if since:
            self._since[key] = comparable(since)
        return _Run(key, now, saved)

    def _take(self, block: bytes, offset: int, *, run: _Run) -> None:
        start = start_of_format(block)
        if start:
            self._each_line(block[:start], offset, run=run)
            block, offset = block[start:], offset + start
        if not block or self._splice(block, offset, run=run):
            return
        cut = pieces(block)
        if len(cut) == 1:
            self._each_line(block, offset, run=run)
            return
        for piece in cut:
            self._take(piece, offset, run=run)
            offset += len(piece)

    def _splice(self, block: bytes, offset: int, *, run: _Run) -> bool:
        if not self.assembler.idle or (run.saved and offset < run.saved.end):
            return False
        splicer = splicer_of(block)
        day = splicer.day_of(block) if splicer else ""
        if splicer is None or not is_day(day):
            return False
        since = _NEVER if self._enrichment.excluded else self._since.get(run.key, "")
        spliced = splicer.splice(
            block,
            offset,
            day=day,
            prefix=self._action_prefix(run.key, day),
            suffix=self._enrichment.suffix,
            since=since.encode(),
        )
        if spliced is None:
            return False
        if spliced[1]:
            self._add(*spliced, source_bytes=len(block), run=run)
        else:
            run.dropped_bytes[EXCLUDED if since == _NEVER else READ_FROM] += len(block)
        return True

    def _each_line(self, block: bytes, offset: int, *, run: _Run) -> None:
        for raw in BytesIO(block):
            kept = self._without_hole(raw, offset, run=run)
            offset += len(raw)
            if kept:
                line = decode(kept.removesuffix(b"\n"), now=run.now, container=self._container)
                self._line(line, offset - len(kept), size=len(kept), run=run)

    def _without_hole(self, raw: bytes, offset: int, *, run: _Run) -> bytes:
        """Drop the leading NULs of a line; before the end of a position, they were counted.

        The line begins behind them, so it has the same id wherever a block ends in the hole (I5).
        """
        kept = raw.lstrip(b"\0")
        if len(kept) < len(raw) and not (run.saved and offset < run.saved.end):
            run.dropped_bytes[HOLE] += len(raw) - len(kept)
        return kept

    def _line(self, line: Line, offset: int, *, size: int, run: _Run) -> None:
        if run.saved is not None and run.saved.committed(line.stream, offset):
            return
        for event in self.assembler.add(line, key=run.key, offset=offset, source_bytes=size):
            self._emit(event, run)

    def _emit(self, event: Event, run: _Run) -> None:
        unwanted = self._unwanted(event)
        if unwanted:
            run.dropped_bytes[unwanted] += event.source_bytes
            return
        prefix = self._action_prefix(event.key, event.time[:10])
        document = encode(event, prefix=prefix, suffix=self._enrichment.suffix)
        self._add(document, 1, source_bytes=event.source_bytes, run=run)
        run.marked.update(event.record.get("shipper", {}).get("flags", ()))

    def _add(self, documents: bytes, count: int, *, source_bytes: int, run: _Run) -> None:
        run.add(documents, count, source_bytes=source_bytes)
        if self._enrichment.pending:
            run.marked[PENDING] += count

    def _unwanted(self, event: Event) -> str:
        """Return why an event becomes no document; empty if it does."""
        if self._enrichment.excluded:
            return EXCLUDED
        return READ_FROM if self._is_old(event) else ""

    def _is_old(self, event: Event) -> bool:
        since = self._since.get(event.key, "")
        return "stream" in event.record and event.time[:-1] < since

    def _action_prefix(self, key: str, day: str) -> bytes:
        if self._prefix[:2] != (key, day):
            prefix = action_prefix(index_of(self._enrichment.index_prefix, day), key)
            self._prefix = (key, day, prefix)
        return self._prefix[2]
