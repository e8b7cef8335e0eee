"""What a file name says of its place in a series: the path stem, and which generation it is.

Source: the suffixes of Docker, kubelet (`N.log.YYYYMMDD-HHMMSS`), logrotate (numbers, dates, hours,
Unix times), Python's, Java's and Go's handlers (`a.log.2026-11-23_10`, `a.log.2026-11-23.0`), and
the names that bring a date in front of the extension (`a-2026-11-23T10-11-12.123.log`, as of the
audit log of a Kubernetes API). There only a date with dashes is one: other digits may be anything.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

TEMPORARY = ".tmp"
"""Suffix of files that are being made: kubelet compresses into one, then renames it."""

_DASHED = r"(?:19|20)\d\d-\d\d-\d\d"
_DATE = rf"(?:\d{{8}}(?:\d\d){{0,3}}|{_DASHED})"
_MORE = r"(?:[-_.T]\d{1,10}){0,5}"  # the time of day, its fraction, a number
_ROTATED = (
    re.compile(rf"(?P<head>.+?)[-._](?P<date>{_DATE}{_MORE})"),
    re.compile(r"(?P<head>.+)\.(?P<number>\d{1,6})"),
    re.compile(r"(?P<head>.+)\.old"),
    re.compile(rf"(?P<head>.+?)[-._](?P<date>{_DASHED}{_MORE})(?P<extension>\.[A-Za-z]\w{{0,4}})"),
)
_DATED_INSIDE = re.compile(r"-\d\d-\d\d")
"""Begins with a character, which is ten times as fast to search for: scans ask for every name."""


@dataclass(frozen=True, slots=True, order=True)
class Generation:
    """What a file name says of its place in a series; sorts from the oldest to the live one.

    Attributes:
        live: The name has no rotation suffix.
        date: The numbers of a date, and of what follows it.
        minus_number: Of a numbered one, negative: `.2` is older than `.1`.
    """

    live: bool
    date: tuple[int, ...] = ()
    minus_number: int = 0


_LIVE = Generation(live=True)


def split_name(name: str) -> tuple[str, Generation]:
    """Split a file name into its stem and its generation: `a.log.2.gz` is `a.log` and number 2."""
    ends = name[-1:].isdigit() or name.endswith((".gz", ".old"))
    if not ends and _DATED_INSIDE.search(name) is None:
        return name, _LIVE
    head, generation = _split_once(name)
    while not generation.live:
        deeper, inner = _split_once(head)
        if inner.live:
            break
        head, generation = deeper, replace(generation, date=inner.date or generation.date)
    return head, generation


def _split_once(name: str) -> tuple[str, Generation]:
    plain = name.removesuffix(".gz")
    for pattern in () if plain.endswith(TEMPORARY) else _ROTATED:
        match = pattern.fullmatch(plain)
        if match is not None:
            found = match.groupdict("")
            date = tuple(map(int, re.findall(r"\d+", found.get("date", ""))))
            number = int(found.get("number", 0))
            return match["head"] + found.get("extension", ""), Generation(
                live=False, date=date, minus_number=-number
            )
    return plain, _LIVE if plain == name else Generation(live=False)
