"""Holes: which files are missing between those that are read."""

import pytest

from shipper.source.holes import Holes
from shipper.source.identity import Claim


def claim(sequence: int) -> Claim:
    """A file of a series; they are as old as their numbers say."""
    return Claim(f"key {sequence}", "base", None, sequence=sequence)


@pytest.mark.parametrize(
    ("given_up", "read", "expected"),
    [
        pytest.param([], [1, 1, 2, 3], [], id="nothing"),
        pytest.param([2], [1, 3, 4], [3], id="one"),
        pytest.param([2, 3, 4], [1, 5, 5, 6], [5], id="some"),
        pytest.param([2, 4], [1, 3, 3, 5], [3, 5], id="two places"),
        pytest.param([2], [1, 2, 3], [], id="it came back"),
        pytest.param([2, 3], [1, 3, 4], [3], id="one of two came back"),
        pytest.param([4], [1, 2, 3, 5], [5], id="not before the others are read"),
        pytest.param([2], [3, 1, 3], [3], id="an old one that is found late"),
    ],
)
def test_hole_is_between_the_files_that_are_read(
    given_up: list[int], read: list[int], expected: list[int]
) -> None:
    """It is there when the first file behind one that was given up is begun, and only then."""
    holes = Holes()
    holes.before(claim(1))
    for sequence in given_up:
        holes.add(claim(sequence))
    assert [number for number in read if holes.before(claim(number))] == expected
