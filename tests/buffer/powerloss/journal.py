"""What was done to files, in order, and the directories that a loss of power may leave of it.

The model is meaner than any file system: what was not synced is lost, kept, or torn, one operation
independently of the other, and the name of a new file is lost unless its directory was synced.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Kind = Literal["name", "data"]

Survives = Callable[[int, Kind], float]
"""How much is left of the operation with this number that was not synced, 0 to 1."""

Image = dict[Path, bytes]
"""Files and their contents."""


@dataclass(frozen=True, slots=True)
class Write:
    """Bytes were written at an offset of a file."""

    file: int
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Truncate:
    """A file was cut."""

    file: int
    size: int


@dataclass(frozen=True, slots=True)
class Sync:
    """A file's content was synced."""

    file: int


@dataclass(frozen=True, slots=True)
class Link:
    """A name was given to a file; another one, if there was one, taken from it."""

    file: int
    path: Path
    old: Path | None = None


@dataclass(frozen=True, slots=True)
class Unlink:
    """A name was removed."""

    path: Path


@dataclass(frozen=True, slots=True)
class SyncDirectory:
    """A directory's names were synced."""

    path: Path


@dataclass(frozen=True, slots=True)
class Told:
    """Something outside the machine came to know of lines; that stays known."""

    to: str
    ids: tuple[int, ...]


Operation = Write | Truncate | Sync | Link | Unlink | SyncDirectory | Told


@dataclass(slots=True)
class Journal:
    """Everything that was done, in order, below one directory.

    Attributes:
        operations: What was done. A crash can come before each, and after the last.
    """

    operations: list[Operation] = field(default_factory=list)
    _names: dict[Path, int] = field(default_factory=dict)
    _files: int = 0

    @classmethod
    def of(cls, image: Image) -> Journal:
        """Begin with files that are on the disk for good."""
        journal = cls()
        for path, content in image.items():
            file = journal.file(path)
            journal.operations += [Write(file, 0, content), Sync(file), SyncDirectory(path.parent)]
        return journal

    def file(self, path: Path) -> int:
        """Return the file of this name; it is made if there is none."""
        if path not in self._names:
            self._files += 1
            self._names[path] = self._files
            self.operations.append(Link(self._files, path))
        return self._names[path]

    def rename(self, old: Path, new: Path) -> None:
        """Note a new name of a file."""
        number = self._names[new] = self._names.pop(old)
        self.operations.append(Link(number, new, old))

    def unlink(self, path: Path) -> None:
        """Note that a name is gone."""
        if self._names.pop(path, None) is not None:
            self.operations.append(Unlink(path))

    def add(self, operation: Operation) -> None:
        """Note an operation that changes no name."""
        self.operations.append(operation)

    def told(self, at: int, to: str) -> set[int]:
        """Return the lines that somebody had been told of before the crash at this point."""
        told = [op for op in self.operations[:at] if isinstance(op, Told) and op.to == to]
        return {line for operation in told for line in operation.ids}

    def image(self, at: int, survives: Survives) -> Image:
        """Return the files that are found after a crash at this point."""
        synced = self._last_syncs(at)
        names: dict[Path, int] = {}
        contents: defaultdict[int, bytearray] = defaultdict(bytearray)
        for number, operation in enumerate(self.operations[:at]):
            if isinstance(operation, Write | Truncate):
                durable = number < synced.get(operation.file, -1)
                share = 1.0 if durable else survives(number, "data")
                _apply(contents[operation.file], operation, share)
            elif isinstance(operation, Link | Unlink):
                durable = number < synced.get(operation.path.parent, -1)
                if durable or survives(number, "name") >= 0.5:
                    _rename(names, operation)
        return {path: bytes(contents[file]) for path, file in names.items()}

    def _last_syncs(self, at: int) -> dict[int | Path, int]:
        synced: dict[int | Path, int] = {}
        for number, operation in enumerate(self.operations[:at]):
            if isinstance(operation, Sync):
                synced[operation.file] = number
            elif isinstance(operation, SyncDirectory):
                synced[operation.path] = number
        return synced


def _rename(names: dict[Path, int], operation: Link | Unlink) -> None:
    if isinstance(operation, Unlink):
        names.pop(operation.path, None)
        return
    names[operation.path] = operation.file
    if operation.old is not None:
        names.pop(operation.old, None)


def _apply(content: bytearray, operation: Write | Truncate, share: float) -> None:
    if isinstance(operation, Truncate):
        if share >= 0.5:
            del content[operation.size :]
            content.extend(bytes(operation.size - len(content)))
        return
    data = operation.data[: round(len(operation.data) * share)]
    if data:
        content.extend(bytes(max(0, operation.offset - len(content))))
        content[operation.offset : operation.offset + len(data)] = data
