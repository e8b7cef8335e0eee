"""Wakening: what happens to names is told, what happens to files is not."""

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from shipper.config import SourceConfig
from shipper.source.wakening import Wakening
from tests.source.running import refuse_watches


class Woken:
    """Whether the watching thread has called."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def __call__(self, _path: str) -> None:
        self._event.set()

    def within(self, secs: float) -> bool:
        called = self._event.wait(secs)
        self._event.clear()
        return called


@contextmanager
def watching(*paths: Path | str) -> Iterator[tuple[Wakening, Woken]]:
    woken = Woken()
    wakening = Wakening([SourceConfig(paths=[str(path) for path in paths])], woken)
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
