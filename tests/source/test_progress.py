"""Progress: how far a series is read, told from its open files."""

import gzip
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from shipper.buffer.spool import Spool
from shipper.metrics import Metrics
from shipper.source.block import Limits
from shipper.source.discover import Series
from shipper.source.identity import Identity
from shipper.source.losses import DELETED, Losses
from shipper.source.progress import is_idle, lag_secs_of, only_grows, status_of
from shipper.source.recognise import identify
from shipper.source.tail import Tail
from tests.source.running import config_of

TEXT = b"".join(b"line %d\n" % number for number in range(100))


class Place:
    """A directory with the files of a series, and its losses."""

    def __init__(self, root: Path) -> None:
        self.live = root / "a.log"
        self.series = Series(str(self.live), "/shown/a.log", "")
        self.identity = Identity("n", lambda _: [])
        self.spool = Spool(root, config_of(root, "/x").buffer, metrics=Metrics())
        self.losses = Losses(self.spool, self.identity)
        self.tails: list[Tail] = []

    def open(self, name: str, data: bytes, *, known: bool = True) -> Tail:
        """Write a file of the series, open it, and find out which it is."""
        path = self.live.with_name(name)
        path.write_bytes(data)
        tail = Tail(str(path), self.series.stem, limits=Limits(100, 100))
        self.tails.append(tail)
        tail.live = path == self.live
        tail.update()
        assert identify(tail, self.identity, final=True) if known else True
        return tail

    def close(self) -> None:
        for tail in self.tails:
            tail.close()
        self.spool.close()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """A place without files; what is open is closed at the end."""
    place = Place(tmp_path)
    try:
        yield place
    finally:
        place.close()


def test_series_is_told_file_by_file(place: Place) -> None:
    """Where each is, how long, how far it is read; lag is what is between, over all of them."""
    rotated, live = place.open("a.log.1", TEXT), place.open("a.log", TEXT[:50])
    block = rotated.read()
    assert block is not None
    told = status_of(place.series, place.tails, losses=place.losses, pending_bytes=7)
    first, second = told.files
    assert (first.path, first.size_bytes, first.read_bytes) == (rotated.path, len(TEXT), block.end)
    assert (second.path, second.size_bytes, second.read_bytes) == (live.path, 50, 0)
    assert (first.live, second.live) == (False, True)
    assert first.key != second.key != ""
    assert told.lag_bytes == len(TEXT) - block.end + 50
    assert (told.path, told.pending_bytes) == ("/shown/a.log", 7)


def test_file_without_a_name_is_held(place: Place) -> None:
    """Its unread bytes are those that are held."""
    tail = place.open("a.log", TEXT)
    os.unlink(tail.path)  # noqa: PTH108  # a path as it is told
    tail.update()
    told = status_of(place.series, place.tails, losses=place.losses, pending_bytes=0)
    assert [file.held for file in told.files] == [True]
    assert told.held_bytes == len(TEXT)


def test_compressed_file_is_as_long_as_what_it_holds(place: Place) -> None:
    """Once that is known, and as long as something of it is unread."""
    unknown = place.open("a.log.2.gz", gzip.compress(TEXT), known=False)
    told = status_of(place.series, [unknown], losses=place.losses, pending_bytes=0)
    assert (told.files[0].key, told.files[0].size_bytes, told.lag_bytes) == ("", 0, 0)
    known = place.open("a.log.1.gz", gzip.compress(TEXT))
    told = status_of(place.series, [known], losses=place.losses, pending_bytes=0)
    assert (told.files[0].size_bytes, told.lag_bytes) == (len(TEXT), len(TEXT))
    while known.read():
        pass
    told = status_of(place.series, [known], losses=place.losses, pending_bytes=0)
    assert (told.files[0].size_bytes, told.lag_bytes) == (0, 0)


def test_losses_are_those_of_the_series(place: Place) -> None:
    """Those of another one are none of its."""
    place.losses.abandon(place.series.stem, DELETED, size=3)
    place.losses.gap(place.series.stem)
    place.losses.abandon("/other.log", DELETED, size=5)
    told = status_of(place.series, [], losses=place.losses, pending_bytes=0)
    assert (told.abandoned_bytes, told.gaps, told.files) == (3, 1, ())


def test_lag_is_counted_from_the_first_unread_byte(place: Place) -> None:
    """A file that is read has none, whatever its age."""
    tail = place.open("a.log", TEXT)
    tail.behind_since = time.monotonic() - 60
    assert 60 <= lag_secs_of(tail) < 70
    tail.behind_since = None
    assert lag_secs_of(tail) == 0


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


def test_quiet_series_is_one_live_file(place: Place) -> None:
    """Which is identified, has its name, and waits for no moment."""
    tail = place.open("a.log", TEXT)
    assert only_grows([tail])
    tail.delay(1)
    assert not only_grows([tail])
    tail.due_at, tail.nameless = None, True
    assert not only_grows([tail])
    tail.nameless, tail.live = False, False
    assert not only_grows([tail])
    tail.live = True
    assert not only_grows([tail, place.open("a.log.1", TEXT + b"x")])
    assert not only_grows([])
