"""What one series may bring a second, in lines and in bytes: it pays afterwards.

A block is taken whole, whatever it costs, and what it costs beyond the limit is waited for before
the next one: so the limit holds over time, whatever the size of a block, and a second's worth may
always come at once.

Does not know: clocks, files, who waits.
"""

from __future__ import annotations

import math

_BURST_SECS = 1.0
"""What a series that was silent may bring at once."""


class Rate:
    """How much of its limits a series has used up.

    Attributes:
        limits: Whether there is any.
    """

    def __init__(self, lines_per_sec: float | None, bytes_per_sec: float | None) -> None:
        """Start with nothing used; None is no limit."""
        self.limits = lines_per_sec is not None or bytes_per_sec is not None
        self._secs_per_line = 1 / lines_per_sec if lines_per_sec else 0.0
        self._secs_per_byte = 1 / bytes_per_sec if bytes_per_sec else 0.0
        self._lines_until = self._bytes_until = -math.inf

    def wait_secs(self, now: float) -> float:
        """Return how long to wait before the next block; 0 for not at all."""
        return max(0.0, max(self._lines_until, self._bytes_until) - now)

    def spend(self, lines: int, size: int, *, now: float) -> None:
        """Take note of what a block brought."""
        earliest = now - _BURST_SECS
        self._lines_until = max(self._lines_until, earliest) + lines * self._secs_per_line
        self._bytes_until = max(self._bytes_until, earliest) + size * self._secs_per_byte

    def takes(self, lines: int, size: int, *, now: float) -> bool:
        """Tell whether a block may pass, and take note of it if it may."""
        if self.wait_secs(now) > 0:
            return False
        self.spend(lines, size, now=now)
        return True
