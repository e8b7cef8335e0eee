"""What the chunk directory holds at start, against what state.db says of it (I1)."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path

from shipper.buffer import chunk as chunks
from shipper.buffer.disk import Disk
from shipper.buffer.state import State
from shipper.model import Chunk

log = logging.getLogger(__name__)

_BROKEN = ".broken"


@dataclass(slots=True)
class Found:
    """The outcome: chunks to ship, and what has to be told to the operator.

    Attributes:
        ready: Chunks with a row and a whole file.
        adopted: Chunks of another database, that get a row now.
        lost: Rows whose file is gone or of another size.
    """

    ready: list[Chunk] = field(default_factory=list)
    adopted: list[Chunk] = field(default_factory=list)
    lost: list[Chunk] = field(default_factory=list)


def adopt(state: State, disk: Disk, *, directory: Path) -> Found:
    """Make chunk directory and database agree; afterwards every file has a row and vice versa."""
    chunks.remove_temporary(disk, directory)
    rows = state.chunks()
    found = Found()
    names = set(chunks.list_chunks(directory))
    for row in rows:
        whole = row.name in names and (directory / row.name).stat().st_size == row.file_bytes
        (found.ready if whole else found.lost).append(row)
    known = {row.name for row in rows}
    for name in sorted(names - known):
        _take_in(name, found, own=name.startswith(f"{state.database_id}-"), disk=disk, at=directory)
    for row in found.lost:
        _set_aside(directory / row.name)
    if found.adopted or found.lost:
        state.adopt(found.adopted, found.lost)
    _report(found)
    return found


def _take_in(name: str, found: Found, *, own: bool, disk: Disk, at: Path) -> None:
    if own:  # never committed: its lines are read again
        disk.unlink(at / name)
        return
    try:
        data = (at / name).read_bytes()
        body = chunks.decompress(data)
        documents = _count(body)
    except ValueError as error:
        log.error("chunk %s is broken and set aside as %s%s: %s", name, name, _BROKEN, error)
        _set_aside(at / name)
        return
    sealed_at = (at / name).stat().st_mtime
    found.adopted.append(Chunk(name, documents, len(body), len(data), 0, sealed_at))


def _count(body: bytes) -> int:
    documents, half = divmod(len(chunks.lines_of(body)), 2)
    if half or not documents:
        raise ValueError(f"{documents} documents and a half" if half else "no document in it")
    return documents


def _set_aside(path: Path) -> None:
    if path.exists():
        path.rename(path.with_name(path.name + _BROKEN))


def _report(found: Found) -> None:
    if found.adopted:
        log.warning("adopted %d chunks of another state.db", len(found.adopted))
    if found.lost:
        log.error(
            "%d documents are lost: the files of %d chunks vanished or changed: %s",
            sum(row.documents for row in found.lost),
            len(found.lost),
            ", ".join(row.name for row in found.lost[:5]),
        )
