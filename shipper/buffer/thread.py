"""The one thread that writes: files and transactions, one step after another (I6).

Does not know: what the steps do.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from shipper.buffer.gate import Gate
from shipper.errors import DiskFault

log = logging.getLogger(__name__)

_FAULT_RETRY_SECS = 1.0

_T = TypeVar("_T")


class DiskThread:
    """Does each step until the disk takes it."""

    def __init__(self, gate: Gate, *, place: str) -> None:
        """Start the thread.

        Args:
            gate: Stops reading while a step is refused.
            place: What is written, for the log.
        """
        self._gate = gate
        self._place = place
        self._thread = ThreadPoolExecutor(1, "spool")

    async def do(self, step: Callable[[], _T]) -> _T:
        """Do a step, again and again until the disk takes it."""
        try:
            while True:
                try:
                    return await asyncio.get_running_loop().run_in_executor(self._thread, step)
                except (OSError, DiskFault) as error:
                    log.error("the buffer in %s cannot be written: %s", self._place, error)
                    self._gate.fail(id(step), error)
                await asyncio.sleep(_FAULT_RETRY_SECS)
        finally:
            self._gate.done(id(step))

    def close(self) -> None:
        """Wait for the step that is being done, and end."""
        self._thread.shutdown()
