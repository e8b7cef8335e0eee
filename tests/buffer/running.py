"""A running spool with its sealing task, and what is put into it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path

from shipper.buffer.chunk import Read, decompress, lines_of
from shipper.buffer.disk import Disk
from shipper.buffer.spool import Spool
from shipper.config import BufferConfig
from shipper.metrics import Metrics
from shipper.model import Chunk, Documents, Position, SavedFile

KEY = "k"


def settings(**limits: float) -> BufferConfig:
    """Return limits that seal only when asked to, and that no disk reaches."""
    return BufferConfig.model_validate({"flush_secs": 60, "min_free_percent": 0, **limits})


def body_of(ids: Iterable[int]) -> bytes:
    """Return a body with these documents."""
    return b"".join(b'{"create":{"_id":"%d"}}\n{"log":"line %d"}\n' % (n, n) for n in ids)


def ids_of(body: bytes) -> list[int]:
    """Return which documents a body has."""
    return [int(action.split(b'"')[5]) for action in lines_of(body)[::2]]


def read_of(ids: Iterable[int], *, end: int, key: str = KEY, dropped: int = 0) -> Read:
    """Return what a block became: documents of one byte each, and the position behind it."""
    kept = list(ids)
    documents = Documents(body_of(kept), len(kept), len(kept), {"rule": dropped} if dropped else {})
    file = SavedFile(key, key, "/log", 1, 2, Position(end, {}, "check"))
    return Read(documents, (file,), len(kept) + dropped)


def documents_in(spool: Spool, chunk: Chunk) -> list[int]:
    """Return which documents a chunk's file has."""
    return ids_of(decompress(spool.path(chunk).read_bytes()))


@contextlib.asynccontextmanager
async def opened(root: Path, disk: Disk | None = None, **limits: float) -> AsyncIterator[Spool]:
    """Open a spool, without its sealing task."""
    spool = Spool(root, settings(**limits), metrics=Metrics(), disk=disk)
    try:
        yield spool
    finally:
        spool.close()


@contextlib.asynccontextmanager
async def running(root: Path, disk: Disk | None = None, **limits: float) -> AsyncIterator[Spool]:
    """Open a spool, with its sealing task."""
    async with opened(root, disk, **limits) as spool, asyncio.TaskGroup() as group:
        sealing = group.create_task(spool.seal_loop())
        try:
            yield spool
        finally:
            sealing.cancel()


async def until(condition: Callable[[], object], secs: float = 10) -> None:
    """Wait for something to become true."""
    async with asyncio.timeout(secs):
        while not condition():  # noqa: ASYNC110  # it is a view from outside: no event is there
            await asyncio.sleep(0.002)
