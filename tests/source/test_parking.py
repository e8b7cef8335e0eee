"""Parking: which files may be closed for those who wait for a descriptor."""

import gzip
import os
from pathlib import Path

import pytest

from shipper.source.block import Limits
from shipper.source.descriptors import Descriptors
from shipper.source.discover import Series
from shipper.source.generations import Generations
from shipper.source.identity import Identity
from shipper.source.parking import is_idle, park
from tests.source.place import TEXT, Place


def test_file_may_be_closed_for_a_while_if_nothing_is_new(place: Place) -> None:
    """Not one that grew, that nobody could find again, or that is read just now."""
    tail = place.open("a.log", TEXT)
    assert is_idle(tail, [tail])
    tail.busy = True
    assert not is_idle(tail, [tail])
    tail.busy, tail.shown = False, False
    assert not is_idle(tail, [tail])
    tail.shown = True
    with place.live.open("ab") as file:
        file.write(b"more\n")
    assert not is_idle(tail, [tail])


def test_file_of_which_something_is_unread_is_not_closed(place: Place) -> None:
    """But for the half line at the end of a live file, with no older file open."""
    tail, older = place.open("a.log", TEXT), place.open("a.log.1", TEXT)
    older.offset = len(TEXT)
    assert is_idle(older, [older, tail])
    older.offset = 1
    assert is_idle(tail, [tail])
    assert not is_idle(tail, [older, tail])
    assert not is_idle(older, [older, tail])
    tail.delay(1)
    assert not is_idle(tail, [tail])


@pytest.mark.parametrize(
    ("name", "text", "idle"),
    [
        ("a.log", b"", True),
        ("a.log", b"half", True),
        ("a.log", TEXT, False),
        ("a.log.1", b"half", False),
        ("a.log.1.gz", gzip.compress(b"half"), False),
    ],
)
def test_file_without_a_key_is_closed_while_it_has_no_line(
    place: Place, name: str, text: bytes, *, idle: bool
) -> None:
    """A live one, that is: another one is looked at again until it is known."""
    tail = place.open(name, text, known=False)
    assert is_idle(tail, [tail]) == idle


def test_file_that_cannot_be_looked_at_is_not_idle(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does that end the agent."""
    tail = place.open("a.log", TEXT)

    def refuse(_: int) -> os.stat_result:
        raise OSError("stale")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fstat", refuse)
        assert not is_idle(tail, [tail])


def test_file_that_waits_for_a_key_is_tried_again(tmp_path: Path) -> None:
    """It is closed, not forgotten: what it is a copy of is known when it is opened again."""
    stem = tmp_path / "a.log"
    stem.write_bytes(TEXT)
    files = Generations(
        Series(str(stem), str(stem)),
        Limits(100, 100),
        identity=Identity("n", lambda _: []),
        descriptors=Descriptors(),
        on_deleted=lambda: None,
        on_gap=lambda: None,
    )
    files.refresh()
    (tail,) = files.tails
    tail.copy_of = "key"
    assert park(files) == 1
    assert (files.tails, list(files.aside.copied)) == ([], ["key"])
    files.retry()
    files.refresh()
    assert [tail.copy_of for tail in files.tails] == ["key"]
    files.close_all()
