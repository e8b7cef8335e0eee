"""The values that pass between the parts: events, documents, positions. No I/O, no clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any


@dataclass(slots=True)
class Event:
    """One logical log entry after assembly.

    Attributes:
        tag: Fluentd's tag of the file.
        time: RFC 3339 in UTC with up to nine fraction digits, ending in `Z`.
        record: The document's own fields in order, without what enrichment adds.
        key: File key of the file that its first line is in.
        offset: Byte offset of its first line in that file.
        source_bytes: How many bytes of log files it was made from.
    """

    tag: str
    time: str
    record: dict[str, Any]
    key: str
    offset: int
    source_bytes: int


@dataclass(frozen=True, slots=True)
class Position:
    """How far a file is committed: one offset per stream (I4).

    Attributes:
        end: Every byte before it has been read.
        pins: Per stream, the offset of the first line of an event that is not complete yet; a
            stream without one is committed up to `end`.
        check: Hash of the up to 1,024 bytes before `end`, hex: a file may take this position
            only if its own bytes there hash alike.
    """

    end: int
    pins: Mapping[str, int] = field(default_factory=dict)
    check: str = ""

    @property
    def resume(self) -> int:
        """The offset at which reading starts again."""
        return min(self.pins.values(), default=self.end)

    def committed(self, stream: str, offset: int) -> bool:
        """Whether a line of `stream` that begins at `offset` is committed already."""
        return offset < self.pins.get(stream, self.end)


@dataclass(slots=True)
class Documents:
    """What a block of lines became, ready for a chunk.

    Attributes:
        body: Action and document lines of a `_bulk` body.
        count: Number of documents in it.
        chunked_bytes: Bytes of log files that these documents were made from.
        dropped_bytes: Bytes of lines that became no document, by reason.
        marked: Number of documents that carry a flag, by flag.
    """

    body: bytes = b""
    count: int = 0
    chunked_bytes: int = 0
    dropped_bytes: dict[str, int] = field(default_factory=dict)
    marked: dict[str, int] = field(default_factory=dict)

    def extend(self, more: Documents) -> None:
        """Add what the lines behind these became."""
        self.body += more.body
        self.count += more.count
        self.chunked_bytes += more.chunked_bytes
        for counts, others in (
            (self.dropped_bytes, more.dropped_bytes),
            (self.marked, more.marked),
        ):
            for name, count in others.items():
                counts[name] = counts.get(name, 0) + count


@dataclass(frozen=True, slots=True)
class SavedFile:
    """What is saved of one file.

    Attributes:
        key: File key: `base`, or a hash of it with a generation number where heads are equal.
        base: Hash of the path stem and the head.
        stem: The series it belongs to.
        device: Of the file when it was last seen; with `inode`, only a hint among equal heads.
        inode: See `device`.
        position: How far it is committed.
    """

    key: str
    base: str
    stem: str
    device: int
    inode: int
    position: Position

    def at(self, position: Position) -> SavedFile:
        """Return the same file with another position."""
        return replace(self, position=position)


@dataclass(frozen=True, slots=True)
class Chunk:
    """A sealed chunk: the unit of buffer, request and deletion.

    Attributes:
        name: Its file's name in the chunk directory.
        documents: Number of documents in it.
        body_bytes: Size of the `_bulk` body.
        file_bytes: Size of the file, one gzip member.
        source_bytes: Bytes of log files that it was made from.
        sealed_at: Unix time.
    """

    name: str
    documents: int
    body_bytes: int
    file_bytes: int
    source_bytes: int
    sealed_at: float
