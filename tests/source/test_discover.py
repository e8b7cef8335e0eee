"""Discover: which files are followed, which are not and why; what wakes the scan."""

import os
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from shipper.config import SourceConfig
from shipper.source.discover import Series, Wakening, scan
from tests.source.running import refuse_watches


def source(*paths: Path | str, exclude: tuple[str, ...] = ()) -> list[SourceConfig]:
    return [SourceConfig(paths=[str(path) for path in paths], exclude=list(exclude))]


def make(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("line\n")


def stems(root: Path, *paths: Path | str, exclude: tuple[str, ...] = ()) -> list[str]:
    return sorted(
        str(Path(series.stem).relative_to(root))
        for series in scan(source(*paths, exclude=exclude)).series.values()
    )


def test_directory_stands_for_the_logs_below_it(tmp_path: Path) -> None:
    """Every `*.log` below a directory is followed; what else is there is skipped and named."""
    make(tmp_path / "a.log", tmp_path / "x" / "y" / "b.log", tmp_path / "notes.txt")
    make(tmp_path / "c.log.1.gz.tmp")
    assert stems(tmp_path, tmp_path) == ["a.log", "x/y/b.log"]
    skipped = scan(source(tmp_path)).skipped
    assert {Path(path).name for path in skipped} == {"notes.txt", "c.log.1.gz.tmp"}


def test_generations_are_of_one_series(tmp_path: Path) -> None:
    """Rotated files belong to the series of their stem, also where the live one is not there."""
    names = ["a.log", "a.log.1", "a.log.2.gz", "b.log.1", "0.log.20261123-101112.gz"]
    make(*(tmp_path / name for name in names))
    assert stems(tmp_path, tmp_path) == ["0.log", "a.log", "b.log"]
    found = scan(source(tmp_path))
    files = [Path(file.path).name for file in found.files[str(tmp_path / "a.log")]]
    assert files == ["a.log.2.gz", "a.log.1", "a.log"]


def test_symlink_is_followed_to_the_file(tmp_path: Path) -> None:
    """A link's series is that of its target, under the link's name: tag and names come from it."""
    target, link = tmp_path / "docker" / "id-json.log", tmp_path / "pod_ns_c-id.log"
    middle = tmp_path / "pods" / "0.log"
    make(target, target.with_name("id-json.log.1"))
    middle.parent.mkdir()
    middle.symlink_to(target)
    link.symlink_to(middle)
    found = scan(source(tmp_path / "*.log"))
    assert list(found.series.values()) == [Series(str(target), str(link))]
    assert [Path(file.path).name for file in found.files[str(target)]] == [
        "id-json.log.1",
        "id-json.log",
    ]


def test_same_file_under_two_paths_is_followed_once(tmp_path: Path) -> None:
    """A file, links to it, and a link to its directory are one series."""
    real = tmp_path / "real"
    make(real / "a.log")
    (tmp_path / "link.log").symlink_to(real / "a.log")
    (tmp_path / "linked").symlink_to(real)
    paths = (tmp_path / "linked", real, tmp_path / "link.log", real / "a.log", real / "*.log")
    assert stems(tmp_path, *paths) == ["real/a.log"]


def test_dangling_symlink_is_skipped_with_its_target(tmp_path: Path) -> None:
    """A link whose target is not there says which: its directory may not be mounted."""
    (tmp_path / "a.log").symlink_to(tmp_path / "missing" / "b.log")
    reason = scan(source(tmp_path / "*.log")).skipped[str(tmp_path / "a.log")]
    assert str(tmp_path / "missing" / "b.log") in reason


def test_link_to_a_directory_is_named(tmp_path: Path) -> None:
    """A directory is not left through a link, which could lead anywhere; that is said."""
    make(tmp_path / "elsewhere" / "a.log")
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "link").symlink_to(tmp_path / "elsewhere")
    found = scan(source(tmp_path / "logs"))
    assert not found.series
    assert "link to a directory" in found.skipped[str(tmp_path / "logs" / "link")]


def test_what_is_no_file_is_skipped(tmp_path: Path) -> None:
    """Pipes, directories and missing paths are skipped with the reason."""
    os.mkfifo(tmp_path / "pipe.log")
    (tmp_path / "dir.log").mkdir()
    found = scan(source(tmp_path / "*.log", tmp_path / "missing.log"))
    reasons = {Path(path).name: why for path, why in found.skipped.items()}
    assert not found.series
    assert reasons["pipe.log"] == reasons["dir.log"] == "not a regular file"
    assert "No such file" in reasons["missing.log"]


@contextmanager
def as_nobody() -> Iterator[None]:
    """Give up root's right to read everything, for a moment."""
    if os.geteuid() != 0:
        yield
        return
    os.setresuid(65534, 65534, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)


def test_file_without_permission_is_skipped() -> None:
    """What may not be read or listed is skipped and says so; the others are followed."""
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        make(root / "a.log", root / "b.log", root / "closed" / "c.log")
        root.chmod(0o755)
        (root / "b.log").chmod(0)
        (root / "closed").chmod(0)
        with as_nobody():
            found = scan(source(root))
        (root / "closed").chmod(0o755)
    assert [Path(series.stem).name for series in found.series.values()] == ["a.log"]
    reasons = {Path(path).name: why for path, why in found.skipped.items()}
    assert reasons["b.log"] == "no permission to read it"
    assert "cannot be listed" in reasons["closed"]


