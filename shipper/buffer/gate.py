"""Lets the reading side go on, or stops it: for the quota, and for a disk that refuses writes.

Owns: what the disk refused and is tried again. Does not know: who reads, what is written.
"""

from __future__ import annotations

import asyncio
import logging

from shipper.buffer.quota import Need, Quota
from shipper.errors import DiskFault

log = logging.getLogger(__name__)


class Gate:
    """Whether the buffer takes more.

    Attributes:
        paused: Why reading is stopped, of noisy series or of all, in words; empty while it is not.
        closed: Why it is stopped of all; empty while quiet series are read.
    """

    def __init__(self, quota: Quota) -> None:
        """Start with what is in the buffer."""
        self.paused = self.closed = ""
        self._quota = quota
        self._faults: dict[int, str] = {}
        self._open = {need: asyncio.Event() for need in Need}

    def opening(self, need: Need) -> asyncio.Event:
        """Return what is set while those with this need may read."""
        return self._open[need]

    def refresh(self) -> None:
        """Look at the limits again."""
        fault = next(iter(self._faults.values()), "")
        reasons = {need: fault or self._quota.exceeded(need) for need in Need}
        for need, reason in reasons.items():
            self._open[need].clear() if reason else self._open[need].set()
        self.closed = reasons[Need.QUIET]
        why = self.closed or reasons[Need.NOISY]
        if why != self.paused:
            log.warning("reading is paused: %s" if why else "reading goes on%s", why)
            self.paused = why

    def fail(self, step: int, error: OSError | DiskFault) -> None:
        """Close for everybody until a step is done that the disk refused."""
        what = error.strerror if isinstance(error, OSError) else error
        self._faults[step] = f"the disk refuses writes: {what}"
        self.refresh()

    def done(self, step: int) -> None:
        """Take note that a step is done, or given up."""
        self._faults.pop(step, None)
