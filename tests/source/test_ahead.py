"""Ahead: a search that goes on where it stopped, and is bounded each time."""

import gzip
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipper.source.ahead import Ahead
from shipper.source.content import Gzip, Plain

BLOCK_BYTES = 100
AT_ONCE = 16 * BLOCK_BYTES
"""What one call looks at."""


@contextmanager
def searching(path: Path, data: bytes, *, compressed: bool = False) -> Iterator[Ahead]:
    """Write a file, and search in it."""
    path.write_bytes(gzip.compress(data) if compressed else data)
    fd = os.open(path, os.O_RDONLY)
    try:
        content = Gzip(fd) if compressed else Plain(fd)
        yield Ahead(content, block_bytes=BLOCK_BYTES)
    finally:
        os.close(fd)


@pytest.mark.parametrize("compressed", [True, False], ids=["gz", "plain"])
@given(before=st.integers(0, 5 * AT_ONCE), behind=st.integers(0, 2 * BLOCK_BYTES))
def test_newline_is_found_however_far_it_is(
    tmp_path_factory: pytest.TempPathFactory, before: int, behind: int, *, compressed: bool
) -> None:
    """In as many bounded steps as it takes, each of which says that there is more to look at."""
    data = b"x" * before + b"\n" + b"y\n" * behind
    with searching(tmp_path_factory.mktemp("ahead") / "a", data, compressed=compressed) as ahead:
        steps = 0
        while not (found := ahead.newline()):
            steps += 1
            assert ahead.under_way
            assert ahead.reached == steps * AT_ONCE
        assert found == before + 1
        assert steps == before // AT_ONCE
        assert not ahead.under_way


@given(nuls=st.integers(0, 5 * AT_ONCE), start=st.integers(0, 2 * AT_ONCE))
def test_data_is_found_behind_any_hole(
    tmp_path_factory: pytest.TempPathFactory, nuls: int, start: int
) -> None:
    """Zeros that were written, or never, are passed; where there is data at once, it is that."""
    data = b"a" * start + b"\0" * nuls + b"data\n"
    with searching(tmp_path_factory.mktemp("ahead") / "a", data) as ahead:
        steps = 0
        while (found := ahead.data(start)) < 0:
            steps += 1
            assert ahead.under_way
        assert found == start + nuls
        assert steps <= nuls // AT_ONCE
        assert not ahead.under_way


def test_hole_of_a_terabyte_is_passed_at_once(tmp_path: Path) -> None:
    """Where the disk says what was never written, nothing of that is read."""
    size = 1 << 40
    path = tmp_path / "a"
    with searching(path, b"") as ahead:
        os.truncate(path, size)
        with path.open("r+b") as file:
            file.seek(size)
            file.write(b"a\n")
        assert ahead.data(0) == size


def test_search_goes_on_when_the_file_has_grown(tmp_path: Path) -> None:
    """At the end of what is there it rests: nothing is under way, and nothing is read twice."""
    path = tmp_path / "a"
    with searching(path, b"x" * 250) as ahead:
        assert (ahead.newline(), ahead.under_way, ahead.reached) == (0, False, 250)
        assert (ahead.newline(), ahead.under_way, ahead.reached) == (0, False, 250)
        with path.open("ab") as file:
            file.write(b"x" * 250 + b"\n")
        assert ahead.newline() == 501


def test_zeros_at_the_end_are_not_passed(tmp_path: Path) -> None:
    """A writer may have reserved them: only what follows them says that they are a hole."""
    path = tmp_path / "a"
    with searching(path, b"\0" * 250) as ahead:
        assert (ahead.data(0), ahead.under_way, ahead.reached) == (-1, False, 250)
        with path.open("ab") as file:
            file.write(b"line\n")
        assert ahead.data(0) == 250
