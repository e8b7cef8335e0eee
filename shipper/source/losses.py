"""What vanished before it was read: missed for a while, then counted as abandoned.

Theory of operation: a file that is closed before its end, or that has a position and is not found,
may still turn up, as its own `.gz` or as a copy. So it is missed first. If nobody has claimed its
key when its time is over, the bytes that were seen of it and never read are abandoned, in one
transaction with the position that says so: a restart does not count them again.

How much was written behind what was seen is not known, nor what came and went unseen after it.
Where nothing proves that there was nothing, that is a gap, counted and told.

Owns: the missing files. Does not know: which files are on disk.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from shipper.buffer.chunk import Read
from shipper.buffer.spool import Spool
from shipper.model import Documents, SavedFile
from shipper.source.block import LOST_PART
from shipper.source.identity import Identity

log = logging.getLogger(__name__)

DELETED, TRUNCATED, HELD_BYTES, MISSING = "deleted", "truncated", "held_bytes", "missing"
"""Reasons: a file was deleted and could not be read on; its content was replaced; it went for
`follow.held_bytes`; it was gone at the start, or is gone though it still had a name."""
_SURE = (TRUNCATED,)
"""Reasons for which it does not matter what else is on disk, such as a `.gz` not read yet."""

_AT_ONCE = 500
"""Missed files that one sweep looks at, which takes some 10 ms where all of them are lost."""
_TELL_SECS = 5.0
"""How long a loss may stay untold: while the destination is away a chunk stays open for longer."""
_SETTLED = -1
"""Sequence of a file whose loss has been counted."""


@dataclass(frozen=True, slots=True)
class _Missed:
    file: SavedFile
    reason: str
    due: float
    is_gap: bool


class Losses:
    """The files that are missed, and what has become of those before.

    Attributes:
        abandoned_bytes: Since the agent's start, by stem.
        gaps: Since the agent's start, by stem.
    """

    def __init__(self, spool: Spool, identity: Identity) -> None:
        """Start with nothing missed."""
        self.abandoned_bytes: Counter[str] = Counter()
        self.gaps: Counter[str] = Counter()
        self._spool = spool
        self._identity = identity
        self._missed: dict[str, _Missed] = {}
        self._in_stem: dict[str, set[str]] = {}
        self._untold, self._told_at = False, 0.0

    def begin(self, files: Sequence[SavedFile], within_secs: Callable[[str], float]) -> None:
        """Miss what has a position from before the start, and has to be found again.

        If the newest of a series is not found, generations may have come and gone while nobody
        looked. That suspicion is saved before anything newer is: it outlasts the next restart.

        Args:
            files: All that have one.
            within_secs: How long to look for the files of a stem.
        """
        newest: dict[str, SavedFile] = {}
        for file in files:
            if file.sequence >= max(1, newest.get(file.stem, file).sequence):
                newest[file.stem] = file
        suspected = tuple(replace(file, awaited=True) for file in newest.values())
        if suspected:
            self._spool.append(Read(Documents(), suspected, 0))
        for file in files:
            awaited = file.awaited or newest.get(file.stem) is file
            if awaited or file.unread_bytes or file.position.pending_bytes:
                secs = within_secs(file.stem)
                self.miss(file, MISSING, within_secs=secs, is_gap=awaited)

    def miss(
        self, file: SavedFile, reason: str, *, within_secs: float, is_gap: bool = False
    ) -> None:
        """Wait whether a file is claimed; if not, what is unread of it is abandoned.

        Args:
            file: What is saved of it.
            reason: Why it is not read.
            within_secs: How long to wait.
            is_gap: Whether more may be gone than was seen.
        """
        due = time.monotonic() + within_secs
        if file.key in self._missed:
            self._miss_no_more(self._missed[file.key])
        self._missed[file.key] = _Missed(file, reason, due, is_gap)
        self._in_stem.setdefault(file.stem, set()).add(file.key)
        if is_gap and not self._latest(file).awaited:  # a restart must not forget it
            self._spool.append(Read(Documents(), (replace(self._latest(file), awaited=True),), 0))

    def gap(self, stem: str) -> None:
        """Count a place where generations of a series may have come and gone unseen."""
        self.gaps[stem] += 1
        self._untold = True
        log.warning("%s: generations may have come and gone before they were seen", stem)
        self._spool.append(Read(Documents(), (), 0, gaps=1))

    def abandon(self, stem: str, reason: str, *, size: int) -> None:
        """Count bytes that nothing is saved of."""
        if size:
            self._count(stem, reason, size=size)
            self._untold = True
            self._spool.append(Read(Documents(), (), 0, {reason: size}))

    def sweep(self, settled: Callable[[SavedFile], bool]) -> None:
        """Count what nobody has claimed in time.

        Of many missed files it looks at some; the next sweep goes on with the others.

        Args:
            settled: Whether no file of its series that is not identified yet may be this one.
        """
        now = time.monotonic()
        for key in list(islice(self._missed, _AT_ONCE)):
            missed = self._missed.pop(key)
            if self._identity.holds(key) or self._has_moved(missed.file):
                self._miss_no_more(missed)
                self._found(missed.file)
            elif now >= missed.due and (missed.reason in _SURE or settled(missed.file)):
                self._miss_no_more(missed)
                self._abandon(missed)
            else:
                self._missed[key] = missed
        if self._untold and now - self._told_at >= _TELL_SECS:
            self._untold, self._told_at = False, now
            self._spool.hurry()

    def misses(self, key: str) -> bool:
        """Tell whether a file is missed."""
        return key in self._missed

    def settle(self, stem: str) -> None:
        """Count at once what is missed of a series that has ended, and forget the series."""
        for key in self._in_stem.pop(stem, ()):
            self._abandon(self._missed.pop(key))
        self._forget(stem)

    def _forget(self, stem: str) -> None:
        self.abandoned_bytes.pop(stem, None)
        self.gaps.pop(stem, None)

    def _miss_no_more(self, missed: _Missed) -> None:
        keys = self._in_stem[missed.file.stem]
        keys.discard(missed.file.key)
        if not keys:
            del self._in_stem[missed.file.stem]

    def _latest(self, file: SavedFile) -> SavedFile:
        return self._spool.positions.get(file.key) or file

    def _has_moved(self, file: SavedFile) -> bool:
        return self._latest(file).position.end != file.position.end

    def _found(self, file: SavedFile) -> None:
        latest = self._latest(file)
        if latest.awaited:
            self._spool.append(Read(Documents(), (replace(latest, awaited=False),), 0))

    def _abandon(self, missed: _Missed) -> None:
        file, position = missed.file, self._latest(missed.file).position
        lost, parts = max(0, file.seen_bytes - position.end), {}
        if missed.reason == MISSING and position.pending_bytes:
            parts = {LOST_PART: position.pending_bytes}
            position = replace(position, pins={}, pending_bytes=0)
        if lost:
            self._count(file.stem, missed.reason, size=lost)
        if missed.is_gap:
            self.gaps[file.stem] += 1
            log.warning("%s: more may be gone than was seen (%s)", file.stem, missed.reason)
        self._untold = True
        done = replace(
            file, position=position, seen_bytes=position.end, sequence=_SETTLED, awaited=False
        )
        abandoned = {missed.reason: lost} if lost else {}
        self._spool.append(
            Read(Documents(dropped_bytes=parts), (done,), 0, abandoned, int(missed.is_gap))
        )

    def _count(self, stem: str, reason: str, *, size: int) -> None:
        if not self.abandoned_bytes[stem]:  # afterwards the metric tells
            log.warning("%s: %d bytes vanished unread (%s)", stem, size, reason)
        self.abandoned_bytes[stem] += size
