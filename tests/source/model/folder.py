"""The files of a series: names, what each file holds, and what goes when a name goes.

A file without a name is still there for whoever has it open: `Folder` looks at the descriptors of
this process, in which the agent runs, to know whether it has.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from dataclasses import dataclass, field
from pathlib import Path

from tests.source.model.book import Book, Piece

_TRIES_FOR_INODE = 40


@dataclass(eq=False)
class Sheet:
    """A file, whatever its name is.

    Attributes:
        number: Larger than that of files made before.
        place: Device and inode.
        pieces: Whose bytes are all in it.
        reused: A file before it had its inode.
        source: What it is a copy of, until that is another file.
        scrap_first: It begins with the end of a line.
        left: It is of a series that is out of sight, and may come back.
    """

    number: int
    place: tuple[int, int]
    reused: bool = False
    pieces: list[Piece] = field(default_factory=list)
    source: Sheet | None = None
    scrap_first: bool = False
    left: bool = False

    @property
    def is_bare(self) -> bool:
        """Whether no line but a banner is in it as a whole."""
        return [piece.number for piece in self.pieces] == [0]

    @property
    def begins_like_others(self) -> bool:
        """Whether no time of a runtime tells its first line from that of another file."""
        return self.scrap_first or (bool(self.pieces) and not self.pieces[0].track[1])


class Folder:
    """The real directory of a log, and what lies in it.

    Attributes:
        names: What lies in it, by name.
        stem: Name of the live file.
        elsewhere: Sheets with a second name outside of the series, by path.
        vanished: The directory is away.
        held: Sheets without a name that the agent has open.
    """

    def __init__(self, directory: Path, spare: Path, book: Book) -> None:
        """Begin with an empty directory; `spare` is for what is made, and not seen yet."""
        self.names: dict[str, Sheet] = {}
        self.elsewhere: dict[Path, Sheet] = {}
        self.held: list[Sheet] = []
        self.stem = "app.log"
        self._directory = directory
        self._spare = spare
        self._book = book
        self._inodes: set[int] = set()
        self._made: list[Sheet] = []
        self._spares = 0
        self.vanished = False
        directory.mkdir()
        spare.mkdir()

    def path(self, name: str) -> Path:
        """Return where a name is."""
        return self._directory / name

    @property
    def live(self) -> Sheet | None:
        """The live file, if there is one."""
        return self.names.get(self.stem)

    def rotated(self) -> list[str]:
        """Return the names of the generations, oldest first."""
        return sorted((name for name in self.names if name != self.stem), key=self._age)

    def create(self, name: str, *, inode: int = 0) -> Sheet:
        """Make an empty file, with this inode if the file system gives it."""
        path = self._with_inode(inode) if inode else self._spare_path()
        path.touch()
        sheet = self._sheet_of(path)
        path.rename(self.path(name))
        self.names[name] = sheet
        return sheet

    def add(self, name: str, *, source: Sheet, pieces: list[Piece]) -> None:
        """Note a copy that was made at a name."""
        sheet = self.names[name] = self._sheet_of(self.path(name))
        sheet.source, sheet.pieces = source, list(pieces)
        sheet.scrap_first = source.scrap_first
        if any(piece not in pieces for piece in source.pieces):
            self._note_twice(sheet)
        self._note_bare(sheet)
        for piece in pieces if source.number in self._book.linked else ():
            piece.twice = True  # its original may be known as a file of the other series

    def rename(self, name: str, new: str) -> None:
        """Give a file another name."""
        self.path(name).rename(self.path(new))
        self.names[new] = self.names.pop(name)
        self._note_bare(self.names[new])

    def replace(self, name: str, new: str) -> None:
        """Give a file the name of another one, whose name that was until then."""
        before = self.names.get(new)
        self.rename(name, new)
        if before is not None:
            self._nameless(before)

    def unlink(self, name: str) -> None:
        """Take a name away."""
        sheet = self.names.pop(name)
        self.path(name).unlink()
        self._nameless(sheet)

    def link(self, path: Path) -> None:
        """Give the live file a second name."""
        path.hardlink_to(self.path(self.stem))
        sheet = self.elsewhere[path] = self.names[self.stem]
        self._book.linked.add(sheet.number)
        self._note_twice(sheet)

    def unlink_link(self, path: Path) -> None:
        """Take a second name away."""
        sheet = self.elsewhere.pop(path)
        path.unlink()
        self._nameless(sheet)

    def truncate(self) -> None:
        """Cut the live file to nothing."""
        sheet = self.names[self.stem]
        seen = self._is_newest_known(sheet)
        os.truncate(self.path(self.stem), 0)
        pieces, sheet.pieces, sheet.scrap_first = sheet.pieces, [], False
        for copy in self._copies_of(sheet):
            copy.source = None
        self._lose(pieces, seen=seen)

    def leave(self, stem: str) -> None:
        """Go on with another series; of the one before, only what the agent has open is read."""
        before, self.names, self.stem = self.names, {}, stem
        for sheet in [*before.values(), *self.held]:
            sheet.left = True
        for sheet in before.values():
            self._nameless(sheet)

    def is_written(self, sheet: Sheet) -> bool:
        """Tell whether anyone who looks must believe that more will be written into a file."""
        return sheet is self.live or (self.live is None and sheet in self.names.values())

    def is_over(self, sheet: Sheet) -> bool:
        """Tell whether a file that is there has a successor, so that it may be finished."""
        return self.live not in (None, sheet) and sheet in self.names.values()

    def wrote(self, sheet: Sheet, piece: Piece) -> None:
        """Note that a piece is in a file, as a whole."""
        piece.torn |= self._book.half_heads and sheet.is_bare
        sheet.pieces.append(piece)
        piece.sheet = sheet.number
        self.grew(sheet)
        if sheet in self.held and not self._is_open(sheet):
            self.held.remove(sheet)
        if not self._is_reachable(sheet):
            self._lose([piece], seen=False)

    def grew(self, sheet: Sheet) -> None:
        """Note that what follows in a file is not in the copies that were made of it."""
        for copy in self._copies_of(sheet):
            self._note_twice(copy)
        if sheet.number in self._book.linked:
            self._note_twice(sheet)

    def agent_ended(self) -> None:
        """Note that the agent has nothing open any more."""
        held, self.held = self.held, []
        for sheet in held:
            self._lose(sheet.pieces, seen=self._is_newest_known(sheet))

    def vanish(self) -> None:
        """Take the directory away."""
        if not self.vanished:
            self._directory.rename(self._directory.with_name("away"))
            self.vanished = True

    def come_back(self) -> None:
        """Bring the directory back."""
        if self.vanished:
            self._directory.with_name("away").rename(self._directory)
            self.vanished = False

    def _nameless(self, sheet: Sheet) -> None:
        if self._is_reachable(sheet):
            return
        self._book.nameless.add(sheet.number)
        if self._is_open(sheet):
            self.held.append(sheet)
        else:
            self._lose(sheet.pieces, seen=self._is_newest_known(sheet))

    def _lose(self, pieces: list[Piece], *, seen: bool) -> None:
        sheets = [*self.names.values(), *self.elsewhere.values(), *self.held]
        left = {piece for sheet in sheets for piece in sheet.pieces}
        self._book.lost([piece for piece in pieces if piece not in left], seen=seen)

    def _copies_of(self, sheet: Sheet) -> list[Sheet]:
        return [copy for copy in self._made if copy.source is sheet]

    def _note_twice(self, sheet: Sheet) -> None:
        parts = sheet.number in self._book.linked and not all(p.ends for p in sheet.pieces)
        # The end of a part in a file with two names may be awaited in the series of either.
        for piece in sheet.pieces if sheet.begins_like_others or parts else ():
            piece.twice = True

    def _note_bare(self, sheet: Sheet) -> None:
        """Note that nobody can tell a file that holds nothing but a banner from another one."""
        if sheet.is_bare:
            sheet.pieces[0].doubtful = sheet.pieces[0].twice = True

    def _is_reachable(self, sheet: Sheet) -> bool:
        return sheet in [*self.names.values(), *self.elsewhere.values(), *self.held]

    def _is_newest_known(self, sheet: Sheet) -> bool:
        """Tell whether the agent must notice that what follows in a file is missing.

        Of one that is followed by another that it knows, it can know only what it had seen. And
        where the whole series is gone that has its position, it waits for minutes after a restart
        before it says so: a file that was left, or had a name in another series.
        """
        later = self._made[sheet.number + 1 :]
        gone = sheet.left or sheet.number in self._book.linked
        if gone or any(self._book.knows(other.place) for other in later):
            return False
        return self._is_known(sheet) and not any(self._is_known(other) for other in later)

    def _is_known(self, sheet: Sheet) -> bool:
        joined = "\0".join(self._book.delivered())
        return any(piece.number and piece.mark in joined for piece in sheet.pieces)

    def _is_open(self, sheet: Sheet) -> bool:
        for name in os.listdir("/proc/self/fd"):  # noqa: PTH208  # names are all that is needed
            with contextlib.suppress(OSError):  # the list itself was one of them
                status = os.fstat(int(name))
                mode = fcntl.fcntl(int(name), fcntl.F_GETFL) & os.O_ACCMODE
                if (status.st_dev, status.st_ino) == sheet.place and mode == os.O_RDONLY:
                    return True
        return False

    def _sheet_of(self, path: Path) -> Sheet:
        status = path.stat()
        reused = status.st_ino in self._inodes
        self._inodes.add(status.st_ino)
        self._made.append(Sheet(len(self._made), (status.st_dev, status.st_ino), reused))
        return self._made[-1]

    def _with_inode(self, inode: int) -> Path:
        """Make files until one has this inode, beside each other: so they are from one group."""
        tried = []
        for _ in range(_TRIES_FOR_INODE):
            path = self.path(f"{self.stem}.tmp")
            path.touch()
            tried.append(self._spare_path())
            path.rename(tried[-1])
            if tried[-1].stat().st_ino == inode:
                break
        for other in tried[:-1]:
            other.unlink()
        return tried[-1]

    def _spare_path(self) -> Path:
        self._spares += 1
        return self._spare / str(self._spares)

    def _age(self, name: str) -> tuple[int, str]:
        suffix = name.removeprefix(f"{self.stem}.").removesuffix(".gz")
        return (-int(suffix), "") if suffix.isdigit() else (0, suffix)
