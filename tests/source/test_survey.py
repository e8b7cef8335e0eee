"""Survey: what a scan would find, also where none is made because nothing has a new name."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from shipper.config import SourceConfig
from shipper.source.discover import Scan, scan
from shipper.source.survey import Survey
from tests.cost import costs
from tests.source.faulty import Faulty

TICK_SECS = 0.02
"""Longer than the tick by which file systems note times."""


class Place:
    """A directory with logs in it, a link to one elsewhere, and a survey of it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.logs = root / "logs"
        pods = root / "pods"
        for path in (
            self.logs / "a.log",
            self.logs / "x" / "b.log",
            pods / "0.log",
            pods / "1.log",
        ):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("line\n")
        (root / "middle.log").symlink_to(root / "pods" / "0.log")
        (self.logs / "link.log").symlink_to(root / "middle.log")
        (self.logs / "broken.log").symlink_to(root / "missing.log")
        self.sources = [
            SourceConfig(paths=[f"{self.logs}/*.log", f"{self.logs}/x", f"{self.logs}/named"])
        ]
        self.survey = Survey(self.sources)

    def settle(self) -> Scan:
        """Look until the names of the last scan are taken for those that are there."""
        for _ in range(2):
            self.survey.look()
            time.sleep(TICK_SECS)
        before = self.survey.look()
        assert self.survey.look().series is before.series
        return before


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def compare(place: Place) -> None:
    """A look finds what a scan finds."""
    expected, found = scan(place.sources), place.survey.look()
    assert (found.series, found.skipped) == (expected.series, expected.skipped)
    assert {name: files for name, files in found.files.items() if files} == expected.files


def test_names_are_listed_again_only_after_a_change(place: Place) -> None:
    """While no directory changes there is no second scan; each change makes two more."""
    before = place.settle()
    (place.logs / "c.log").write_text("line\n")
    time.sleep(TICK_SECS)
    first, second, third = (place.survey.look() for _ in range(3))
    assert str(place.logs / "c.log") in first.series
    assert before.series is not first.series is not second.series is third.series


def test_files_are_looked_at_each_time(place: Place) -> None:
    """A file that grew shows its new length, without a scan."""
    before = place.settle()
    with (place.logs / "a.log").open("a") as file:
        file.write("more\n")
    found = place.survey.look()
    assert found.series is before.series
    (file_found,) = found.files[str(place.logs / "a.log")]
    assert file_found.signature[2] == len("line\nmore\n")


def in_a_directory(place: Place) -> None:
    (place.logs / "x" / "c.log").touch()


def a_new_directory(place: Place) -> None:
    (place.logs / "x" / "y").mkdir()
    (place.logs / "x" / "y" / "c.log").touch()


def a_rotation(place: Place) -> None:
    (place.logs / "a.log").rename(place.logs / "a.log.1")
    (place.logs / "a.log").touch()


def a_rotation_behind_a_link(place: Place) -> None:
    (place.root / "pods" / "0.log").rename(place.root / "pods" / "0.log.1")
    (place.root / "pods" / "0.log").touch()


def a_deletion(place: Place) -> None:
    (place.logs / "a.log").unlink()


def another_target(place: Place) -> None:
    (place.logs / "link.log").unlink()
    (place.logs / "link.log").symlink_to(place.root / "pods" / "1.log")


def another_target_on_the_way(place: Place) -> None:
    (place.root / "middle.log").unlink()
    (place.root / "middle.log").symlink_to(place.root / "pods" / "1.log")


def a_target_that_appears(place: Place) -> None:
    (place.root / "missing.log").touch()


def a_named_file(place: Place) -> None:
    (place.logs / "named").touch()


def a_named_directory(place: Place) -> None:
    (place.logs / "named").mkdir()
    (place.logs / "named" / "d.log").touch()


def an_end(place: Place) -> None:
    (place.logs / "x").rename(place.root / "gone")


@pytest.mark.parametrize(
    "change",
    [
        in_a_directory,
        a_new_directory,
        a_rotation,
        a_rotation_behind_a_link,
        a_deletion,
        another_target,
        another_target_on_the_way,
        a_target_that_appears,
        a_named_file,
        a_named_directory,
        an_end,
    ],
)
def test_every_change_is_found_by_the_next_look(
    place: Place, change: Callable[[Place], None]
) -> None:
    """Whatever happens to names and links is seen at once, though the last scan was trusted."""
    place.settle()
    change(place)
    compare(place)
    time.sleep(TICK_SECS)
    compare(place)


def test_change_in_the_tick_of_a_scan_is_found(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that comes just after a listing, in the same tick of the clock, is not overlooked."""
    stat, tick_ns = os.stat, int(TICK_SECS * 1e9)

    def coarse(path: str | Path, *, follow_symlinks: bool = True) -> os.stat_result:
        status = stat(path, follow_symlinks=follow_symlinks)
        return os.stat_result(status, {"st_ctime_ns": status.st_ctime_ns // tick_ns * tick_ns})

    monkeypatch.setattr(os, "stat", coarse)
    for number in range(20):
        (place.logs / "x" / f"{number}-0.log").touch()
        place.survey.look()
        (place.logs / "x" / f"{number}-1.log").touch()
        time.sleep(2 * TICK_SECS)
        found = place.survey.look()
        assert str(place.logs / "x" / f"{number}-1.log") in found.series


def test_directory_that_could_not_be_listed_is_tried_again(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault that may pass, and changes no time, hides files no longer than it lasts."""
    faulty = Faulty(monkeypatch)
    faulty.begin({"EIO": place.logs}, "listdir")
    for _ in range(3):
        place.survey.look()
        time.sleep(TICK_SECS)
    faulty.end()
    assert str(place.logs / "a.log") in place.survey.look().series


def test_many_quiet_files_cost_little(tmp_path: Path) -> None:
    """A look at 10,000 files that are known costs less than half of a scan of them."""
    for number in range(10_000):
        (tmp_path / f"{number}.log").touch()
    survey = Survey([SourceConfig(paths=[str(tmp_path)])])
    looks = costs(survey.look, times=6, pause_secs=TICK_SECS)
    assert min(looks[2:]) < min(looks[:2]) / 2
