"""What a directory shows of a series: which files, in which order, and which file each one is now.

Owns: nothing; each call looks. Does not know: what was read of a file.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass

from shipper.source.identity import Generation, split_name

TEMPORARY = ".tmp"
"""Suffix of files that are being made: kubelet compresses into one, then renames it."""

Signature = tuple[int, int, int, int]
"""Device, inode, size and time of the last write: while they stay, nothing was written. Size and
time are there because an inode is used again at once."""


@dataclass(frozen=True, slots=True)
class Found:
    """A file of a series.

    Attributes:
        path: Its path.
        signature: Which file that was, and how long.
    """

    path: str
    signature: Signature


def signature_of(path: str) -> Signature | None:
    """Return which file a path shows; None if it shows no regular file."""
    try:
        status = os.stat(path)  # noqa: PTH116  # the fast way to stat: a Path costs three times it
    except OSError:
        return None
    if not stat.S_ISREG(status.st_mode):
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


class Directories:
    """Directories as they are now, each listed once."""

    def __init__(self) -> None:
        """Start with none listed."""
        self._names: dict[str, dict[str, list[str]] | None] = {}

    def files(self, stem: str) -> list[Found]:
        """Return the files of a series, oldest first, the live one last.

        Raises:
            OSError: The directory cannot be listed now, which says nothing of what is in it.
        """
        directory, own = os.path.split(stem)
        if directory not in self._names:
            self._names[directory] = _names_in(directory)
        listed = self._names[directory]
        names = [own] if listed is None else listed.get(own, [])
        found = []
        for name in sorted(names, key=_age) if len(names) > 1 else names:
            path = f"{directory.rstrip('/')}/{name}"
            signature = signature_of(path)
            if signature is not None:
                found.append(Found(path, signature))
        return found


def _age(name: str) -> tuple[Generation, str]:
    return split_name(name)[1], name


def _names_in(directory: str) -> dict[str, list[str]] | None:
    """Return the names in a directory by stem; None if it may be entered but not listed."""
    try:
        names = os.listdir(directory)  # noqa: PTH208  # names are all that is needed
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except PermissionError:
        return None
    by_stem: dict[str, list[str]] = {}
    for name in names:
        stem = split_name(name)[0]
        if stem == name or not name.endswith(TEMPORARY):
            by_stem.setdefault(stem, []).append(name)
    return by_stem
