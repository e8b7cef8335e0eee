"""What a directory shows of a series: which files, in which order, and which file each one is now.

Owns: nothing; each call looks. Does not know: what was read of a file.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass

from shipper.source.names import TEMPORARY, Generation, split_name

_LOOKS = 5
"""A rotation takes less time than so many looks; if files keep moving the last look must do."""

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


def is_there(file: Found) -> bool:
    """Tell whether a path still shows the file that was found there, grown or not."""
    return (signature_of(file.path) or ())[:2] == file.signature[:2]


def files_of(stem: str, *, only: str = "") -> list[Found]:
    """Return the files of a series, oldest first, the live one last.

    Files that are renamed during a look are missed, or taken for each other, so it is repeated
    until two looks agree.

    Args:
        stem: The series.
        only: Its one file to read, where there is but one.

    Raises:
        OSError: The directory cannot be listed now, which says nothing of what is in it.
    """
    if only:
        signature = signature_of(only)
        return [Found(only, signature)] if signature else []
    files = Directories(only=stem).files(stem)
    for _ in range(_LOOKS):
        before, files = files, Directories(only=stem).files(stem)
        if [(f.path, f.signature[:2]) for f in before] == [
            (f.path, f.signature[:2]) for f in files
        ]:
            break
    return files


class Directories:
    """Directories as they are now, each listed once."""

    def __init__(self, *, only: str = "") -> None:
        """Start with none listed.

        Args:
            only: The stem that will be asked for, where there is but one: much faster then.
        """
        # A rotated name may have its date in front of the extension.
        self._prefix = os.path.splitext(os.path.basename(only))[0]  # noqa: PTH119, PTH122
        self._names: dict[str, dict[str, list[str]] | None] = {}

    def files(self, stem: str) -> list[Found]:
        """Return the files of a series, oldest first, the live one last.

        Raises:
            OSError: The directory cannot be listed now, which says nothing of what is in it.
        """
        directory, own = os.path.split(stem)
        if directory not in self._names:
            self._names[directory] = _names_in(directory, self._prefix)
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


def _names_in(directory: str, prefix: str) -> dict[str, list[str]] | None:
    """Return the names in a directory by stem; None if it may be entered but not listed."""
    try:
        names = os.listdir(directory)  # noqa: PTH208  # names are all that is needed
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except PermissionError:
        return None
    by_stem: dict[str, list[str]] = {}
    for name in [name for name in names if name.startswith(prefix)] if prefix else names:
        stem = split_name(name)[0]
        if stem == name or not name.endswith(TEMPORARY):
            by_stem.setdefault(stem, []).append(name)
    return by_stem
