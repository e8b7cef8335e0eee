"""Finds the log files: which series there are, and which files of each.

Owns: nothing; each scan starts from the paths. Does not know: what becomes of a series.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

from shipper.config import SourceConfig
from shipper.source.directory import Directories, Found, signature_of
from shipper.source.names import split_name
from shipper.source.paths import Trail, among, excluded, expand, root_of

_FORBIDDEN = "no permission to read it"
_NOT_UTF8 = "its name is not UTF-8, and no document can hold that: rename it"


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
        trail: The directories that were looked at.
        links: Where the files are whose paths are links.
        unusable: Paths that are skipped for what is there, and why.
        unreadable: Those that one who names files, or directories of them, means to read.
    """

    series: dict[str, Series] = field(default_factory=dict)
    files: dict[str, list[Found]] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    trail: Trail = field(default_factory=Trail)
    links: dict[str, str] = field(default_factory=dict)
    unusable: dict[str, str] = field(default_factory=dict)
    unreadable: set[str] = field(default_factory=set)


def scan(sources: Sequence[SourceConfig], *, named: Collection[str] | None = None) -> Scan:
    """Find the series of these sources; never fails, because what is unreadable is skipped.

    Args:
        sources: Where to look.
        named: Look at these paths alone, whose directories are given without links. A rotated file
            that the sources name is not among what is found then: its series may be followed.
    """
    found = Scan()
    resolved = _Resolved(found.links, sources)
    for source, pattern, path, skip in _candidates(sources, found.trail, named=named):
        explicit = path == pattern
        if not _is_skipped(found, path, why=skip, explicit=explicit):
            series = _series_of(path, resolved, tag=source.tag, explicit=explicit)
            if named is None or not series.only:
                _add(found, series, path=path)
    _look_up_files(found)
    _tell_unlisted(found, [pattern for source in sources for pattern in source.exclude])
    return found


def _is_skipped(found: Scan, path: str, *, why: str, explicit: bool) -> bool:
    """Tell whether a path is not followed, and take note of the reason: of its name, or there."""
    reason = why or unusable(path)
    if reason and (explicit or not _is_gone(path)):
        found.skipped[_shown(path)] = reason
        if not why:
            found.unusable[path] = reason
            if explicit or reason == _FORBIDDEN:
                found.unreadable.add(_shown(path))
    return bool(reason)


def _add(found: Scan, series: Series, *, path: str) -> None:
    if _shown(series.stem + path) == series.stem + path:
        found.series.setdefault(series.only or series.stem, series)
    else:
        found.skipped[_shown(path)] = _NOT_UTF8


def _candidates(
    sources: Sequence[SourceConfig], trail: Trail, *, named: Collection[str] | None
) -> Iterator[tuple[SourceConfig, str, str, str]]:
    """Yield source, pattern, path, and the reason to skip that; always in the same order."""
    for source in sources:
        for pattern in source.paths:
            paths = expand(pattern, trail) if named is None else among(pattern, named)
            kept = (each for each in sorted(paths) if not excluded(each[0], source.exclude))
            yield from ((source, pattern, path, skip) for path, skip in kept)


class _Resolved:
    """The real paths of files, each directory resolved once: most of a scan's time otherwise.

    Below a directory of the sources that is another one by a bind mount, they are those of the
    first: as two series, what is rotated in one would be new in the other.
    """

    def __init__(self, links: dict[str, str], sources: Sequence[SourceConfig]) -> None:
        self._directories: dict[str, str] = {}
        self._links = links
        self._mounted_twice = list(_mounted_twice(sources))

    def path(self, path: str) -> str:
        if os.path.islink(path):  # noqa: PTH114
            real = self._links[path] = os.path.realpath(path)
            return self._first(real)
        directory, name = os.path.split(path)
        if directory not in self._directories:
            self._directories[directory] = self._first(os.path.realpath(directory))
        return f"{self._directories[directory].rstrip('/')}/{name}"

    def _first(self, real: str) -> str:
        for directory, first in self._mounted_twice:
            if real == directory or real.startswith(f"{directory}/"):
                return first + real[len(directory) :]
        return real


def _mounted_twice(sources: Sequence[SourceConfig]) -> Iterator[tuple[str, str]]:
    """Yield the directories of sources that are the same as one before, each with that."""
    first: dict[tuple[int, int], str] = {}
    for root in dict.fromkeys(root_of(p)[0] or "." for source in sources for p in source.paths):
        real = os.path.realpath(root)
        try:
            status = os.stat(real)  # noqa: PTH116
        except OSError:
            continue
        if first.setdefault((status.st_dev, status.st_ino), real) != real:
            yield real, first[status.st_dev, status.st_ino]


def _series_of(path: str, resolved: _Resolved, *, tag: str | None, explicit: bool) -> Series:
    real = resolved.path(path)
    directory, name = os.path.split(real)
    head, generation = split_name(name)
    stem = f"{directory.rstrip('/')}/{head}"
    if generation.live:
        return Series(stem, path, tag)
    shown_directory, shown = os.path.split(path)
    shown_stem, shown_generation = split_name(shown)
    alone = explicit and not shown_generation.live  # else a link to the file of today
    return Series(stem, f"{shown_directory}/{shown_stem}", tag, only=real if alone else "")


def _look_up_files(found: Scan) -> None:
    """Add the files of each series; a single file is no series where all of them are followed."""
    directories = Directories()
    for name, series in list(found.series.items()):
        if not series.only:
            found.trail.directories.add(os.path.dirname(series.stem))  # noqa: PTH120
            try:
                found.files[name] = directories.files(series.stem)
            except OSError as error:
                found.trail.whole = False
                found.skipped[series.path] = f"its directory cannot be listed: {error.strerror}"
                found.unreadable.add(series.path)
                del found.series[name]
        elif series.stem in found.series:
            del found.series[name]
        else:
            signature = signature_of(series.only)
            found.files[name] = [Found(series.only, signature)] if signature else []


def _is_gone(path: str) -> bool:
    try:
        os.lstat(path)
    except OSError as error:
        return isinstance(error, FileNotFoundError | NotADirectoryError)
    return False


def _tell_unlisted(found: Scan, exclude: Collection[str]) -> None:
    for directory, why in found.trail.unlisted.items():
        below = f"{directory}/"  # all that `*/name/*` excludes
        if not any(excluded(path, exclude) for path in (directory, below)):
            found.skipped[_shown(directory)] = why
            found.unreadable.add(_shown(directory))


def _shown(path: str) -> str:
    return path if path.isascii() else os.fsencode(path).decode(errors="backslashreplace")


def unusable(path: str) -> str:
    """Return why what is at a path cannot be read; empty if it can."""
    try:
        status = os.stat(path)  # noqa: PTH116
    except OSError as error:
        if os.path.islink(path):  # noqa: PTH114
            target = os.path.realpath(path)
            return f"its target {target} cannot be reached ({error.strerror}): is it mounted?"
        return _FORBIDDEN if isinstance(error, PermissionError) else error.strerror or str(error)
    if not stat.S_ISREG(status.st_mode):
        return "not a regular file"
    return "" if os.access(path, os.R_OK) else _FORBIDDEN
