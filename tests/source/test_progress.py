"""Progress: how far a series is read, told from its open files."""

import gzip
import os
import time

from shipper.source.losses import DELETED
from shipper.source.progress import lag_secs_of, only_grows, status_of
from tests.source.place import TEXT, Place


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
