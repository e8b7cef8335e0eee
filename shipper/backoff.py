"""How long to wait before the same thing is tried again: exponential, with full jitter.

Full jitter spreads a fleet that lost its server at one moment over the whole wait.
Source: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
"""

from __future__ import annotations

_FIRST_SECS = 0.5
_MAX_DOUBLINGS = 16
"""2**16 times the first wait is beyond any sensible maximum."""
_MAX_RETRY_AFTER_SECS = 600.0
"""More than that is a mistake, or a maintenance that may end sooner: it is asked again earlier."""


def wait_secs(
    failures: int, chance: float, *, max_secs: float, retry_after_secs: float | None = None
) -> float:
    """Return how long to wait after so many failures in a row.

    Args:
        failures: 1 after the first.
        chance: A random number in [0, 1).
        max_secs: Upper end of the longest wait.
        retry_after_secs: What the server asked for: the least, within reason; the jitter is added.
    """
    ceiling = min(max_secs, _FIRST_SECS * 2.0 ** min(failures - 1, _MAX_DOUBLINGS))
    return min(retry_after_secs or 0.0, _MAX_RETRY_AFTER_SECS) + chance * ceiling
