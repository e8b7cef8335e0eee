"""Limits: over time a series brings what it may, whatever the sizes of its blocks."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipper.source.limits import Rate

blocks = st.lists(st.tuples(st.integers(1, 2_000), st.integers(1, 300_000)), min_size=1)


@given(blocks, st.floats(1, 1e5), st.floats(100, 1e7))
def test_no_more_than_the_limit_over_time(
    sizes: list[tuple[int, int]], lines_per_sec: float, bytes_per_sec: float
) -> None:
    """Whoever waits as asked brings in any time no more than that, a second's worth, a block."""
    rate, now = Rate(lines_per_sec, bytes_per_sec), 1_000.0
    lines = size = 0
    for block_lines, block_size in sizes:
        now += rate.wait_secs(now)
        allowed_secs = now - 1_000.0 + 1.0 + 1e-6
        assert lines <= lines_per_sec * allowed_secs
        assert size <= bytes_per_sec * allowed_secs
        rate.spend(block_lines, block_size, now=now)
        lines, size = lines + block_lines, size + block_size


@given(blocks)
def test_no_less_than_the_limit(sizes: list[tuple[int, int]]) -> None:
    """The waits are no longer than the limit asks for."""
    rate, waited = Rate(None, 50_000), 0.0
    for lines, size in sizes:
        wait = rate.wait_secs(waited)
        waited += wait
        rate.spend(lines, size, now=waited)
    assert waited <= sum(size for _, size in sizes) / 50_000


def test_silence_is_not_saved_up() -> None:
    """After an hour of silence a second's worth passes at once, not an hour's."""
    rate = Rate(10, None)
    rate.spend(1, 100, now=0)
    rate.spend(10, 1_000, now=3_600)
    assert rate.wait_secs(3_600) == 0
    rate.spend(10, 1_000, now=3_600)
    assert rate.wait_secs(3_600) == pytest.approx(1)


def test_without_limits_nothing_waits() -> None:
    """No limit, no wait."""
    rate = Rate(None, None)
    assert not rate.limits
    rate.spend(1_000_000, 1_000_000_000, now=0)
    assert rate.wait_secs(0) == 0
    assert rate.takes(1, 1, now=0)


def test_what_does_not_pass_costs_nothing() -> None:
    """With blocks that are dropped while it is too much, the limit gets through."""
    rate = Rate(100, None)
    passed = sum(rate.takes(10, 1_000, now=n / 100) for n in range(1_000))  # 1,000 lines a second
    assert 10 * passed == pytest.approx(100 * (10 + 1), rel=0.02)


@pytest.mark.parametrize(("lines_per_sec", "bytes_per_sec"), [(1, None), (None, 1)])
def test_either_limit_is_enough(lines_per_sec: float | None, bytes_per_sec: float | None) -> None:
    """Whichever limit is used up first counts."""
    rate = Rate(lines_per_sec, bytes_per_sec)
    assert rate.limits
    rate.spend(3, 3, now=0)
    assert rate.wait_secs(0) == pytest.approx(2)
