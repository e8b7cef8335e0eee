"""Event times: RFC 3339 text in UTC, with the nanoseconds that the runtime wrote.

Times stay text from the log file to the document: nothing is rounded. An offset is converted to
UTC, because the index of the day is chosen by the UTC date.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime

CLOCK = r"(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d"
"""Pattern of a time of day, without its fraction; a leap second is not one (Elasticsearch
refuses it)."""

_RFC3339 = re.compile(
    rf"(\d{{4}}-\d\d-\d\d)T({CLOCK})(\.\d{{1,9}})?(Z|[+-](?:[01]\d|2[0-3]):[0-5]\d)", re.ASCII
)


def is_day(text: str) -> bool:
    """Tell whether `text` is a date of the calendar, written YYYY-MM-DD."""
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def to_utc(text: str) -> str | None:
    """Return an RFC 3339 time in UTC with its fraction untouched, or None if it is not one.

    Source: https://www.rfc-editor.org/rfc/rfc3339#section-5.6, upper case only, as the runtimes
        write it and Elasticsearch's strict_date_optional_time reads it.
    """
    match = _RFC3339.fullmatch(text)
    if match is None or not is_day(match[1]):
        return None
    if match[4] == "Z":
        return text
    try:
        moment = datetime.fromisoformat(f"{match[1]}T{match[2]}{match[4]}").astimezone(UTC)
    except OverflowError:
        return None
    return f"{moment.replace(tzinfo=None).isoformat()}{match[3] or ''}Z"


def comparable(time: str) -> str:
    """Return a UTC time as the text that other times, without their `Z`, are less than if before.

    Without the `Z`, a fraction follows its second, and a longer fraction its beginning; without
    zeros at the end of the right side, a time of the same moment is not less.

    Args:
        time: RFC 3339, ending in `Z`, with a fraction of any length.
    """
    seconds, _, fraction = time.removesuffix("Z").partition(".")
    return f"{seconds}.{fraction.rstrip('0')}".rstrip(".")
