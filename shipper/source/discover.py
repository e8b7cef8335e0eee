"""Finds the log files: a scan is the truth, directory events only make it happen sooner.

Owns: nothing lasting; each scan starts from the paths. Does not know: what becomes of a series.
"""

from __future__ import annotations

import contextlib
import glob
import logging
import os
import stat
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from typing import TYPE_CHECKING

from shipper.config import SourceConfig
from shipper.source.directory import TEMPORARY, Directories, Found, signature_of
from shipper.source.identity import split_name

if TYPE_CHECKING:
    from watchdog.events import FileSystemEvent
    from watchdog.observers.api import BaseObserver, ObservedWatch

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Series:
    """The generations of one path stem.

    Attributes:
        stem: Real path without rotation suffix: what identifies the series.
        path: The path as the operator sees it, which tag and names come from.
        tag: The source's tag pattern; None chooses by the name.
        only: The one file to read, where it was named itself and is a rotated one.
    """

    stem: str
    path: str
    tag: str | None = None
    only: str = ""


@dataclass(slots=True)
class Scan:
    """What a scan found.

    Attributes:
        series: By stem, or by path where only that file is to be read.
        files: The files of each, oldest first.
        skipped: Files that are not followed, and why.
    """

    series: dict[str, Series] = field(default_factory=dict)
    files: dict[str, list[Found]] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)


def scan(sources: Sequence[SourceConfig]) -> Scan:
    """Find the series of these sources; never fails, because what is unreadable is skipped."""
    found, resolved = Scan(), _Resolved()
    for source in sources:
        for pattern, path, skip in _candidates(source):
            if reason := skip or _unusable(path):
                found.skipped[path] = reason
                continue
            series = _series_of(path, resolved, tag=source.tag, explicit=path == pattern)
            found.series.setdefault(series.only or series.stem, series)
    _look_up_files(found)
    return found


@dataclass(frozen=True, slots=True)
class _Place:
    """Which directory a path is, and whether those below it matter, too."""

    device: int
    inode: int
    recursive: bool


class Wakening:
    """Calls when something is created, moved or deleted below the paths, as far as it can see it.

    A directory that is made, or made again, is watched from the next `update` on.
    """

    def __init__(self, sources: Sequence[SourceConfig], wake: Callable[[], object]) -> None:
        """Watch nothing yet.

        Args:
            sources: Whose directories to watch.
            wake: Called in another thread.
        """
        self._sources = sources
        self._wake = wake
        self._observer: BaseObserver | None = None
        self._watches: dict[str, tuple[_Place, ObservedWatch | None]] = {}

    def update(self) -> None:
        """Watch the directories that are there now; what cannot be watched is left to the scan."""
        if self._observer is None:
            self._observer = _start_observer()
        places = _directories(self._sources)
        for directory in self._watches.keys() | places.keys():
            place = places.get(directory)
            known, watch = self._watches.get(directory, (None, None))
            if place == known:
                continue
            self._watches.pop(directory, None)
            if watch is not None:
                with contextlib.suppress(KeyError, OSError):  # it ended with its directory
                    self._observer.unschedule(watch)
            if place is not None:
                self._watches[directory] = (
                    place,
                    self._schedule(self._observer, directory, recursive=place.recursive),
                )

    def stop(self) -> None:
        """Watch nothing any more; waits for the watching threads."""
        if self._observer is not None:
            self._observer.stop()
            self._observer.join()

    def _schedule(
        self, observer: BaseObserver, directory: str, *, recursive: bool
    ) -> ObservedWatch | None:
        from watchdog import events  # noqa: PLC0415  # see `_start_observer`

        wake = self._wake

        class Waker(events.FileSystemEventHandler):
            def on_any_event(self, event: FileSystemEvent) -> None:  # noqa: ARG002  # the scan sees
                wake()

        kinds: list[type[FileSystemEvent]] = [
            *(events.FileCreatedEvent, events.FileMovedEvent, events.FileDeletedEvent),
            *(events.DirCreatedEvent, events.DirMovedEvent, events.DirDeletedEvent),
        ]
        try:
            return observer.schedule(Waker(), directory, recursive=recursive, event_filter=kinds)
        except OSError as error:
            log.warning(
                "%s is not watched (%s): new files are found by the scan alone; if it is a limit,"
                " raise fs.inotify.max_user_watches or fs.inotify.max_user_instances",
                directory,
                error,
            )
            return None


def _start_observer() -> BaseObserver:
    # Imported here: a run that ends when all is read (`--once`) watches nothing.
    from watchdog.observers import Observer  # noqa: PLC0415

    # Said where directories are made inside each other at once; the watch is there either way.
    warnings.filterwarnings("ignore", "Callback with id", RuntimeWarning)
    observer = Observer()
    observer.start()
    return observer