def test_file_in_a_directory_that_cannot_be_listed_is_followed() -> None:
    """A file that is named is followed where its directory may be entered but not listed."""
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        make(root / "a.log")
        root.chmod(0o711)
        with as_nobody():
            found = scan(source(root / "a.log"))
    assert [len(files) for files in found.files.values()] == [1]


def test_exclude_leaves_out_by_path_or_name(tmp_path: Path) -> None:
    """A pattern of `exclude` is held against the whole path and against the name."""
    make(*(tmp_path / name for name in ("a.log", "b-debug.log", "tmp/c.log")))
    exclude = ("*-debug.log", f"{tmp_path}/tmp/*")
    assert stems(tmp_path, tmp_path, exclude=exclude) == ["a.log"]
    assert not scan(source(tmp_path, exclude=exclude)).skipped


def test_named_file_is_followed_whatever_its_name(tmp_path: Path) -> None:
    """A file named itself is followed without `.log`, with glob characters, rotated, or `.gz`."""
    for name in ("notes.txt", "a[1].log", "a.log.1", "b.log.gz", "c.tmp"):
        make(tmp_path / name)
        found = scan(source(tmp_path / name))
        ((key, series),) = found.series.items()
        assert [file.path for file in found.files[key]] == [str(tmp_path / name)]
        assert series.only in {"", str(tmp_path / name)}


def test_named_rotated_file_stands_for_itself(tmp_path: Path) -> None:
    """A rotated file that is named is read alone, unless its whole series is followed."""
    make(tmp_path / "a.log", tmp_path / "a.log.1")
    (series,) = scan(source(tmp_path / "a.log.1")).series.values()
    assert series.only == str(tmp_path / "a.log.1")
    (series,) = scan(source(tmp_path / "a.log.1", tmp_path / "*.log")).series.values()
    assert not series.only


def test_glob_ignores_files_in_the_making(tmp_path: Path) -> None:
    """What ends in `.tmp` is not followed because a glob happens to match it."""
    make(tmp_path / "a.log", tmp_path / "a.log.1.gz.tmp")
    assert stems(tmp_path, tmp_path / "a.log*") == ["a.log"]


def test_scan_of_many_files_is_cheap(tmp_path: Path) -> None:
    """A scan of 10,000 files in one directory takes well under a second of CPU time."""
    for number in range(10_000):
        (tmp_path / f"{number}.log").touch()
    started = time.process_time()
    found = scan(source(tmp_path))
    assert time.process_time() - started < 1.0
    assert len(found.series) == 10_000


class Woken:
    """Whether the watching thread has called."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def __call__(self) -> None:
        self._event.set()

    def within(self, secs: float) -> bool:
        called = self._event.wait(secs)
        self._event.clear()
        return called


@contextmanager
def watching(*paths: Path | str) -> Iterator[tuple[Wakening, Woken]]:
    woken = Woken()
    wakening = Wakening(source(*paths), woken)
    wakening.update()
    try:
        yield wakening, woken
    finally:
        wakening.stop()


@pytest.mark.parametrize("pattern", ["", "*.log", "*/*.log", "sub/*.log"])
def test_new_names_wake(tmp_path: Path, pattern: str) -> None:
    """What is created, moved or deleted wakes the scan; what is written or read does not."""
    directory = tmp_path if pattern in {"", "*.log"} else tmp_path / "sub"
    directory.mkdir(exist_ok=True)
    path = directory / "a.log"
    with watching(f"{tmp_path}/{pattern}".rstrip("/")) as (_, woken):
        path.touch()
        assert woken.within(2)
        path.rename(directory / "a.log.1")
        assert woken.within(2)
        path.symlink_to(directory / "a.log.1")
        assert woken.within(2)
        path.unlink()
        assert woken.within(2)
        woken.within(0.1)
        (directory / "a.log.1").write_text("line\n")
        assert (directory / "a.log.1").read_text()
        assert not woken.within(0.2)


def test_new_directory_is_watched(tmp_path: Path) -> None:
    """A file in a directory that is made later wakes, too."""
    with watching(tmp_path) as (_, woken):
        (tmp_path / "x" / "y").mkdir(parents=True)
        assert woken.within(2)
        woken.within(0.1)
        (tmp_path / "x" / "y" / "a.log").touch()
        assert woken.within(2)


def test_link_to_the_watched_directory_is_resolved(tmp_path: Path) -> None:
    """A directory that is given by a link is watched where it is."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with watching(tmp_path / "link") as (_, woken):
        (tmp_path / "real" / "a.log").touch()
        assert woken.within(2)


def test_directory_that_returns_is_watched_again(tmp_path: Path) -> None:
    """A directory that vanishes and returns is watched from the next update on."""
    directory = tmp_path / "logs"
    with watching(directory / "*.log") as (wakening, woken):
        for _ in range(2):
            directory.mkdir()
            wakening.update()
            woken.within(0.1)
            (directory / "a.log").touch()
            assert woken.within(2)
            shutil.rmtree(directory)
            wakening.update()


def test_reached_limit_leaves_it_to_the_scan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where the system grants no watch, that is said once, with what to raise."""
    refuse_watches(monkeypatch)
    with watching(tmp_path) as (wakening, woken):
        wakening.update()
        (tmp_path / "a.log").touch()
        assert not woken.within(0.1)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "max_user_watches" in caplog.text
