"""How far each file is read: the in-memory copy of the positions, one append ahead of state.db.

Does not know: which of them are committed.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import TypeVar

from shipper.buffer.chunk import Read
from shipper.model import SavedFile

_T = TypeVar("_T", bound=Hashable)


class Positions:
    """The files that have a position: by the hash of stem and head, by stem, and by place."""

    def __init__(self, files: Iterable[SavedFile]) -> None:
        """Start with what is saved."""
        self._files: dict[str, SavedFile] = {}
        self._alike: dict[str, dict[str, SavedFile]] = {}
        self._in_stem: dict[str, dict[str, SavedFile]] = {}
        self._places: dict[tuple[int, int], dict[str, SavedFile]] = {}
        for file in files:
            self._move(file)

    def get(self, key: str) -> SavedFile | None:
        """Return what is saved of a file, whatever its series is by now."""
        return self._files.get(key)

    def of(self, base: str) -> list[SavedFile]:
        """Return the files with this hash of stem and head."""
        return list(self._alike.get(base, {}).values())

    def at(self, device: int, inode: int) -> list[SavedFile]:
        """Return the files that were seen with this device and inode last."""
        return list(self._places.get((device, inode), {}).values())

    def in_stem(self, stem: str) -> list[SavedFile]:
        """Return the files of a series."""
        return list(self._in_stem.get(stem, {}).values())

    def all(self) -> list[SavedFile]:
        """Return every file."""
        return list(self._files.values())

    def take(self, read: Read) -> None:
        """Move the positions that a read moves, and forget those that it says are not needed."""
        for file in read.files:
            self._move(file)
        for file in read.forgotten:
            self._forget(file)

    def clear(self) -> None:
        """Forget all of them."""
        self._files.clear()
        for index in (self._alike, self._in_stem, self._places):
            index.clear()

    def _move(self, file: SavedFile) -> None:
        before = self._files.get(file.key, file)
        if (before.base, before.stem) != (file.base, file.stem) or _place(before) != _place(file):
            self._forget(before)
        self._files[file.key] = file
        self._alike.setdefault(file.base, {})[file.key] = file
        self._in_stem.setdefault(file.stem, {})[file.key] = file
        self._places.setdefault(_place(file), {})[file.key] = file

    def _forget(self, file: SavedFile) -> None:
        file = self._files.pop(file.key, file)  # as it is known here
        _remove(self._alike, file.base, key=file.key)
        _remove(self._in_stem, file.stem, key=file.key)
        _remove(self._places, _place(file), key=file.key)


def _place(file: SavedFile) -> tuple[int, int]:
    return file.device, file.inode


def _remove(index: dict[_T, dict[str, SavedFile]], entry: _T, *, key: str) -> None:
    files = index.get(entry, {})
    files.pop(key, None)
    if not files:
        index.pop(entry, None)
