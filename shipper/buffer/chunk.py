"""A chunk: open in memory as a gzip stream, sealed as one file that holds a `_bulk` body (I8).

Theory of operation: each block's documents go into the compressor and are gone; what is held is
the compressed chunk, which is why memory stays flat at any speed. `seal` ends the gzip member.
The file is written under a temporary name, synced, renamed, and its directory synced: a chunk
file is whole or it is not there (I1).
"""

from __future__ import annotations

import gzip
import io
import zlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shipper.buffer.disk import Disk
from shipper.model import Documents, Lane, SavedFile

try:
    from isal import isal_zlib as gzip_codec
except ImportError:  # no wheel for this platform: the same calls, 5 times the CPU
    import zlib as gzip_codec  # type: ignore[no-redef]

SUFFIX = ".ndjson.gz"
_TEMPORARY = ".tmp"
_GZIP = 31
"""zlib's window bits for a gzip member."""


@dataclass(slots=True)
class Read:
    """What one block brought to a chunk: its documents, and how far its files are read by it.

    Attributes:
        documents: What the block became.
        files: The files whose positions move with it.
        read_bytes: Bytes read for the first time.
        abandoned_bytes: Bytes that are gone and were never read, by reason.
        gaps: Places where nothing proves that no generation came and went unseen.
        forgotten: Files whose positions are not needed any more.
    """

    documents: Documents
    files: tuple[SavedFile, ...]
    read_bytes: int
    abandoned_bytes: Mapping[str, int] = field(default_factory=dict)
    gaps: int = 0
    forgotten: tuple[SavedFile, ...] = ()


@dataclass(slots=True)
class OpenChunk:
    """The chunk that documents go into now.

    Attributes:
        opened_at: Monotonic time of its first block.
        lane: Which way it goes.
        body_bytes: Size of the body so far, uncompressed.
        documents: Number of documents in it.
        files: Positions that are committed with it, by file key.
        forgotten: Keys of the files whose positions go with it.
        totals: What it adds to the totals of the conservation law (I9).
    """

    opened_at: float
    lane: Lane = Lane.BULK
    body_bytes: int = 0
    documents: int = 0
    files: dict[str, SavedFile] = field(default_factory=dict)
    forgotten: set[str] = field(default_factory=set)
    totals: Counter[tuple[str, str]] = field(default_factory=Counter)
    _parts: list[bytes] = field(default_factory=list)
    _stream: Any = field(default_factory=lambda: gzip_codec.compressobj(1, zlib.DEFLATED, _GZIP))

    def add(self, read: Read) -> None:
        """Take what a block became, with the positions that move by it."""
        documents = read.documents
        if documents.body:
            self._parts.append(self._stream.compress(documents.body))
        self.body_bytes += len(documents.body)
        self.documents += documents.count
        self.totals["read_bytes", ""] += read.read_bytes
        self.totals["chunked_bytes", ""] += documents.chunked_bytes
        self.totals["chunked", ""] += documents.count
        for reason, size in documents.dropped_bytes.items():
            self.totals["dropped_bytes", reason] += size
        for file in read.files:
            self.files[file.key] = file
            self.forgotten.discard(file.key)
        if read.abandoned_bytes or read.gaps or read.forgotten:
            self._add_losses(read)

    def _add_losses(self, read: Read) -> None:
        for reason, size in read.abandoned_bytes.items():
            self.totals["abandoned_bytes", reason] += size
        self.totals["gaps", ""] += read.gaps
        for file in read.forgotten:
            self.files.pop(file.key, None)
            self.forgotten.add(file.key)
            self.totals["forgotten_bytes", ""] += file.position.end

    def finish(self) -> bytes:
        """End the gzip member and return the chunk's bytes; nothing can be added after that."""
        self._parts.append(self._stream.flush())
        self._parts = [b"".join(self._parts)]
        return self._parts[0]


def write(disk: Disk, path: Path, *, data: bytes) -> None:
    """Put a chunk file in its place so that it survives a loss of power (I1).

    Raises:
        OSError: It did not; no file of that name is left, unless the system fails at that, too.
    """
    temporary = path.with_name(path.name + _TEMPORARY)
    try:
        descriptor = disk.create(temporary)
        try:
            disk.write(descriptor, data)
            disk.sync(descriptor)
        finally:
            disk.close(descriptor)
        disk.rename(temporary, path)
        disk.sync_directory(path.parent)
    except OSError:
        disk.unlink(temporary)
        disk.unlink(path)
        raise


def compress(body: bytes) -> bytes:
    """Return a body as one gzip member."""
    return gzip_codec.compress(body, 1, _GZIP)


def decompress(data: bytes) -> bytes:
    """Return the body of a chunk.

    Raises:
        ValueError: The bytes are not one whole gzip member.
    """
    if not data:
        raise ValueError("not a gzip member: no byte in it")
    try:
        return gzip.GzipFile(fileobj=io.BytesIO(data)).read()
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"not a whole gzip member: {error}") from error


def lines_of(body: bytes) -> list[bytes]:
    """Return the lines of a body: action, document, action, document and so on."""
    return body.removesuffix(b"\n").split(b"\n") if body else []


def join(lines: list[bytes]) -> bytes:
    """Return the body that these lines make."""
    return b"".join([line + b"\n" for line in lines])


def list_chunks(directory: Path) -> list[str]:
    """Return the names of the chunk files, oldest first within a database."""
    return sorted(path.name for path in directory.iterdir() if path.name.endswith(SUFFIX))


def remove_temporary(disk: Disk, directory: Path) -> None:
    """Remove what an interrupted seal left."""
    for path in list(directory.iterdir()):
        if path.name.endswith(_TEMPORARY):
            disk.unlink(path)
