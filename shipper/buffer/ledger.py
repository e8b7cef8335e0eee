"""Chunk files and their rows, changed together: the blocking half of the spool, run in its thread.

A loss of power at any instruction leaves what `adopt` mends at the next start (I1, I2). Files and
transactions are separate steps, each tried again by itself: a commit that failed may still turn
out to be done after a crash, because its pages can reach the disk on their own, so the files it
speaks of stay until a later commit has decided.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from shipper.buffer import chunk as chunks
from shipper.buffer.adopt import Found, adopt
from shipper.buffer.chunk import OpenChunk
from shipper.buffer.disk import Disk
from shipper.buffer.state import State, Totals
from shipper.errors import DiskFault
from shipper.model import Chunk, Lane

log = logging.getLogger(__name__)

_BALLAST_BYTES = 512 << 10
"""Space kept back, so that what was written can be shipped on a full disk: state.db's log grows by
some pages before a shipped chunk's file gives any space back. Without it no chunk is written."""

_T = TypeVar("_T")


class Ledger:
    """The chunk directory and state.db of one state directory."""

    def __init__(self, state_dir: Path, disk: Disk) -> None:
        """Open the database.

        Raises:
            StateError: It cannot be used.
            OSError: The directory cannot be written.
        """
        self._disk = disk
        self._ballast = state_dir / "ballast"
        disk.unlink(self._ballast)  # to open a database takes space, too
        self.directory = state_dir / "chunks"
        self.directory.mkdir(mode=0o700, exist_ok=True)
        self.state = State(state_dir / "state.db")
        if self.state.set_aside:
            log.error("state.db was corrupt and is set aside as %s", self.state.set_aside)
        disk.sync_directory(state_dir)
        # A clock that jumped back must not give a name again.
        self._sequence = max([time.time_ns(), *self._own_sequences()])

    def adopt(self) -> Found:
        """Make directory and database agree, at start."""
        return adopt(self.state, self._disk, directory=self.directory)

    def write(self, full: OpenChunk, data: bytes) -> Chunk | None:
        """Make the file of a full chunk durable; it is not there before `seal` has committed it.

        Returns:
            The chunk, or None if it holds no document: then only positions move (I3).

        Raises:
            OSError: The disk refused; nothing changed, and it may be tried again.
        """
        if not full.documents:
            return None
        self._keep_ballast()
        source_bytes = full.totals["chunked_bytes", ""]
        sizes = (full.documents, full.body_bytes, len(data), source_bytes)
        return self._write(data, sizes, lane=full.lane)

    def seal(self, full: OpenChunk, sealed: Chunk | None) -> None:
        """Commit a chunk whose file is durable, with the positions that it brings (I1).

        Raises:
            DiskFault: It has to be tried again with the same chunk.
        """
        log.debug("commit begin")
        files, forgotten = full.files.values(), full.forgotten
        self._giving_way(
            lambda: self.state.seal(sealed, files, totals=full.totals, forgotten=forgotten)
        )
        log.debug("commit end")

    def write_part(self, chunk: Chunk, body: bytes) -> Chunk:
        """Make the file of a part of a chunk durable; `replace` puts it in the chunk's place.

        Raises:
            OSError: The disk refused; nothing changed, and it may be tried again.
        """
        documents, data = len(chunks.lines_of(body)) // 2, chunks.compress(body)
        source_bytes = chunk.source_bytes * documents // max(1, chunk.documents)
        sizes = (documents, len(body), len(data), source_bytes)
        return self._giving_way(lambda: self._write(data, sizes, lane=chunk.lane))

    def replace(self, chunk: Chunk, parts: Sequence[Chunk], *, totals: Totals) -> None:
        """Put parts in a chunk's place, or nothing, in one transaction; its file goes last (I2).

        Raises:
            DiskFault: It has to be tried again with the same parts.
        """
        self._giving_way(lambda: self.state.replace(chunk.name, parts, totals=totals))
        try:
            self._disk.unlink(self.directory / chunk.name)
        except OSError as error:
            log.warning("chunk %s is shipped, and removed at the next start: %s", chunk.name, error)

    def _write(self, data: bytes, sizes: tuple[int, int, int, int], *, lane: Lane) -> Chunk:
        self._sequence += 1
        name = f"{self.state.database_id}-{self._sequence:020d}{chunks.SUFFIX}"
        log.debug("seal begin %s", name)
        chunks.write(self._disk, self.directory / name, data=data)
        log.debug("seal end %s", name)
        return Chunk(name, *sizes, sealed_at=time.time(), lane=lane)

    def _own_sequences(self) -> list[int]:
        prefix = f"{self.state.database_id}-"
        own = [n for n in chunks.list_chunks(self.directory) if n.startswith(prefix)]
        numbers = [name.removeprefix(prefix).removesuffix(chunks.SUFFIX) for name in own]
        return [int(number) for number in numbers if number.isdecimal()]

    def _giving_way(self, step: Callable[[], _T]) -> _T:
        """Do a step without which no chunk is shipped, in the ballast's place if need be."""
        try:
            return step()
        except (OSError, DiskFault):
            if not self._ballast.exists():
                raise
            self._disk.unlink(self._ballast)
            return step()

    def _keep_ballast(self) -> None:
        if not self._ballast.exists():  # random: zeros take no space where disks are compressed
            data = secrets.token_bytes(_BALLAST_BYTES)
            chunks.write(self._disk, self._ballast, data=data)
