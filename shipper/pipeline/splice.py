"""What the fast paths share: a block's values, found for all its lines at once, become bulk lines.

A fast path takes a block only if every line is ordinary for its format, and makes of it, to the
byte where escapes allow, what the reference path makes of each line.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import msgspec

from shipper.pipeline.encode import ACTION_END

Values = Sequence[bytes] | Sequence[msgspec.Raw]


class Splicer(Protocol):
    """A format's fast path."""

    @property
    def START(self) -> re.Pattern[bytes]:  # noqa: N802  # a constant of the module
        """What a line of the format begins with: where one is, a try is worth it."""

    def day_of(self, block: bytes) -> str:
        """Return the UTC day of the first line, YYYY-MM-DD; anything if it has none."""

    def splice(
        self, block: bytes, offset: int, *, day: str, prefix: bytes, suffix: bytes, since: bytes
    ) -> tuple[bytes, int] | None:
        """Turn a block of ordinary lines of one day into bulk lines, or return None.

        Args:
            block: Whole lines; an end without newline is not ordinary.
            offset: Of the block in its file.
            day: YYYY-MM-DD, that all lines must be of, in UTC; digits and dashes only.
            prefix: Action line up to the offset (`route.action_prefix`).
            suffix: What closes every document of the file (`enrich.suffix_of`).
            since: `timestamp.comparable`; empty, or all lines must be on one side of it.

        Returns:
            The bulk lines and the number of documents, none where all lines are before `since`;
            or None where any line is not ordinary.
        """


class Columns(NamedTuple):
    """The values of the lines of a block, and what stands around them.

    Attributes:
        logs: What follows `to_log`.
        marks: What stands between text and time.
        times: What follows them.
        to_log: A document up to its text.
    """

    logs: Values
    marks: Sequence[bytes]
    times: Values
    to_log: bytes


def weave(columns: Columns, starts: tuple[int, ...], *, prefix: bytes, end: bytes) -> bytes:
    """Return the bulk lines of a block, made of its columns.

    Args:
        columns: As long as `starts`, which is not empty.
        starts: Offset of each line.
        prefix: Action line up to the offset (`route.action_prefix`).
        end: What follows each time.
    """
    count = len(starts)
    # One format for all offsets takes half the time of one each.
    heads = (b"%b%b\0" % (ACTION_END, columns.to_log)) * count % starts
    pieces: list[bytes | msgspec.Raw] = [end + prefix] * (5 * count)
    pieces[0] = prefix
    pieces[1::5] = heads.split(b"\0")[:-1]
    pieces[2::5] = columns.logs
    pieces[3::5] = columns.marks
    pieces[4::5] = columns.times
    pieces.append(end)
    return b"".join(pieces)


def is_before(times: Sequence[bytes], since: bytes) -> bool | None:
    """Tell whether all of these times are before `since`, or none (False), or only some (None).

    Args:
        times: UTC, all in the form of `timestamp.comparable`, zeros at their ends allowed.
        since: In that form.
    """
    if max(times) < since:
        return True
    return None if min(times) < since else False
