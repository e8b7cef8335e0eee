"""The agent's life: it runs, rests, is stopped, killed, kept down; its destination goes away."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from shipper.buffer.audit import audit
from shipper.buffer.spool import Spool
from shipper.config import Config
from shipper.model import SavedFile
from shipper.source.block import LOST_PART
from shipper.source.poll import Poller
from tests.source.running import Delivered, Running, running

PATIENCE_SECS = 8.0
"""Longer than any retry, and than a busy machine stands still."""
_FILLING_LINES = 16
_LINE_SECS = 0.06
"""In which a line that is written is in a chunk."""
_SETTLES = 4
"""So many times the time after which what is rotated is finished, it may take to do that."""
_LOOK_SECS = 0.01
_IMPATIENT_SECS = 0.05


class Agent:
    """The real reading side, started and ended many times.

    Attributes:
        delivered: What it delivered, over all its lives.
        patience_secs: How long nothing may be delivered before what is missing counts as lost.
    """

    def __init__(self, config: Config, *, settle_secs: float, ended: Callable[[], None]) -> None:
        """Do not start yet.

        Args:
            config: Its configuration.
            settle_secs: For how long a rotated file is quiet when it is finished.
            ended: Called when it has nothing open any more.
        """
        self.delivered = Delivered()
        self.patience_secs = PATIENCE_SECS
        self._config = config
        self._settle_secs = settle_secs
        self._ended = ended
        self._life = contextlib.AsyncExitStack()
        self._now: Running | None = None
        self._is_killed = self._is_down = False
        self._totals: Mapping[tuple[str, str], int] = {}
        self._saved: Sequence[SavedFile] = ()

    @property
    def admitted(self) -> int:
        """What it says that it could not read: bytes and gaps."""
        totals = self._now.spool.totals if self._now else self._totals
        return sum(
            count
            for (name, label), count in totals.items()
            if name in ("abandoned_bytes", "gaps") or label == LOST_PART
        )

    @property
    def gaps(self) -> int:
        """How often it says that something may have come and gone unseen."""
        totals = self._now.spool.totals if self._now else self._totals
        return totals.get(("gaps", ""), 0)

    def reads(self, path: Path) -> bool:
        """Tell whether it runs, and has read anything of the file that it has open at a path."""
        series = self._now.sources.status() if self._now else []
        return any(
            file.read_bytes for one in series for file in one.files if file.path == f"{path}"
        )

    def knows(self, place: tuple[int, int]) -> bool:
        """Tell whether it has saved anything of a file, by device and inode."""
        saved = self._now.spool.positions.all() if self._now else self._saved
        return any((file.device, file.inode) == place for file in saved)

    def audit(self) -> list[str]:
        """Return which laws of conservation do not hold in its state directory (I9)."""
        return [f"law broken: {mismatch}" for mismatch in audit(self._config.state_dir)]

    async def start(self) -> None:
        """Start it, unless it is kept down."""
        if self._now is None and not self._is_down:
            poller = Poller(active_secs=_LOOK_SECS)
            life = running(
                self._config, self.delivered, killed=lambda: self._is_killed, poller=poller
            )
            self._now = await self._life.enter_async_context(life)

    async def rest(self, argument: int) -> None:
        """Let it work for a while."""
        await asyncio.sleep(argument % 40 / 1000)

    async def settle(self, _: int) -> None:
        """Let it finish what was rotated."""
        await asyncio.sleep(self._settle_secs)
        await _while(self._has_old_open, within_secs=_SETTLES * self._settle_secs)

    async def stop(self, _: int) -> None:
        """Stop it in order."""
        self._is_killed = False
        await self._end()

    async def kill(self, _: int) -> None:
        """Take its memory away."""
        self._is_killed = True
        await self._end()

    async def down(self, argument: int) -> None:
        """End it, and keep it down."""
        await (self.kill(0) if argument % 2 else self.stop(0))
        self._is_down = True

    async def up(self, _: int) -> None:
        """Start it again."""
        self._is_down = False
        await self.start()

    async def take_away(self, _: int) -> None:
        """Take the destination away."""
        self.delivered.away = True

    async def give_back(self, _: int) -> None:
        """Give the destination back."""
        self.delivered.away = False

    async def start_impatient(self) -> None:
        """Start it as one that does not wait for the ends of lines."""
        follow = self._config.follow.model_copy(update={"partial_secs": _IMPATIENT_SECS})
        self._config = self._config.model_copy(update={"follow": follow})
        await self.up(0)

    async def fill(self, write: Callable[[int], None]) -> None:
        """Take the destination away, and write until the buffer is full."""
        self.delivered.away = True
        for number in range(_FILLING_LINES):
            if self._now is None or self._now.spool.paused:
                return
            spool, before = self._now.spool, self._now.spool.buffered_chunks
            write(number)
            await _while(partial(_has_chunks, spool, before), within_secs=_LINE_SECS)

    async def catch_up(self, waiting: Callable[[], int]) -> bool:
        """Wait until it has delivered what it can; False if nothing more comes."""
        if self._now is None or self.delivered.away:
            return True
        left, since = waiting(), time.monotonic()
        while left and time.monotonic() - since < self.patience_secs:
            await asyncio.sleep(0.005)
            before, left = left, waiting()
            since = time.monotonic() if left < before else since
        return not left

    def _has_old_open(self) -> bool:
        return self._now is not None and self._now.sources.open_files > 1

    async def _end(self) -> None:
        if self._now is None:
            return
        agent, self._now = self._now, None
        await self._life.aclose()
        self._totals, self._saved = dict(agent.spool.totals), agent.spool.positions.all()
        self._ended()


def _has_chunks(spool: Spool, count: int) -> bool:
    return spool.buffered_chunks == count


async def _while(condition: Callable[[], bool], *, within_secs: float) -> None:
    """Wait while something holds, but not for longer than this."""
    due = time.monotonic() + within_secs
    while condition() and time.monotonic() < due:  # noqa: ASYNC110  # nothing tells
        await asyncio.sleep(0.005)