def _directories(sources: Sequence[SourceConfig]) -> dict[str, _Place]:
    """Return the real paths of the directories in which files of these sources may appear."""
    found: dict[str, _Place] = {}
    for pattern in (pattern for source in sources for pattern in source.paths):
        directory, recursive = pattern, os.path.isdir(pattern)  # noqa: PTH112
        if not recursive:
            directory = parent = os.path.dirname(pattern)  # noqa: PTH120
            while glob.has_magic(directory):
                directory = os.path.dirname(directory)  # noqa: PTH120
            recursive = directory != parent
        real = os.path.realpath(directory)
        with contextlib.suppress(OSError):
            status = os.stat(real)  # noqa: PTH116
            recursive |= real in found and found[real].recursive
            if not (recursive and real == "/"):  # all of a machine is too much to watch
                found[real] = _Place(status.st_dev, status.st_ino, recursive)
    return found


def _candidates(source: SourceConfig) -> Iterator[tuple[str, str, str]]:
    """Yield the pattern, the path, and the reason to skip that; always in the same order."""
    for pattern in source.paths:
        for path, skip in sorted(_expand(pattern)):
            if not _excluded(path, source.exclude):
                yield pattern, path, skip


def _expand(pattern: str) -> Iterator[tuple[str, str]]:
    """Yield paths, each with the reason to skip it; empty for one to follow."""
    if os.path.isdir(pattern):  # noqa: PTH112
        yield from _below(pattern)
    elif glob.has_magic(pattern) and not os.path.lexists(pattern):
        for path in glob.iglob(pattern, recursive=True):  # noqa: PTH207
            yield path, "not finished by its writer (*.tmp)" if path.endswith(TEMPORARY) else ""
    else:
        yield pattern, ""


def _below(directory: str) -> Iterator[tuple[str, str]]:
    faults: list[OSError] = []
    for parent, directories, names in os.walk(directory, onerror=faults.append):
        for name in names:
            is_log = split_name(name)[0].endswith(".log")
            yield os.path.join(parent, name), "" if is_log else "not named *.log"  # noqa: PTH118
        for name in directories:
            path = os.path.join(parent, name)  # noqa: PTH118
            if os.path.islink(path):  # noqa: PTH114
                yield path, "a link to a directory: name it among the paths to follow what is there"
    for fault in faults:
        yield str(fault.filename), f"cannot be listed: {fault.strerror}"


def _excluded(path: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch(path, p) or fnmatch(os.path.basename(path), p) for p in patterns)  # noqa: PTH119


class _Resolved:
    """The real paths of files, each directory resolved once: most of a scan's time otherwise."""

    def __init__(self) -> None:
        self._directories: dict[str, str] = {}

    def path(self, path: str) -> str:
        if os.path.islink(path):  # noqa: PTH114
            return os.path.realpath(path)
        directory, name = os.path.split(path)
        if directory not in self._directories:
            self._directories[directory] = os.path.realpath(directory)
        return f"{self._directories[directory].rstrip('/')}/{name}"


def _series_of(path: str, resolved: _Resolved, *, tag: str | None, explicit: bool) -> Series:
    real = resolved.path(path)
    directory, name = os.path.split(real)
    head, generation = split_name(name)
    stem = f"{directory.rstrip('/')}/{head}"
    if generation.live:
        return Series(stem, path, tag)
    shown_directory, shown = os.path.split(path)
    return Series(
        stem, f"{shown_directory}/{split_name(shown)[0]}", tag, only=real if explicit else ""
    )


def _look_up_files(found: Scan) -> None:
    """Add the files of each series; a single file is no series where all of them are followed."""
    directories = Directories()
    for name, series in list(found.series.items()):
        if not series.only:
            try:
                found.files[name] = directories.files(series.stem)
            except OSError as error:
                found.skipped[series.path] = f"its directory cannot be listed: {error.strerror}"
                del found.series[name]
        elif series.stem in found.series:
            del found.series[name]
        else:
            signature = signature_of(series.only)
            found.files[name] = [Found(series.only, signature)] if signature else []


def _unusable(path: str) -> str:
    try:
        status = os.stat(path)  # noqa: PTH116
    except OSError as error:
        if os.path.islink(path):  # noqa: PTH114
            target = os.path.realpath(path)
            return f"its target {target} cannot be reached ({error.strerror}): is it mounted?"
        return error.strerror or str(error)
    if not stat.S_ISREG(status.st_mode):
        return "not a regular file"
    return "" if os.access(path, os.R_OK) else "no permission to read it"
