"""How the destination is: whether it takes documents, what is wrong with it, how long to wait.

A destination that takes some chunks and turns others away is throttled, not away: it is told, and
chunks get old in the buffer, only when nothing has passed for a while. Each lane has its own count
of failures: small express chunks may well pass where large ones are turned away, and then neither
is to wait as the other must.

Owns: the trouble, and the failures since the last success. Does not know: chunks, requests.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
import time
from collections import Counter

from shipper.backoff import wait_secs
from shipper.buffer.spool import Spool
from shipper.errors import SinkRefused, SinkUnavailable
from shipper.metrics import Metrics
from shipper.model import Lane

log = logging.getLogger(__name__)

_STEADY_SECS = 3.0
"""A destination that took a chunk so lately is not away."""

Fault = SinkUnavailable | SinkRefused


class Standing:
    """What is known of the destination.

    Attributes:
        trouble: Why nothing is delivered, in words; empty while it works.
        away: Set while there is trouble.
    """

    def __init__(self, spool: Spool, *, metrics: Metrics, retry_max_secs: float) -> None:
        """Start with nothing known.

        Args:
            spool: Seals later while the destination is away.
            metrics: The agent's metrics.
            retry_max_secs: The longest wait.
        """
        self.trouble = ""
        self.away = asyncio.Event()
        self._spool = spool
        self._metrics = metrics
        self._retry_max_secs = retry_max_secs
        self._failures: Counter[Lane] = Counter()
        self._passed_at = -math.inf

    def passed(self, lane: Lane) -> None:
        """Take note that a chunk has passed."""
        self._passed_at = time.monotonic()
        self._failures[lane] = 0
        self._metrics.last_delivery.set(time.time())
        self.works()

    def works(self) -> None:
        """Take note that the destination answers as it should."""
        if self.trouble:
            log.info("the destination takes documents again")
        self.trouble = ""
        self._spool.away = False
        self.away.clear()
        self._metrics.sink_up.set(1)

    async def wait_out(self, error: Fault, lane: Lane) -> None:
        """Wait as long as the failures of a lane and the server ask for."""
        self._failures[lane] += 1
        self._metrics.retries.labels(reason_of(error)).inc()
        if time.monotonic() - self._passed_at >= _STEADY_SECS:
            self._down(str(error))
        await asyncio.sleep(self.jittered(self._failures[lane], error.retry_after_secs))

    def jittered(self, failures: int, retry_after_secs: float | None = None) -> float:
        """Return how long to wait after so many failures in a row."""
        chance = random.random()  # noqa: S311  # jitter is no secret
        wait = wait_secs(
            failures, chance, max_secs=self._retry_max_secs, retry_after_secs=retry_after_secs
        )
        self._metrics.retry_wait_secs.observe(wait)
        return wait

    def _down(self, why: str) -> None:
        if not self.trouble:
            log.error("the destination does not take documents, they stay in the buffer: %s", why)
        self.trouble = why
        self._spool.away = True
        self.away.set()
        self._metrics.sink_up.set(0)


def reason_of(fault: Fault) -> str:
    """Return the metric's word for a fault."""
    return "refused" if isinstance(fault, SinkRefused) else "unavailable"
