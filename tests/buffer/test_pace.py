"""Pace: whoever brings more than a share for longer than a burst is noisy, and nobody else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipper.buffer.pace import BURST_SECS, SHARE_BYTES_PER_SEC, Pace

BURST_BYTES = int(BURST_SECS * SHARE_BYTES_PER_SEC)


@given(st.floats(0.05, 5), st.integers(1, 200))
def test_a_share_is_never_noisy(every_secs: float, times: int) -> None:
    """A series within its share stays quiet, however long it goes on."""
    pace = Pace()
    for n in range(times):
        now = n * every_secs
        pace.count("a", int(every_secs * SHARE_BYTES_PER_SEC), now=now)
        assert every_secs > BURST_SECS or not pace.is_noisy("a", now=now)


def test_a_burst_is_not_noisy() -> None:
    """A stack trace, or the first block of a start, passes with the quiet ones."""
    pace = Pace()
    pace.count("a", BURST_BYTES, now=0)
    assert not pace.is_noisy("a", now=0)
    pace.count("a", 1, now=0)
    assert pace.is_noisy("a", now=0)
    assert not pace.is_noisy("b", now=0)


@pytest.mark.parametrize("share", [1.2, 2, 3_000])
def test_more_than_a_share_is_noisy_until_it_ends(share: float) -> None:
    """A noisy series is told soon, stays it while it goes on, and is quiet again a minute after."""
    pace, now = Pace(), 0.0
    noisy = []
    for _ in range(600):
        now += 0.1
        pace.count("a", int(share * SHARE_BYTES_PER_SEC / 10), now=now)
        noisy.append(pace.is_noisy("a", now=now))
    first = noisy.index(True)
    assert all(noisy[first:])
    assert first <= 10 * BURST_SECS / (share - 1) + 1
    beyond_secs = min(60, 60 * (share - 1) - BURST_SECS)
    assert pace.is_noisy("a", now=now + beyond_secs - 1)
    assert not pace.is_noisy("a", now=now + beyond_secs + 1)


def test_series_that_are_silent_are_forgotten() -> None:
    """What is kept does not grow with all series that ever were."""
    pace = Pace()
    for n in range(100_000):
        pace.count(f"series-{n}", 1_000, now=n / 100)
    assert len(pace._spent_until) <= 2_000  # noqa: SLF001  # nothing else shows it
