"""The wait before the next try."""

from hypothesis import given
from hypothesis import strategies as st

from shipper.backoff import wait_secs

failures = st.integers(1, 10**6)
chances = st.floats(0, 1, exclude_max=True)
limits = st.floats(0.01, 86_400)


@given(failures, chances, limits)
def test_wait_is_bounded(count: int, chance: float, max_secs: float) -> None:
    """However often it failed, the wait is at least nothing and at most the maximum."""
    assert 0 <= wait_secs(count, chance, max_secs=max_secs) <= max_secs


@given(failures, limits)
def test_jitter_is_full(count: int, max_secs: float) -> None:
    """The wait is spread evenly from zero on, or a fleet would come back all at once."""
    assert wait_secs(count, 0.0, max_secs=max_secs) == 0
    half, most = (wait_secs(count, chance, max_secs=max_secs) for chance in (0.5, 0.999999))
    assert abs(half - most / 2) < most / 1000


@given(st.integers(1, 16), limits)
def test_wait_doubles_until_the_maximum(count: int, max_secs: float) -> None:
    """Each failure doubles the longest wait, up to the maximum."""
    now, later = (wait_secs(n, 0.5, max_secs=max_secs) for n in (count, count + 1))
    assert later == min(2 * now, max_secs / 2)


@given(failures, chances, limits, st.floats(0, 600))
def test_server_is_not_asked_earlier_than_it_wants(
    count: int, chance: float, max_secs: float, retry_after: float
) -> None:
    """Retry-After is the least; the jitter comes on top."""
    plain = wait_secs(count, chance, max_secs=max_secs)
    assert wait_secs(count, chance, max_secs=max_secs, retry_after_secs=retry_after) == (
        retry_after + plain
    )


def test_absurd_retry_after_is_bounded() -> None:
    """A server that asks for ages, or for infinity, is asked again after ten minutes."""
    for secs in (1e9, float("inf")):
        assert wait_secs(1, 0.0, max_secs=30, retry_after_secs=secs) == 600
