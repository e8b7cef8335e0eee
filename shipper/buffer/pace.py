"""Which series are noisy: those that bring more than their share, for longer than a burst.

What makes a series noisy is what it brings, not how far it is behind: one that is read without any
lag still fills the buffer with chunks that those of a hundred quiet ones would have to wait behind.

Does not know: clocks, chunks.
"""

from __future__ import annotations

SHARE_BYTES_PER_SEC = 64 << 10
"""What a series may bring, as bodies of documents, and be a quiet one: some 100 lines a second.
Small enough for hundreds of them to get through to a destination that takes a few megabytes."""
BURST_SECS = 4.0
"""So much of it at once, as of a stack trace."""
_LONGEST_SECS = 60.0
"""What was brought beyond the share is made up for by silence, but by no more than that. Not much
less: a noisy series that has to wait for room is silent, and would be taken for a quiet one."""
_LEAST_SWEEP = 1_000


class Pace:
    """How much each series brought lately."""

    def __init__(self) -> None:
        """Start with all of them quiet."""
        # Until when a series has used up its share. What lies in the past says nothing.
        self._spent_until: dict[str, float] = {}
        self._sweep_at = _LEAST_SWEEP

    def count(self, stem: str, size: int, *, now: float) -> None:
        """Take note of what a series brings."""
        since = max(now, self._spent_until.get(stem, now))
        until = since + size / SHARE_BYTES_PER_SEC
        self._spent_until[stem] = min(until, now + BURST_SECS + _LONGEST_SECS)
        if len(self._spent_until) >= self._sweep_at:
            self._sweep(now)

    def is_noisy(self, stem: str, *, now: float) -> bool:
        """Tell whether a series brought more than its share."""
        return self._spent_until.get(stem, now) - now > BURST_SECS

    def _sweep(self, now: float) -> None:
        kept = {stem: until for stem, until in self._spent_until.items() if until > now}
        self._spent_until = kept
        self._sweep_at = max(_LEAST_SWEEP, 2 * len(kept))
