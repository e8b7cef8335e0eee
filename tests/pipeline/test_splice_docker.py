"""The fast path takes blocks of ordinary lines only, and makes the reference path's documents."""

import json
import re
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shipper.pipeline import splice_docker
from shipper.pipeline.splice_docker import day_of, splice
from shipper.pipeline.timestamp import is_day
from tests.pipeline.lines import BLOCKS, CHANGED, DAY, ORDINARY, TIME, UNENDED, docker
from tests.pipeline.reference import documents_of, reference, spliced_by

spliced = partial(spliced_by, splice_docker)

MANY = settings(max_examples=max(1000, settings().max_examples))
"""There are many ways not to be ordinary."""

OFFSETS = st.integers(0, 1 << 50)
LINE = docker("a\n")

_ORDINARY = re.compile(
    rb'\{"log":("(?:[^"\\\x00-\x1f]|\\["\\/bfnrt]|\\u[0-9a-fA-F]{4})*(?<!\\)\\n")'
    rb',"stream":"(?:stdout|stderr)"'
    rb',"time":"(\d{4}-\d\d-\d\d)T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d\.\d{1,9}Z"\}\n'
)


def is_ordinary(block: bytes, day: str) -> bool:
    """Tell by a regular expression and the standard library, line by line, what splice may take."""
    lines = block.split(b"\n")
    return len(lines) > 1 and lines.pop() == b"" and all(_is_line(line, day) for line in lines)


def _is_line(line: bytes, day: str) -> bool:
    match = _ORDINARY.fullmatch(line + b"\n")
    try:
        return (
            match is not None
            and match[2] == day.encode()
            and bool(json.loads(match[1].decode()).encode())
        )
    except UnicodeError:  # no UTF-8, or half a surrogate pair
        return False


@pytest.mark.parametrize("block", [b"%b", b"%b" + LINE, LINE + b"%b"], ids=["alone", "1", "2"])
def test_one_change_is_seen_in_any_place(block: bytes) -> None:
    """A line with any one change is told from an ordinary one, alone, first or last."""
    for changed in CHANGED:
        _is_right(block.replace(b"%b", changed))


@MANY
@given(BLOCKS | UNENDED)
def test_a_block_is_taken_exactly_if_every_line_is_ordinary(block: bytes) -> None:
    """Splice takes what an oracle of another making calls ordinary, and nothing else."""
    _is_right(block)


def _is_right(block: bytes) -> None:
    made = spliced(block)
    assert (made is not None) == is_ordinary(block, DAY), block
    assert made is None or documents_of(made[0]) == reference(block)


@MANY
@given(BLOCKS, OFFSETS)
def test_fast_path_and_reference_path_make_the_same_documents(block: bytes, offset: int) -> None:
    """I5: What splice makes has the ids, actions, fields and order of the reference path."""
    made = spliced(block, offset)
    if made is None:
        return
    assert documents_of(made[0]) == reference(block, offset)
    assert made[1] == block.count(b"\n")


@given(st.lists(ORDINARY, min_size=1), OFFSETS)
def test_ordinary_blocks_take_the_fast_path(lines: list[bytes], offset: int) -> None:
    """Every block of what docker writes is taken, and the documents are the reference path's."""
    block = b"".join(lines)
    made = spliced(block, offset)
    assert made is not None
    assert documents_of(made[0]) == reference(block, offset)


@pytest.mark.parametrize("fraction", ["1", "123456789", "000000001"])
def test_a_moment_divides_blocks(fraction: str) -> None:
    """With a moment, a block is taken or dropped only if all its events are on one side of it."""
    old, new = docker("a\n"), docker("b\n", time=f"{DAY}T10:11:13.{fraction}Z")
    since = f"{DAY}T10:11:13Z"
    assert spliced(new + new, since=since) == spliced(new + new)
    assert spliced(old + old, since=since) == (b"", 0)
    assert spliced(old + new, since=since) is None
    assert spliced(new + old, since=since) is None
    assert spliced(new + old, since=TIME) == spliced(new + old)


