"""The open chunks: one for what is to arrive soon, one for the mass of what noisy series write.

Theory of operation: a quiet series' documents go into the express chunk, a noisy one's into the
bulk chunk, and the shipping side keeps a way free for express chunks. The two are sealed one after
the other (I6), but not in the order in which their documents were read, so a position must never
get into one of them while the other, sealed later, has documents from before it: a series stays in
a lane as long as that lane's open chunk holds anything of it, and so does a file that another
series goes on with. What is being sealed already is no
obstacle: whatever is sealed after it is committed after it. So a series that becomes noisy makes
the express chunk due, and goes on in the other lane when that is being sealed, milliseconds later.

Owns: the open chunks. Does not know: sealing, clocks.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace

from shipper.buffer.chunk import OpenChunk, Read
from shipper.buffer.pace import Pace
from shipper.config import BufferConfig
from shipper.model import Documents, Lane, SavedFile


@dataclass(slots=True)
class OpenLane:
    """A lane's open chunk.

    Attributes:
        lane: Which lane.
        chunk: The chunk, if there is one.
        stems: The series of which it holds something.
        has_room: Set while the chunk is neither full nor due for another reason.
    """

    lane: Lane
    chunk: OpenChunk | None = None
    stems: set[str] = field(default_factory=set)
    has_room: asyncio.Event = field(default_factory=asyncio.Event)

    def holds(self, file: SavedFile) -> bool:
        """Tell whether the chunk holds a position of a file."""
        chunk = self.chunk
        return chunk is not None and (file.key in chunk.files or file.key in chunk.forgotten)


class Lanes:
    """The open chunks of a spool."""

    def __init__(self, limits: BufferConfig, *, in_order: bool) -> None:
        """Start with none open.

        Args:
            limits: When a chunk is full.
            in_order: Everything goes the same way, for a destination that has to get the lines of a
                series in their order.
        """
        self._limits = limits
        self._pace = Pace()
        self._bulk = OpenLane(Lane.BULK)
        self._express = self._bulk if in_order else OpenLane(Lane.EXPRESS)
        self._lanes = [self._bulk] if in_order else [self._express, self._bulk]
        for lane in self._lanes:
            lane.has_room.set()

    def is_noisy(self, stem: str, *, now: float) -> bool:
        """Tell whether a series brings more than its share."""
        return self._pace.is_noisy(stem, now=now)

    def of(self, stem: str, *, now: float) -> OpenLane:
        """Return the lane that takes what comes next of a series."""
        held = self._of_stem(stem)
        if held is not None:
            return held
        return self._bulk if self.is_noisy(stem, now=now) else self._express

    def add(self, read: Read, *, now: float) -> bool:
        """Take what a block became; tells whether a chunk was opened, or is due by it."""
        first = next(iter((*read.files, *read.forgotten)), None)
        stem = first.stem if first else ""
        self._pace.count(stem, len(read.documents.body), now=now)
        home = (first and self._holding(first)) or self.of(stem, now=now)
        for lane in self._lanes:
            if lane is not home:
                read = self._part(read, lane)
        leaves = home is not self._bulk and self.is_noisy(stem, now=now)
        return self._put(read, home, now=now, leaves=leaves)

    def take(self, *, opened_before: float) -> OpenChunk | None:
        """Take the first chunk that is due, or not younger than that; an express one first."""
        for lane in self._lanes:
            chunk = lane.chunk
            if chunk and (chunk.opened_at <= opened_before or not lane.has_room.is_set()):
                lane.chunk = None
                lane.stems.clear()
                lane.has_room.set()
                return chunk
        return None

    def hurry(self, opened_at: float) -> None:
        """Let what is open be at least this old."""
        for chunk in self._chunks():
            chunk.opened_at = min(chunk.opened_at, opened_at)

    @property
    def opened_at(self) -> float | None:
        """When the oldest open chunk was opened; None if none is open."""
        return min((chunk.opened_at for chunk in self._chunks()), default=None)

    def _chunks(self) -> list[OpenChunk]:
        return [lane.chunk for lane in self._lanes if lane.chunk is not None]

    def _of_stem(self, stem: str) -> OpenLane | None:
        return next((lane for lane in self._lanes if stem in lane.stems), None)

    def _holding(self, file: SavedFile) -> OpenLane | None:
        """Return the lane that holds something of a file, of whichever series that was."""
        return next((lane for lane in self._lanes if lane.holds(file)), None)

    def _part(self, read: Read, lane: OpenLane) -> Read:
        """Put the positions of files and series that a lane holds into it; returns what is left."""
        held = [
            [f for f in files if (self._holding(f) or self._of_stem(f.stem)) is lane]
            for files in (read.files, read.forgotten)
        ]
        if not any(held) or lane.chunk is None:
            return read
        files, forgotten = map(tuple, held)
        lane.chunk.add(Read(Documents(), files, 0, forgotten=forgotten))
        return replace(
            read,
            files=tuple(f for f in read.files if f not in files),
            forgotten=tuple(f for f in read.forgotten if f not in forgotten),
        )

    def _put(self, read: Read, lane: OpenLane, *, now: float, leaves: bool) -> bool:
        news = lane.chunk is None
        if lane.chunk is None:
            lane.chunk = OpenChunk(now, lane.lane)
        lane.chunk.add(read)
        lane.stems.update(file.stem for file in (*read.files, *read.forgotten))
        limits, chunk = self._limits, lane.chunk
        full = chunk.body_bytes >= limits.chunk_bytes or chunk.documents >= limits.chunk_documents
        if full or leaves:
            lane.has_room.clear()
        return news or full or leaves
