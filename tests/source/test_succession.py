"""Succession: a gap is told where nothing proves that none is there, and nowhere else."""

import gzip
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from shipper.source.block import Limits
from shipper.source.identity import Identity
from shipper.source.recognise import identify
from shipper.source.succession import Succession
from shipper.source.tail import Tail


class Series:
    """A series in a directory, which of its files are open, and what is thought of their order."""

    def __init__(self, directory: Path) -> None:
        self.live = directory / "a.log"
        self.rotated = directory / "a.log.1"
        self.succession = Succession(str(self.live))
        self.identity = Identity("n", lambda _: [])
        self.open: list[Tail] = []

    def looks(self, *paths: Path, keep: bool = True) -> Path | None:
        """Look at these files, oldest first; returns the one before which there is a gap.

        With `keep` what was open stays open.
        """
        before = list(self.open)
        known = {tail.hint: tail for tail in before}
        shown = [self._shown(path, known) for path in paths]
        places = {tail.hint for tail in shown}
        first = self.succession.gap_before(before, shown, places=places, copied=())
        self.open = [*(t for t in before if t not in shown and keep), *shown]
        for tail in before:
            if tail not in self.open:
                tail.close()
        return Path(first.path) if first else None

    def _shown(self, path: Path, known: dict[tuple[int, int], Tail]) -> Tail:
        tail = Tail(str(path), str(self.live), limits=Limits(4096, 4096))
        if tail.hint in known:
            tail.close()
            tail = known[tail.hint]
            tail.path = str(path)
        tail.update()
        identify(tail, self.identity, final=False)
        return tail


@pytest.fixture
def series(tmp_path: Path) -> Iterator[Series]:
    """A series with a live file that was seen."""
    series = Series(tmp_path)
    series.live.write_text("one\n")
    assert series.looks(series.live) is None
    yield series
    for tail in series.open:
        tail.close()


def test_first_look_tells_nothing(tmp_path: Path) -> None:
    """What was before the first file that is seen was never this agent's."""
    series = Series(tmp_path)
    series.live.write_text("two\n")
    series.rotated.write_text("one\n")
    assert series.looks(series.rotated, series.live) is None
    for tail in series.open:
        tail.close()


def renamed(series: Series) -> list[Path]:
    series.live.rename(series.rotated)
    series.live.write_text("two\n")
    return [series.rotated, series.live]


def renamed_twice(series: Series) -> list[Path]:
    oldest = series.live.with_name("a.log.2")
    series.live.rename(oldest)
    series.rotated.write_text("two\n")
    series.live.write_text("three\n")
    return [oldest, series.rotated, series.live]


def replaced(series: Series) -> list[Path]:
    new = series.live.with_name("new")
    new.write_text("two\n")
    new.replace(series.live)
    return [series.live]


def compressed(series: Series) -> list[Path]:
    archive = series.live.with_name("a.log.2.gz")
    archive.write_bytes(gzip.compress(series.live.read_bytes()))
    series.live.unlink()
    series.rotated.write_text("two\n")
    series.live.write_text("three\n")
    return [archive, series.rotated, series.live]


@pytest.mark.parametrize("change", [renamed, renamed_twice, replaced, compressed])
def test_files_that_follow_the_newest_leave_no_gap(
    series: Series, change: Callable[[Series], list[Path]]
) -> None:
    """Where the newest one has any name, or was open and is replaced, nothing is missing."""
    assert series.looks(*change(series)) is None


def test_rotated_file_after_a_deleted_one_is_a_gap(series: Series) -> None:
    """If the newest one is gone and another one was rotated already, more may have been between."""
    replaced(series)
    series.live.rename(series.rotated)
    series.live.write_text("three\n")
    assert series.looks(series.rotated, series.live) == series.rotated
    assert series.looks(series.rotated, series.live) is None, "it is told once"


def test_newest_that_was_closed_and_is_gone_is_a_gap(series: Series) -> None:
    """A file that was not open could be replaced any number of times."""
    series.looks(series.live)
    closed = series.open.pop()
    closed.close()
    replaced(series)
    assert series.looks(series.live) == series.live


def test_inode_of_a_closed_file_proves_nothing(series: Series) -> None:
    """A file that was closed without a name is not there again because its inode is in use."""
    place = series.open[0].hint
    series.open.pop().close()
    series.succession.lost(place)
    assert series.looks(series.live) == series.live


def test_file_that_was_live_between_two_looks_is_the_newest(series: Series) -> None:
    """What is seen first when it is rotated is followed by the next live file without a gap."""
    series.live.rename(series.live.with_name("a.log.2"))
    series.rotated.write_text("two\n")
    assert series.looks(series.live.with_name("a.log.2"), series.rotated) is None
    first = series.open.pop(0)
    series.succession.lost(first.hint)
    first.close()
    series.live.write_text("three\n")
    assert series.looks(series.rotated, series.live) is None