NEEDLE = f'"x\\n","stream":"stdout","time":"{TIME}"'.encode()

TRAPS = {
    "empty block": b"",
    "only newlines": b"\n\n",
    "blank line": LINE + b"\n" + LINE,
    "leading blank line": b"\n" + LINE,
    "no final newline": LINE + LINE[:-1],
    "space made up for by the missing newline": LINE.replace(b'"time":', b'"time": ') + LINE[:-1],
    "newline made up for by the missing one": LINE.replace(b'"time":', b'"time":\n') + LINE[:-1],
    "two objects in a line": LINE[:-1] + LINE,
    "time first": f'{{"time":"{TIME}","log":"a\\n","stream":"stdout"}}\n'.encode(),
    "time second": f'{{"log":"a\\n","time":"{TIME}","stream":"stdout"}}\n'.encode(),
    "stream first": f'{{"stream":"stdout","log":"a\\n","time":"{TIME}"}}\n'.encode(),
    "log is an object": LINE.replace(b'"a\\n"', b'{"a":' + NEEDLE + b"}"),
    "stream as long as one of the two": LINE.replace(b"stdout", b"stdxxx"),
    "log is a list": LINE.replace(b'"a\\n"', b'["x\\n"]'),
    "log twice": LINE.replace(b'"log"', b'"log":"b\\n","log"'),
    "stream twice": LINE.replace(b'"stream"', b'"stream":"stderr","stream"'),
    "time twice": LINE.replace(b'"time"', f'"time":"{TIME}","time"'.encode()),
    "part": docker("a"),
    "part that ends in a backslash and an n": docker("a\\n"),
    "part between lines whose text looks like structure": LINE + docker("a") + LINE,
    "attrs": LINE.replace(b"}", b',"attrs":{"a":"b"}}'),
    "another day": LINE + docker("b\n", time="2026-11-24T00:00:00.1Z"),
    "no fraction": docker("a\n", time=f"{DAY}T10:11:12Z"),
    "ten digits": docker("a\n", time=f"{DAY}T10:11:12.0123456789Z"),
    "no such hour": docker("a\n", time=f"{DAY}T24:00:00.1Z"),
    "escape in time": docker("a\n", time=f"{DAY}T10:11:12.\\u0031Z"),
    "time goes on in text": docker("a\n", time=f'{TIME}\\"{TIME}'),
    "invalid UTF-8": docker("?\n").replace(b"?", b"\xff"),
    "half a surrogate pair": docker("\ud800\n"),
    "raw control character": docker("?\n").replace(b"?", b"\t"),
    "raw newline": docker("?\n").replace(b"?", b"\n"),
    "deeper than the stack": LINE.replace(b'"a\\n"', b"[" * 100_000),
}


@pytest.mark.parametrize("block", TRAPS.values(), ids=TRAPS.keys())
def test_what_only_looks_ordinary_is_left_to_the_reference_path(block: bytes) -> None:
    """No trap is taken, neither alone nor with ordinary lines on both sides."""
    assert spliced(block) is None
    assert spliced(LINE + block) is None or not block
    assert spliced(block + LINE) is None or not block


def test_prefix_and_suffix_are_taken_as_they_are() -> None:
    """Bytes that mean something to a format or a split go through prefix and suffix unchanged."""
    made = splice(LINE + LINE, 16, day=DAY, prefix=b"%x\0%", suffix=b"\0%d\n")
    body = (
        b'%x\0%10"}}\n{"log":"a\\n","stream":"stdout","@timestamp":"' + TIME.encode() + b'"\0%d\n'
    )
    second = body.replace(b"10", b"%x" % (16 + len(LINE)), 1)
    assert made == (body + second, 2)


@given(BLOCKS | st.binary())
def test_day_of_never_fails(block: bytes) -> None:
    """Any bytes have ten characters or fewer for a day, and only a date of the calendar is one."""
    day = day_of(block)
    assert len(day) <= 10
    assert not is_day(day) or re.fullmatch(r"\d{4}-\d\d-\d\d", day)
