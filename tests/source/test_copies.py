"""Copies: what a file has to be like to take another one's place."""

import gzip
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from shipper.model import Position
from shipper.source.block import Limits
from shipper.source.copies import is_copy, is_short_copy, is_unseen
from shipper.source.tail import Tail
from shipper.source.unidentified import begins_like, waits_for_plain

TEXT = b"".join(b"line %d\n" % number for number in range(300))
LIMITS = Limits(1 << 16, 1 << 16)


@contextmanager
def opened(directory: Path, **files: bytes) -> Iterator[list[Tail]]:
    """Open files of one series with these contents, by the ends of their names."""
    tails = []
    for name, data in files.items():
        path = directory / f"a.log{name.replace('_', '.')}"
        path.write_bytes(gzip.compress(data) if name.endswith("gz") else data)
        tails.append(Tail(str(path), "/a.log", limits=LIMITS))
    try:
        for tail in tails:
            tail.update()
        yield tails
    finally:
        for tail in tails:
            tail.close()


def test_copy_is_told_by_the_bytes(tmp_path: Path) -> None:
    """It is as long as its original at most, and ends like that does there."""
    files = {"": TEXT, "_1": TEXT[:2000], "_2": TEXT + b"more\n", "_3": b"line 0\nx\n", "_4": b""}
    with opened(tmp_path, **files) as (original, *others):
        assert [is_copy(t, original, within_secs=9) for t in others] == [True, False, False, False]
        assert not is_copy(others[0], original, within_secs=0), "it would have been truncated"


@pytest.mark.parametrize("name", ["_1", "_1_gz"])
def test_copy_of_what_is_truncated_is_told_by_what_was_read(tmp_path: Path, name: str) -> None:
    """What was read last of the original is still known; one that goes on differently is none."""
    others = {name: TEXT, "_2": TEXT[:2000], "_3": TEXT[:1500] + TEXT[:800], "_4": TEXT[:300]}
    with opened(tmp_path, **{"": TEXT}, **others) as (original, *tails):
        while original.read():
            pass
        os.truncate(original.path, 0)
        assert [is_copy(t, original, within_secs=9) for t in tails] == [True, True, False, False]


def test_copy_of_what_was_written_after_a_truncation_waits(tmp_path: Path) -> None:
    """Until the original is opened anew, nobody can tell whose lines these are."""
    with opened(tmp_path, **{"": TEXT}, _1=TEXT[:900], _2=TEXT[90:99]) as (original, copy, other):
        while original.read():
            pass
        assert not is_unseen(copy, [copy, original])
        Path(original.path).write_bytes(TEXT[:1000])
        tails = [copy, other, original]
        assert [is_unseen(tail, tails) for tail in tails] == [True, False, False]


def test_of_several_copies_the_longest_goes_first(tmp_path: Path) -> None:
    """One that ends before a position waits for the others, but not for its own `.gz`."""
    files = {"_1": TEXT[:100], "_2": TEXT[:200], "_3_gz": TEXT, "_1_gz": TEXT[:100]}
    with opened(tmp_path, **files) as tails:
        first, second, packed, own = tails
        after = Position(250, {}, "")
        assert is_short_copy(first, after, tails=tails)
        for tail in (first, second, own):
            tail.copy_of = "k"
        assert not is_short_copy(first, after, tails=tails)
        assert is_short_copy(second, after, tails=[first, second])
        assert is_short_copy(first, after, tails=[first, own])
        packed.copy_of = "k"
        assert not is_short_copy(second, after, tails=tails)


def test_compressed_file_waits_for_the_one_it_was_made_of(tmp_path: Path) -> None:
    """While `X` is not identified, what `X.gz` is cannot be told."""
    with opened(tmp_path, _1=TEXT, _1_gz=TEXT, _2_gz=TEXT) as tails:
        assert [waits_for_plain(tail, tails) for tail in tails[1:]] == [True, False]


@pytest.mark.parametrize(
    ("data", "waits"), [(TEXT, True), (TEXT[:20], True), (TEXT + b"x\n", False), (b"x\n", False)]
)
def test_compressed_file_waits_for_a_deleted_one_that_it_may_be_made_of(
    tmp_path: Path, data: bytes, *, waits: bool
) -> None:
    """Rotations may have given it another number than the file had when that was seen last."""
    with opened(tmp_path, _1=TEXT, _4_gz=data) as (plain, tail):
        assert not waits_for_plain(tail, [plain, tail]), "it is there, under another name"
        plain.shown = False
        assert waits_for_plain(tail, [plain, tail]) == waits


def test_files_that_begin_alike(tmp_path: Path) -> None:
    """The first lines decide; an empty file begins like none."""
    with opened(tmp_path, **{"": TEXT, "_1": b"line 0\nx\n", "_2": b"x\n", "_3": b""}) as tails:
        assert [begins_like(tails[0], t) for t in tails[1:]] == [True, False, False]
