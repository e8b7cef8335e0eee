"""The agent checks its own account (I9) every `buffer.audit_secs`, and says what does not add up.

Theory of operation: what is written down is read in a thread, on a connection of its own
(`buffer.audit`), while the agent works on. What can be seen halfway (a chunk being sealed, a file
truncated a moment ago, a commit whose counters follow in the next turn of the loop) is looked at
again, some seconds long, before it is said.

Owns: what it has found. Does not know: how to mend it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from shipper.buffer.audit import (
    Mismatch,
    broken_laws,
    missing_chunks,
    read_books,
    stray_chunks,
    wrong_counters,
    wrong_sizes,
)
from shipper.errors import StateError
from shipper.metrics import LAWS, Metrics
from shipper.model import FileStatus

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Patience:
    """For how long things may be halfway.

    Attributes:
        look_again_secs: After how long a finding is looked at again; in all longer than the poller
            leaves a file alone, so that a truncation is known by then.
        stray_secs: How old a chunk file without a row has to be: its seal may wait for a slow disk.
    """

    look_again_secs: tuple[float, ...] = (0.05, 0.2, 0.75, 3.0)
    stray_secs: float = 60.0


@dataclass(frozen=True, slots=True)
class Told:
    """What the agent tells of itself, to be held against what is written down.

    Attributes:
        counters: (name, label value) to count, with the documents in the buffer as `buffered`.
        files: The files that it has open.
        stuck: Whether the buffer cannot be written now: then seals stay halfway.
    """

    counters: Callable[[], Mapping[tuple[str, str], int]]
    files: Callable[[], Awaitable[Sequence[FileStatus]]]
    stuck: Callable[[], bool]


class SelfCheck:
    """Checks the account of one agent, again and again.

    Attributes:
        mismatches: What the last check has found: law to difference.
    """

    def __init__(
        self,
        state_dir: Path,
        told: Told,
        *,
        metrics: Metrics,
        patience: Patience = Patience(),
    ) -> None:
        """Prepare.

        Args:
            state_dir: What to check.
            told: What to hold it against.
            metrics: Where the results go.
            patience: For how long things may be halfway.
        """
        self.mismatches: dict[str, int] = {}
        self._state_dir = state_dir
        self._told = told
        self._metrics = metrics
        self._patience = patience
        self._strays: dict[str, float] = {}

    async def run(self, every_secs: float) -> None:
        """Check for ever."""
        while True:
            await asyncio.sleep(every_secs)
            try:
                self._report(await self.check())
            except StateError as error:
                log.warning("the account cannot be checked: %s", error)

    async def check(self) -> list[Mismatch]:
        """Return the laws that do not hold, at each look.

        Raises:
            StateError: state.db cannot be read.
        """
        found = await self._look()
        for secs in self._patience.look_again_secs:
            if not found:
                break
            await asyncio.sleep(secs)
            again = await self._look()
            found = [mismatch for mismatch in again if mismatch.law in {m.law for m in found}]
        return found

    async def _look(self) -> list[Mismatch]:
        told, state_dir = self._told, self._state_dir
        files, before = await told.files(), dict(told.counters())
        books = await asyncio.to_thread(read_books, state_dir)
        found = wrong_counters(books, exported=(before, told.counters()))
        missing = await asyncio.to_thread(missing_chunks, state_dir, books)
        sizes = await asyncio.to_thread(wrong_sizes, books, files)
        stray = stray_chunks(books, self._lasting(books.stray))
        return [*broken_laws(books), *missing, *stray, *sizes, *found]

    def _lasting(self, stray: Collection[str]) -> set[str]:
        """Return the chunk files that have been without a row for so long that none will come."""
        now = time.monotonic()
        if self._told.stuck():
            stray = ()
        self._strays = {name: self._strays.get(name, now) for name in stray}
        return {n for n, since in self._strays.items() if now - since >= self._patience.stray_secs}

    def _report(self, found: Sequence[Mismatch]) -> None:
        self._metrics.account_checks.labels("mismatch" if found else "ok").inc()
        before, self.mismatches = self.mismatches, {m.law: m.difference for m in found}
        for law in LAWS:
            self._metrics.account_mismatch.labels(law).set(self.mismatches.get(law, 0))
        for mismatch in found:
            if before.get(mismatch.law) != mismatch.difference:
                _say(mismatch)
        if before and not found:
            log.warning("the account adds up again")


def _say(mismatch: Mismatch) -> None:
    log.error(
        "the account does not add up (%s): %s: %d; %s: %d; difference %d: %s",
        mismatch.law,
        mismatch.left,
        mismatch.left_value,
        mismatch.right,
        mismatch.right_value,
        mismatch.difference,
        mismatch.advice,
    )
