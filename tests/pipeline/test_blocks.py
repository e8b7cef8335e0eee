"""A block is cut between lines, so that what is ordinary is apart from what is not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipper.pipeline.blocks import pieces, splicer_of, start_of_format
from tests.pipeline.lines import BLOCKS, UNENDED, docker
from tests.pipeline.lines_cri import CRI_PARTS, MIXED_BLOCKS, cri

ANY = BLOCKS | UNENDED | MIXED_BLOCKS | st.lists(CRI_PARTS, min_size=1).map(b"".join) | st.binary()
LINES = (docker("a\n"), cri("a"))
PART, OTHER_PART = cri("a", tags="P"), cri("a", tags="P:x", stream="stderr")


@given(ANY, st.sampled_from((1, 500)))
def test_pieces_are_the_block(block: bytes, times: int) -> None:
    """Put together, the pieces are the block; each but the last ends with a newline."""
    cut = pieces(block * times)
    assert b"".join(cut) == block * times
    assert all(piece.endswith(b"\n") for piece in cut[:-1])
    assert all(cut)


@given(ANY)
def test_a_format_starts_at_a_line(block: bytes) -> None:
    """What is skipped are whole lines of no format, and behind it is a line that begins as one."""
    start = start_of_format(block)
    assert start == 0 or start == len(block) or block[:start].endswith(b"\n")
    assert (splicer_of(block[start:]) is None) == (start == len(block))
    if start:
        assert splicer_of(block) is None


@pytest.mark.parametrize("line", LINES, ids=["docker", "cri"])
@pytest.mark.parametrize("odd", [b"odd\n", b"\n", b"\0\0", b"odd\n" * 1000], ids=range(4))
def test_what_is_of_no_format_is_skipped(line: bytes, odd: bytes) -> None:
    """The first line of a runtime is found behind lines of none; a hole is part of its line."""
    assert start_of_format(odd + line) == (len(odd) if odd.endswith(b"\n") else len(odd + line))
    assert start_of_format(odd + line + line) == len(odd) + (
        0 if odd.endswith(b"\n") else len(line)
    )


def test_parts_are_apart_from_ordinary_lines() -> None:
    """Parts go with the line behind them; pieces between them are ordinary."""
    runs, parts = LINES[1] * 9, PART + OTHER_PART + LINES[1]
    assert pieces(runs + parts + runs) == [runs, parts, runs]
    assert pieces(runs + parts + parts + runs) == [runs, parts + parts, runs]
    assert pieces(runs + PART) == [runs, PART]
    assert pieces(runs + PART + LINES[1].rstrip(b"\n")) == [runs, PART + LINES[1].rstrip(b"\n")]
    assert pieces(parts) == [parts]
    assert pieces(parts + runs) == [parts, runs]


@given(ANY)
def test_cutting_comes_to_an_end(block: bytes) -> None:
    """A small piece is not cut again: what was cut around parts is parts, or has none."""
    for piece in pieces(block):
        assert pieces(piece) == [piece]


def test_a_large_block_is_halved_and_a_small_one_is_not() -> None:
    """Without parts, a block is cut near its middle, unless its halves would be small."""
    line = docker("a" * 1000 + "\n")
    first, second = pieces(line * 200)
    assert abs(len(first) - len(second)) <= 2 * len(line)
    assert pieces(line * 20) == [line * 20]
    assert pieces(docker("a" * 500_000)) == [docker("a" * 500_000)]
