"""Which paths a pattern stands for: all that are there, or those among some that were named.

Looks at names alone. Does not know: what is at a path.
"""

from __future__ import annotations

import errno
import fnmatch
import glob
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from glob import has_magic

from shipper.source.names import TEMPORARY, split_name

Candidate = tuple[str, str]
"""A path, and the reason to skip it; empty for one to follow."""

_GONE = (errno.ENOENT, errno.ENOTDIR)
_LASTING = (*_GONE, errno.EACCES, errno.EPERM)
"""Faults of a directory that are over when it changes."""


@dataclass(slots=True)
class Trail:
    """On what the answers depend.

    Attributes:
        directories: The directories whose names were looked at.
        whole: Whether they could be; a fault that may pass is a reason to look again.
        unlisted: Those that are there, and could not be, and why.
    """

    directories: set[str] = field(default_factory=set)
    whole: bool = True
    unlisted: dict[str, str] = field(default_factory=dict)

    def names(self, directory: str) -> list[str]:
        """Return the names in a directory; none if it cannot be listed."""
        self.directories.add(directory or ".")
        try:
            return os.listdir(directory or ".")  # noqa: PTH208  # names are all that is needed
        except OSError as error:
            self.failed(error)
            return []

    def failed(self, error: OSError) -> None:
        """Take note that a directory could not be listed."""
        path = str(error.filename)
        self.directories.add(path)
        self.whole &= error.errno in _LASTING
        if error.errno not in _GONE:
            self.unlisted[path] = f"cannot be listed: {error.strerror}"


def expand(pattern: str, trail: Trail) -> Iterator[Candidate]:
    """Yield the paths that a file name, glob, or directory stands for."""
    if os.path.isdir(pattern):  # noqa: PTH112
        yield from _below(pattern, trail)
    elif _is_glob(pattern):
        for path in _glob(pattern, trail):
            yield path, _skip_of_match(path)
    else:
        trail.directories.add(os.path.dirname(pattern) or ".")  # noqa: PTH120
        yield pattern, ""


def among(pattern: str, real_paths: Collection[str]) -> Iterator[Candidate]:
    """Yield what `expand` would yield of these paths, if it is there.

    Args:
        pattern: A file name, glob, or directory.
        real_paths: Paths whose directories are given without links.
    """
    base, _ = root_of(pattern)
    real_base = os.path.join(os.path.realpath(base), "")  # noqa: PTH118
    judge = _judge_of(pattern)
    for real in real_paths:
        if real.startswith(real_base):
            path = os.path.join(base, real[len(real_base) :])  # noqa: PTH118
            skip = judge(path)
            if skip is not None:
                yield path, skip


def root_of(pattern: str) -> tuple[str, bool]:
    """Return the directory in which all files of a pattern are, and whether also below it."""
    if os.path.isdir(pattern):  # noqa: PTH112
        return pattern, True
    directory = parent = os.path.dirname(pattern)  # noqa: PTH120
    while has_magic(directory):
        directory = os.path.dirname(directory)  # noqa: PTH120
    return directory, directory != parent


def excluded(path: str, patterns: Collection[str]) -> bool:
    """Tell whether a pattern of `exclude` is meant for a path, or for its name."""
    name = os.path.basename(path)  # noqa: PTH119
    return any(fnmatch.fnmatch(path, p) or fnmatch.fnmatch(name, p) for p in patterns)


def _judge_of(pattern: str) -> Callable[[str], str | None]:
    """Return what tells why a path is skipped; None for one that is not of the pattern."""
    if os.path.isdir(pattern):  # noqa: PTH112
        return _skip_below
    if not _is_glob(pattern):
        return lambda path: "" if path == pattern else None
    parts = pattern.split("/")
    return lambda path: _skip_of_match(path) if _matches(parts, path.split("/")) else None


def _skip_below(path: str) -> str:
    is_log = split_name(os.path.basename(path))[0].endswith(".log")  # noqa: PTH119
    return "" if is_log else "not named *.log"


def _skip_of_match(path: str) -> str:
    return "not finished by its writer (*.tmp)" if path.endswith(TEMPORARY) else ""


def _is_glob(pattern: str) -> bool:
    return has_magic(pattern) and not os.path.lexists(pattern)


def _matches(parts: Sequence[str], names: Sequence[str]) -> bool:
    """Tell whether a path is one of a glob's: each name of its part, `**` any number of them."""
    if not parts or not names:
        return not parts and not names
    if parts[0] == "**" and len(parts) > 1:
        return any(_matches(parts[1:], names[n:]) for n in range(len(names)))
    return bool(_of_part(names[:1], parts[0])) and _matches(parts[1:], names[1:])


def _of_part(names: Sequence[str], part: str) -> list[str]:
    """Return the names that a part of a glob stands for: hidden ones only where it says so."""
    if not has_magic(part):
        return [name for name in names if name == part]
    hidden = part.startswith(".")
    return [name for name in fnmatch.filter(names, part) if hidden or not name.startswith(".")]


def _glob(pattern: str, trail: Trail) -> Iterator[str]:
    """Yield what matches; `**` follows no links, which may lead round in circles."""
    before, recursive, after = pattern.partition("**/")
    if not recursive:
        yield from _at_levels(pattern, trail)
        return
    for base in _at_levels(before, trail) if before else (".",):
        for parent, _, _ in os.walk(base, onerror=trail.failed):
            yield from _glob(os.path.join(glob.escape(parent), after), trail)  # noqa: PTH118


def _at_levels(pattern: str, trail: Trail) -> Iterator[str]:
    """Yield what matches a glob without `**`, a directory after the other."""
    directory, name = os.path.split(pattern)
    parents: Iterable[str] = (directory,)
    if has_magic(directory):
        parents = filter(os.path.isdir, _at_levels(directory, trail))
    for parent in parents:
        for match in _of_part(trail.names(parent), name) if name else ("",):
            yield os.path.join(parent, match)  # noqa: PTH118


def _below(directory: str, trail: Trail) -> Iterator[Candidate]:
    for parent, directories, names in os.walk(directory, onerror=trail.failed):
        trail.directories.add(parent)
        for name in names:
            path = os.path.join(parent, name)  # noqa: PTH118
            yield path, _skip_below(path)
        for name in directories:
            path = os.path.join(parent, name)  # noqa: PTH118
            if os.path.islink(path):  # noqa: PTH114
                yield path, "a link to a directory: name it among the paths to follow what is there"
