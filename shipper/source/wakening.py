"""Tells when something is created, moved or deleted below the paths, as far as it can be seen.

A scan is the truth: this only makes things happen sooner.

Owns: the watches. Does not know: what is done about a path.
"""

from __future__ import annotations

import contextlib
import logging
import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shipper.config import SourceConfig
from shipper.source.paths import root_of

if TYPE_CHECKING:
    from watchdog.events import FileSystemEvent
    from watchdog.observers.api import BaseObserver, ObservedWatch

log = logging.getLogger(__name__)


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

    def __init__(self, sources: Sequence[SourceConfig], wake: Callable[[str], object]) -> None:
        """Watch nothing yet.

        Args:
            sources: Whose directories to watch.
            wake: Called with the real path, in another thread.
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
            def on_any_event(self, event: FileSystemEvent) -> None:
                wake(os.fsdecode(event.src_path))
                if event.dest_path:
                    wake(os.fsdecode(event.dest_path))

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
        directory, recursive = root_of(pattern)
        real = os.path.realpath(directory)
        with contextlib.suppress(OSError):
            status = os.stat(real)  # noqa: PTH116
            recursive |= real in found and found[real].recursive
            if not (recursive and real == "/"):  # all of a machine is too much to watch
                found[real] = _Place(status.st_dev, status.st_ino, recursive)
    return found
