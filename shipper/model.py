"""The values that pass between the parts: events, documents, positions. No I/O, no clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
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
        pending_bytes: Bytes before `end` that are in no chunk yet: parts of lines that wait for
            their end.
    """

    end: int
    pins: Mapping[str, int] = field(default_factory=dict)
    check: str = ""
    pending_bytes: int = 0

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
        seen_bytes: How long it was when it was last looked at; what lies behind the position is
            lost if no file is found any more that goes on from there. 0 where nobody knows.
        since: RFC 3339; events before it are skipped. Empty for none.
        sequence: Larger than those of the files of its series that were seen before it.
        awaited: It was the newest of its series at the end of a run, and was not found since.
        saved_at: Unix time of the commit that it comes from; 0 if it does not come from state.db.
    """

    key: str
    base: str
    stem: str
    device: int
    inode: int
    position: Position
    seen_bytes: int = 0
    since: str = ""
    sequence: int = 0
    awaited: bool = False
    saved_at: float = field(default=0.0, compare=False)

    @property
    def unread_bytes(self) -> int:
        """Bytes that are known to be behind the position."""
        return max(0, self.seen_bytes - self.position.end)

    def at(self, position: Position) -> SavedFile:
        """Return the same file with another position."""
        return replace(self, position=position)


class Lane(Enum):
    """Which way documents go: with those that are to arrive soon, or with the mass of them."""

    EXPRESS = "express"
    BULK = "bulk"


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
        lane: Which way it goes. Not kept: what is found at start is a backlog.
    """

    name: str
    documents: int
    body_bytes: int
    file_bytes: int
    source_bytes: int
    sealed_at: float
    lane: Lane = field(default=Lane.BULK, compare=False)


@dataclass(frozen=True, slots=True)
class FileStatus:
    """How far a file is read, right now.

    Attributes:
        path: Where it was last seen.
        key: File key; empty while its first line is too short to tell.
        size_bytes: How long it was when it was last looked at; 0 for a compressed one that is read,
            or not identified yet, and for one whose content has been replaced since it was read.
        read_bytes: How far it is read.
        lag_secs: For how long there have been bytes that are not read.
        held: It has no name any more, and is kept open until it is read.
        live: The path of its series shows it.
    """

    path: str
    key: str
    size_bytes: int
    read_bytes: int
    lag_secs: float
    held: bool
    live: bool

    @property
    def lag_bytes(self) -> int:
        """Bytes that are there and not read."""
        return max(0, self.size_bytes - self.read_bytes)


@dataclass(frozen=True, slots=True)
class SeriesStatus:
    """How far a series is read, right now.

    Attributes:
        path: Of the live file, as the operator sees it.
        files: Its generations that are open, oldest first.
        pending_bytes: Bytes read of lines whose end has not come.
        abandoned_bytes: Bytes that vanished before they were read, since the agent's start.
        gaps: Places where generations may have come and gone unseen, since the agent's start.
    """

    path: str
    files: tuple[FileStatus, ...] = ()
    pending_bytes: int = 0
    abandoned_bytes: int = 0
    gaps: int = 0

    @property
    def lag_bytes(self) -> int:
        """Bytes that are there and not read."""
        return sum(file.lag_bytes for file in self.files)

    @property
    def lag_secs(self) -> float:
        """For how long the oldest unread bytes have been there."""
        return max((file.lag_secs for file in self.files), default=0.0)

    @property
    def held_bytes(self) -> int:
        """Unread bytes of files that have no name any more."""
        return sum(file.lag_bytes for file in self.files if file.held)
