"""The fast path takes blocks of ordinary lines only, and makes the reference path's documents."""

import re
from datetime import UTC, datetime
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shipper.pipeline import splice_cri
from shipper.pipeline.splice_cri import START, day_of, splice
from shipper.pipeline.timestamp import is_day
from tests.pipeline.lines import DAY, TIME, docker
from tests.pipeline.lines_cri import (
    CHANGED_CRI,
    CRI_BLOCKS,
    HOSTILE_CRI,
    ORDINARY_CRI,
    SAME_ZONE,
    ZONES,
    cri,
)
from tests.pipeline.reference import documents_of, reference_body, spliced_by

spliced = partial(spliced_by, splice_cri)

MANY = settings(max_examples=max(1000, settings().max_examples))
"""There are many ways not to be ordinary."""

OFFSETS = st.integers(0, 1 << 50)
BLOCKS = CRI_BLOCKS | CRI_BLOCKS.map(lambda block: block.removesuffix(b"\n"))
LINE = cri("a")

_ORDINARY = re.compile(
    r"((\d{4}-\d\d-\d\d)T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d)(?:\.\d{1,9})?"
    r"(Z|[+-](?:[01]\d|2[0-3]):[0-5]\d) (?:stdout|stderr) F [^\n\x7f]*",
    re.ASCII,
)


def is_ordinary(block: bytes, day: str) -> bool:
    """Tell by a regular expression and the standard library, line by line, what splice may take."""
    try:
        *lines, end = block.decode().split("\n")
        heads = [_ORDINARY.fullmatch(line) for line in lines]
        alike = {(head[2], head[3]) for head in heads if head}
        moments = [datetime.fromisoformat(f"{head[1]}{head[3]}") for head in heads if head]
        days = {moment.astimezone(UTC).date().isoformat() for moment in moments}
    except (ValueError, OverflowError):  # no UTF-8, no such date
        return False
    return not end and all(heads) and len(alike) == 1 and days == {day}


@pytest.mark.parametrize("block", [b"%b", b"%b" + LINE, LINE + b"%b"], ids=["alone", "1", "2"])
def test_one_change_is_seen_in_any_place(block: bytes) -> None:
    """A line with any one change is told from an ordinary one, alone, first or last."""
    for changed in CHANGED_CRI:
        _is_right(block.replace(b"%b", changed))


@MANY
@given(BLOCKS, OFFSETS)
def test_a_block_is_taken_exactly_if_every_line_is_ordinary(block: bytes, offset: int) -> None:
    """I5: Splice takes what another oracle calls ordinary, and is right to the byte."""
    _is_right(block, offset)


@pytest.mark.parametrize("zone", ZONES)
def test_any_zone_is_taken(zone: str) -> None:
    """A node's zone does not send its lines down the slow path, unless another day begins."""
    line = cri("a", time=TIME.replace("Z", zone))
    day = day_of(line)
    assert spliced(line * 2, day=day) is not None
    assert spliced(line + LINE, day=day) is None or zone == "Z"
    _is_right(line * 2, day=day)


def _is_right(block: bytes, offset: int = 0, *, day: str = DAY) -> None:
    made = spliced(block, offset, day=day)
    assert (made is not None) == is_ordinary(block, day), block
    if made is not None:
        assert made == (reference_body(block, offset), block.count(b"\n"))


@given(st.lists(ORDINARY_CRI, min_size=1) | SAME_ZONE, OFFSETS)
def test_ordinary_blocks_take_the_fast_path(lines: list[bytes], offset: int) -> None:
    """Every block of lines of one zone is taken, on its own day, unless the day changes in it."""
    block = b"".join(lines)
    day = day_of(block)
    made = spliced(block, offset, day=day)
    assert START.match(block)
    if all(day_of(line) == day for line in lines):
        assert made == (reference_body(block, offset), len(lines))
    else:
        assert made is None


@given(st.lists(ORDINARY_CRI, min_size=1), st.data())
def test_a_moment_divides_blocks(lines: list[bytes], data: st.DataObject) -> None:
    """With a moment, a block is taken or dropped only if all its events are on one side of it."""
    times = [line.split(b" ")[0].decode() for line in lines]
    since = data.draw(st.sampled_from(times))
    old = [_moment(time) < _moment(since) for time in times]
    made = spliced(b"".join(lines), since=since)
    if any(old):
        assert made == ((b"", 0) if all(old) else None)
    else:
        assert made == spliced(b"".join(lines))


def _moment(time: str) -> tuple[str, str]:
    seconds, _, fraction = time.removesuffix("Z").partition(".")
    return seconds, fraction.ljust(9, "0")


TRAPS = {
    "empty block": b"",
    "only newlines": b"\n\n",
    "blank line": LINE + b"\n" + LINE,
    "leading blank line": b"\n" + LINE,
    "no final newline": LINE + LINE[:-1],
    "no newline but a DEL": LINE + LINE.replace(b"\n", b"\x7f"),
    "DEL for a newline": LINE.replace(b"\n", b"\x7f") + LINE,
    "a head in the text of one, none in the next": cri("x" + LINE[:-1].decode()) + b"a\n",
    "no blank before an empty text": cri("").replace(b" \n", b"\n"),
    "part": cri("a", tags="P"),
    "more tags": cri("a", tags="F:x"),
    "another day": LINE + cri("b", time="2026-11-24T00:00:00.1Z"),
    "another zone": LINE + cri("b", time=TIME.replace("Z", "+00:00")),
    "docker": LINE + docker("a\n"),
    "invalid UTF-8": LINE.replace(b"a", b"\xff"),
    "half a surrogate pair": LINE.replace(b"a", b"\xed\xa0\x80"),
    "behind a NUL": b"\0" + LINE,
    "behind a carriage return": b"\r" + LINE,
}


@pytest.mark.parametrize("block", TRAPS.values(), ids=TRAPS.keys())
def test_what_only_looks_ordinary_is_left_to_the_reference_path(block: bytes) -> None:
    """No trap is taken, neither alone nor with ordinary lines on both sides."""
    assert spliced(block) is None
    assert spliced(LINE + block) is None or not block
    assert spliced(block + LINE) is None or not block.endswith(b"\n")


def test_prefix_and_suffix_are_taken_as_they_are() -> None:
    """Bytes that mean something to a format or a split go through prefix and suffix unchanged."""
    made = splice(LINE + LINE, 16, day=DAY, prefix=b"%x\0%", suffix=b"\0%d\n")
    body = b'%x\0%10"}}\n{"log":"a","stream":"stdout","@timestamp":"' + TIME.encode() + b'"\0%d\n'
    second = body.replace(b"10", b"%x" % (16 + len(LINE)), 1)
    assert made == (body + second, 2)


def test_every_control_character_is_escaped_as_by_the_reference_path() -> None:
    """Quotes, backslashes and all control characters but newline and DEL take the fast path."""
    text = "".join(map(chr, range(0x300))).replace("\n", "").replace("\x7f", "")
    block = cri(text) + cri(text[::-1], stream="stderr")
    made = spliced(block)
    assert made == (reference_body(block), 2)
    assert [document.source["log"] for document in documents_of(made[0])] == [text, text[::-1]]


@given(CRI_BLOCKS | HOSTILE_CRI | st.binary())
def test_day_of_never_fails(block: bytes) -> None:
    """Any bytes have a day or none, and a day is a date of the calendar."""
    day = day_of(block)
    assert not day or is_day(day)
    assert START.match(block) or not day
