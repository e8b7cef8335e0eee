"""What was last known of pods, kept in state.db between two seals.

It is a memory aid: a disk that does not take it stops nothing, and it is written again when more
has changed.

Does not know: what it keeps.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from shipper.buffer.state import State
from shipper.buffer.thread import DiskThread
from shipper.errors import DiskFault

log = logging.getLogger(__name__)


class Known:
    """The table of one database, written by the spool's thread."""

    def __init__(self, state: State, thread: DiskThread) -> None:
        """Prepare."""
        self._state = state
        self._thread = thread

    def known(self, kind: str) -> list[bytes]:
        """Return what is kept of a kind, at start."""
        return self._state.known(kind)

    async def keep(self, kind: str, rows: Mapping[str, bytes | None]) -> None:
        """Keep these, by name; forget those that are None."""
        await self._thread.do(lambda: self._keep(kind, rows))

    def _keep(self, kind: str, rows: Mapping[str, bytes | None]) -> None:
        try:
            self._state.keep(kind, rows)
        except DiskFault as error:
            log.warning("what is known of pods cannot be kept: %s", error)
