"""Times stay text, to the nanosecond, and become UTC."""

import re
from datetime import UTC, date, datetime, time, timedelta, timezone

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shipper.pipeline.timestamp import comparable, is_day, to_utc

FRACTIONS = st.from_regex(r"(\.[0-9]{1,9})?", fullmatch=True)
CLOCKS = st.times().map(lambda clock: clock.replace(microsecond=0))


@given(st.dates(), CLOCKS, FRACTIONS)
def test_utc_goes_through_as_it_is(day: date, clock: time, fraction: str) -> None:
    """A time that ends in Z is returned unchanged, whatever its fraction."""
    text = f"{day.isoformat()}T{clock.isoformat()}{fraction}Z"
    assert to_utc(text) == text


@given(st.datetimes(), FRACTIONS, st.integers(-1439, 1439))
def test_an_offset_is_converted(moment: datetime, fraction: str, minutes: int) -> None:
    """A time with an offset becomes the same moment in UTC, its fraction untouched."""
    local = moment.replace(microsecond=0, tzinfo=timezone(timedelta(minutes=minutes)))
    hours, rest = divmod(abs(minutes), 60)
    offset = f"{'-' if minutes < 0 else '+'}{hours:02d}:{rest:02d}"
    made = to_utc(f"{local.replace(tzinfo=None).isoformat()}{fraction}{offset}")
    try:
        expected = local.astimezone(UTC).replace(tzinfo=None).isoformat()
    except OverflowError:
        assert made is None
    else:
        assert made == f"{expected}{fraction}Z"


@pytest.mark.parametrize(
    "text",
    [
        *("", "yesterday", "2026-11-23", "2026-11-23T10:11:12", "2026-11-23T10:11:12.Z"),
        *("2026-11-23T10:11:12.0123456789Z", "2026-11-23T10:11:12z", "2026-11-23t10:11:12Z"),
        *("2026-11-23 10:11:12Z", "2026-11-23T24:00:00Z", "2026-11-23T10:60:00Z"),
        *("2026-11-23T23:59:60Z", "2026-02-29T10:11:12Z", "0000-01-01T10:11:12Z"),
        *("2026-W47-1T10:11:12Z", "2026-11-23T10:11:12+24:00", "2026-11-23T10:11:12+0100"),
        *("2026-11-23T10:11:12Z\n", " 2026-11-23T10:11:12Z", "2026-11-23T10:11:1\u0662Z"),
        *("0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01:00"),
    ],
)
def test_what_elasticsearch_would_refuse_is_no_time(text: str) -> None:
    """Anything that is not RFC 3339 with at most nine digits, of a real moment, is refused."""
    assert to_utc(text) is None


@given(st.from_regex(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-2][0-9]:[0-6][0-9]:[0-6][0-9]\S{1,9}"))
@example("0999-12-31T23:00:00-01:00")
def test_what_comes_out_always_has_the_form(text: str) -> None:
    """A time that is taken ends in Z and begins with a date of the calendar."""
    made = to_utc(text)
    if made is not None:
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z", made, re.ASCII)
        assert is_day(made[:10])


@given(st.dates())
def test_each_date_is_a_day(day: date) -> None:
    """Every date of the calendar is one, written as YYYY-MM-DD."""
    assert is_day(day.isoformat())


@pytest.mark.parametrize(
    "text",
    ["", "20261123", "2026-W47-1", "2026-02-29", "2026-13-01", "2026-11-23T", "2026-11-2\u0663"],
)
def test_what_is_no_date_is_no_day(text: str) -> None:
    """Other forms of ISO 8601 and dates that do not exist are no day."""
    assert not is_day(text)


_ALIKE = st.sampled_from(("10:11:10", "10:11:12"))
_DIGITS = st.text("0015", max_size=9)


@given(_ALIKE, _DIGITS, _ALIKE, st.text("0015", max_size=20))
def test_times_compare_as_moments(clock: str, digits: str, other: str, more: str) -> None:
    """A time is less than a comparable one exactly if it is before it, to any digit."""
    time, since = (
        f"2026-11-23T{c}{'.' * bool(d)}{d}Z" for c, d in ((clock, digits), (other, more))
    )
    before = (clock, digits.ljust(20, "0")) < (other, more.ljust(20, "0"))
    assert (time[:-1] < comparable(since)) == before
