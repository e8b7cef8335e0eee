"""Joins the parts of a line that its runtime split, per stream, and says what they pin.

Theory of operation: one assembler serves one series. A part waits under its stream; the part that
ends the line makes the event, under the file key and offset of the *first* part. Until then that
offset is pinned (I4), so a restart reads the parts again and makes the same event. The state
outlives a rotation: a line may begin in one generation and end in the next.

Owns: the parts that wait. Does not know: files, documents, time.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import Any

from shipper.model import Event
from shipper.pipeline.line import TRUNCATED, Line, truncation_mark

UNFINISHED = "unfinished"
"""Flag of a document made from parts whose end never came."""


@dataclass(slots=True)
class _Pending:
    """The parts of one line so far; `kept_bytes` of its `text_bytes` are held in memory.

    `starts` has the offset of its first part in each file that it reaches into, the first first;
    `sizes` has how many bytes of that file its parts take.
    """

    first: Line
    starts: dict[str, int] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    parts: list[str] = field(default_factory=list)
    kept_bytes: int = 0
    text_bytes: int = 0

    @property
    def source_bytes(self) -> int:
        return sum(self.sizes.values())


class Assembler:
    """Turns lines into events, joining the parts of each stream."""

    def __init__(self, tag: str, *, max_record_bytes: int) -> None:
        """Start without parts; `max_record_bytes` bounds the text kept of one joined line."""
        self._tag = tag
        self._max_record_bytes = max_record_bytes
        self._pending: dict[str, _Pending] = {}

    @property
    def idle(self) -> bool:
        """Whether no part waits for its end."""
        return not self._pending

    @property
    def pending_bytes(self) -> int:
        """Bytes of log files that have been read and wait for the end of their line."""
        return sum(pending.source_bytes for pending in self._pending.values())

    def pending_in(self, key: str) -> int:
        """Return how many of the pending bytes are those of file `key`."""
        return sum(pending.sizes.get(key, 0) for pending in self._pending.values())

    def waiting(self) -> dict[str, int]:
        """Return the streams in which parts wait, each with the bytes of log files so far."""
        return {stream: pending.source_bytes for stream, pending in self._pending.items()}

    def pins(self, key: str) -> dict[str, int]:
        """Return, per stream, the offset in file `key` that has to be read again after a crash."""
        return {s: p.starts[key] for s, p in self._pending.items() if key in p.starts}

    def pinned_keys(self) -> set[str]:
        """Return the files that hold parts of an event that is not complete yet."""
        return {key for pending in self._pending.values() for key in pending.starts}

    def add(self, line: Line, *, key: str, offset: int, source_bytes: int) -> list[Event]:
        """Take the next line of the series; returns the events that it completes."""
        events: list[Event] = []
        pending = self._pending.get(line.stream)
        if pending is not None and pending.first.runtime != line.runtime:
            events, pending = self.flush((line.stream,)), None
        if pending is None:
            if line.complete:
                return [*events, self._event(line, key, offset=offset, source_bytes=source_bytes)]
            pending = self._pending[line.stream] = _Pending(line)
        pending.starts.setdefault(key, offset)
        pending.sizes[key] = pending.sizes.get(key, 0) + source_bytes
        self._extend(pending, line)
        if line.complete:
            del self._pending[line.stream]
            events.append(self._join(pending))
        return events

    def flush(self, streams: Collection[str] | None = None) -> list[Event]:
        """Give up waiting: every line whose end did not come, as it is, flagged.

        Args:
            streams: Of these streams only; None for all.
        """
        ended = [stream for stream in self._pending if streams is None or stream in streams]
        waiting = [self._pending.pop(stream) for stream in ended]
        for pending in waiting:
            pending.first.flags = (*pending.first.flags, UNFINISHED)
        return [self._join(pending) for pending in waiting]

    def snapshot(self) -> dict[str, _Pending]:
        """Return the parts that wait, to go back to with `restore`."""
        return {stream: _copy(pending) for stream, pending in self._pending.items()}

    def restore(self, snapshot: dict[str, _Pending]) -> None:
        """Go back to a snapshot; an empty one forgets all parts."""
        self._pending = snapshot

    def _extend(self, pending: _Pending, line: Line) -> None:
        data = line.text.encode()
        kept = data[: self._max_record_bytes - pending.kept_bytes]
        if kept:
            pending.parts.append(kept.decode(errors="ignore"))
        pending.kept_bytes += len(kept)
        pending.text_bytes += len(data)
        pending.first.flags = tuple(dict.fromkeys((*pending.first.flags, *line.flags)))

    def _join(self, pending: _Pending) -> Event:
        line = pending.first
        line.text = "".join(pending.parts)
        if pending.text_bytes > pending.kept_bytes:
            line.text += truncation_mark(pending.text_bytes)
            line.flags = (*line.flags, TRUNCATED)
            line.original_bytes = pending.text_bytes
        key, offset = next(iter(pending.starts.items()))
        return self._event(line, key, offset=offset, source_bytes=pending.source_bytes)

    def _event(self, line: Line, key: str, *, offset: int, source_bytes: int) -> Event:
        record: dict[str, Any] = {"log": line.text}
        if line.stream:
            record["stream"] = line.stream
        record["@timestamp"] = line.time
        if line.attrs:
            record["attrs"] = line.attrs
        if line.flags:
            record["shipper"] = {"flags": list(line.flags)}
            if line.original_bytes:
                record["shipper"]["original_bytes"] = line.original_bytes
        return Event(self._tag, line.time, record, key, offset, source_bytes)


def _copy(pending: _Pending) -> _Pending:
    return replace(
        pending,
        first=replace(pending.first),
        starts=dict(pending.starts),
        sizes=dict(pending.sizes),
        parts=list(pending.parts),
    )
