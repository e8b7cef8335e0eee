"""What all followers share."""

from __future__ import annotations

import asyncio
import errno
import logging
import time
from dataclasses import dataclass, field

from shipper.buffer.spool import Spool
from shipper.config import Config
from shipper.metrics import Metrics
from shipper.source.block import Limits
from shipper.source.descriptors import Descriptors
from shipper.source.identity import Identity
from shipper.source.losses import Losses
from shipper.source.metadata import NoPods, Pods, PodsInUse
from shipper.source.poll import Poller

log = logging.getLogger(__name__)

FIRST_START = "first_start"
"""Name under which it is remembered when the first start began, or that it is over."""
OVER = "over"
_READERS = 4
"""Followers that take turns of one block: with thousands of files behind, the event loop still
gets to everything else within this many blocks, about a millisecond each."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all followers share.

    Attributes:
        config: The whole configuration.
        spool: Where what blocks became goes.
        identity: Gives files their keys.
        losses: Counts what vanishes unread.
        poller: Wakes followers.
        metrics: The agent's metrics.
        once: Read to the end and stop, rather than follow.
        descriptors: How many files may be open.
        pods: Who knows the pods.
        turns: Whoever reads a block has one of these.
    """

    config: Config
    spool: Spool
    identity: Identity
    losses: Losses
    poller: Poller
    metrics: Metrics
    once: bool
    descriptors: Descriptors
    pods: PodsInUse
    turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_READERS))

    async def begin_first_start(self) -> float:
        """Return the moment up to which a file must have been written to be one of the first start.

        `follow.read_from` says where those begin. It is remembered, because the first start may be
        killed: then only what nobody has written to since is known to have been there.

        Returns:
            Unix time; infinite at the first start, 0 when that is over.
        """
        mark = self.spool.state.meta(FIRST_START)
        begins_all = self.config.follow.read_from == "beginning"
        if not mark:
            await self.spool.remember(FIRST_START, OVER if begins_all else str(time.time()))
        return 0.0 if begins_all or mark == OVER else float(mark or "inf")

    def report(self, path: str, error: OSError) -> None:
        """Count and tell that a file cannot be read."""
        self.metrics.read_errors.labels(errno.errorcode.get(error.errno or 0, "other")).inc()
        log.warning("%s: cannot be read, tried again: %s", path, error)

    @property
    def limits(self) -> Limits:
        """How much is read at once: no block holds a line that is too long, because none can."""
        max_line_bytes = self.config.pipeline.max_line_bytes
        block_bytes = self.config.follow.block_bytes
        return Limits(min(block_bytes, max_line_bytes), max_line_bytes)


def surroundings_of(
    config: Config,
    spool: Spool,
    *,
    node: str,
    metrics: Metrics,
    once: bool,
    pods: Pods | None = None,
) -> Surroundings:
    """Make what all followers share.

    Args:
        config: The whole configuration.
        spool: Where what blocks became goes.
        node: The node's name, fixed at the first start.
        metrics: The agent's metrics.
        once: Read to the end and stop, rather than follow.
        pods: Who knows the pods; None if nobody does.
    """
    positions = spool.positions
    sequence = max((file.sequence for file in positions.all()), default=0)
    identity = Identity(
        node,
        positions.of,
        saved_at=positions.at,
        saved_as=positions.get,
        sequence=max(0, sequence),
    )
    return Surroundings(
        config,
        spool,
        identity,
        Losses(spool, identity),
        Poller(),
        metrics,
        once,
        Descriptors(config.follow.open_files),
        PodsInUse(pods or NoPods()),
    )
