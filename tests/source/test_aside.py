"""Aside: a file that cannot be read is tried again, later and later, and never given up."""

import time

import pytest

from shipper.source.aside import Aside
from shipper.source.directory import Found

PLAIN, GZIP = Found("/a.log", (1, 2, 50, 0)), Found("/a.log.1.gz", (1, 3, 50, 0))


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The process's clock, standing still."""
    clock = Clock()
    monkeypatch.setattr(time, "monotonic", clock)
    return clock


@pytest.mark.parametrize(("file", "longest"), [(PLAIN, 30.0), (GZIP, 300.0)], ids=["plain", "gz"])
def test_delay_doubles_up_to_its_limit(clock: Clock, file: Found, longest: float) -> None:
    """Each failure doubles the wait; a compressed file, which is read whole, waits longer."""
    aside, waited = Aside(), list[float]()
    while longest not in waited:
        waited.append(aside.add(file))
        assert not aside.is_due(file)
        clock.now += waited[-1]
        assert aside.is_due(file)
    assert waited == [min(longest, 2.0**n) for n in range(len(waited))]
    assert aside.add(file) == longest


def test_compressed_file_that_grew_is_tried_at_once() -> None:
    """A `.gz` in the making is worth a try when there is more of it; the same one is not."""
    aside = Aside()
    aside.add(GZIP)
    assert not aside.is_due(GZIP)
    assert aside.is_due(Found(GZIP.path, (1, 3, 60, 0)))


def test_plain_file_that_grew_waits() -> None:
    """A file that cannot be read is not tried with each line that is written to it."""
    aside = Aside()
    aside.add(PLAIN)
    assert not aside.is_due(Found(PLAIN.path, (1, 2, 60, 0)))


def test_new_file_in_the_inode_of_another_is_tried_at_once() -> None:
    """An inode is used again at once: what was set aside is a name and an inode together."""
    aside = Aside()
    aside.add(PLAIN)
    assert aside.is_due(Found("/a.log.1", PLAIN.signature))
    assert aside.is_due(Found(PLAIN.path, (1, 9, 50, 0)))


def test_files_that_are_gone_are_forgotten() -> None:
    """What has no name any more takes no room here, and counts for nothing."""
    aside = Aside()
    aside.add(PLAIN)
    aside.add(GZIP)
    aside.keep([GZIP])
    assert aside.is_due(PLAIN)
    assert not aside.is_due(GZIP)
    assert aside.unknown
    aside.keep([])
    assert not aside


def test_what_can_be_read_again_is_not_aside() -> None:
    """It counts for nothing then; if it cannot after all, it waits for longer."""
    aside = Aside()
    secs = aside.add(GZIP)
    assert (aside.unknown, aside.is_hopeful(secs)) == ([GZIP.path], True)
    aside.opened(GZIP)
    assert (aside.unknown, aside.is_hopeful(secs)) == ([], False)
    assert aside.add(GZIP) > secs
    assert (aside.unknown, aside.is_hopeful(secs)) == ([GZIP.path], False)


def test_copies_are_remembered() -> None:
    """Whose copy a file is does not have to be found out again, unless it is gone meanwhile."""
    aside = Aside()
    aside.add(GZIP, copy_of="k")
    assert aside
    assert not aside.unknown
    assert list(aside.copied) == ["k"]
    aside.keep([GZIP])
    assert (aside.opened(GZIP), aside.opened(GZIP)) == ("k", "")
    aside.add(GZIP, copy_of="k")
    aside.keep([])
    assert not aside.copied


def test_all_are_tried_when_something_changed() -> None:
    """A change beside them lets all be tried at once, as if they had never failed."""
    aside = Aside()
    aside.add(PLAIN)
    aside.clear()
    assert aside.is_due(PLAIN)
    assert aside.add(PLAIN) == 1.0
