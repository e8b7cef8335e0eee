"""The container: it writes lines, parts and halves into the file that it has open."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.source.model.book import STREAMS, Book, Piece
from tests.source.model.folder import Folder, Sheet


@dataclass
class _Pen:
    """A file that is open for writing."""

    file: Any
    sheet: Sheet


@dataclass
class _Half:
    """A line that is not written to its end; what is written of it may be gone already."""

    piece: Piece
    left: bytes
    is_gone: bool = False


class Writer:
    """Who writes into the live file, and into the one before, until it notices."""

    def __init__(
        self, folder: Folder, book: Book, *, appends: bool, banner: bytes, splits: bool
    ) -> None:
        """Make the file.

        Args:
            folder: Where.
            book: What is written is noted there.
            appends: It opens its file with O_APPEND.
            banner: Each file that it makes begins with it.
            splits: Lines may be written in parts.
        """
        self._folder = folder
        self._book = book
        self._appends = appends
        self._banner = banner
        self._splits = splits
        self._half: _Half | None = None
        self._late: _Pen | None = None
        self._pen = self._open()

    @property
    def appends(self) -> bool:
        """Whether it writes at the end of the file, wherever that is."""
        return self._appends

    def write(self, argument: int) -> None:
        """Write the end of a line: of one that has parts on this stream, or a whole one."""
        self._put(self._book.piece(argument))

    def write_part(self, argument: int) -> None:
        """Write a part of a line that the runtime has split; a whole one, if it splits none."""
        piece = self._book.piece(argument, ends=not self._splits)
        piece.loose = self._folder.vanished  # what is out of sight may be taken for over
        self._put(piece)

    def write_other(self, argument: int) -> None:
        """Write a line that is not in the container's format."""
        self._put(self._book.plain(argument))

    def write_half(self, argument: int) -> None:
        """Write a line of which only some bytes are there yet."""
        self.end_half()
        piece = self._book.piece(argument)
        piece.half = True
        piece.torn = self._folder.vanished  # what is out of sight may be taken for settled
        cut = 1 + argument % (len(piece.raw) - 1)
        self._pen.file.write(piece.raw[:cut])
        self._half = _Half(piece, piece.raw[cut:])
        self._book.half_heads |= self._pen.sheet.is_bare
        self._note_whole()

    def write_late(self, argument: int) -> None:
        """Let another process write into the file before: it has not reopened."""
        if self._late is not None:
            piece = self._book.plain(argument)
            self._late.file.write(piece.raw)
            self._folder.wrote(self._late.sheet, piece)

    def reopen(self, argument: int) -> None:
        """Open the file of the path, and make it, if there is none."""
        if self._folder.live is self._pen.sheet:
            return
        if self._half is not None and self._half.left == b"\n" and argument % 2:
            self._half.piece.half = False  # the last line of a file may have no newline
            self._half = None
        self.end_half()
        self._close_late()
        self._late = self._pen
        self._pen = self._open()

    def reopen_with_inode(self, inode: int) -> None:
        """Reopen, the new file having the inode of one that was deleted."""
        self.end_half()
        self._folder.create(self._folder.stem, inode=inode)
        self.reopen(0)

    def was_copied(self, sheet: Sheet) -> None:
        """Note that another file holds the same, as far as it is written."""
        if self._half is not None and self._pen.sheet is sheet:
            self._half.piece.torn = True

    def was_settled(self) -> None:
        """Note that there is no reason to wait for the rest of a half line, or of parts."""
        self._book.was_settled()
        if self._half is not None:
            self._half.piece.torn = True

    def was_truncated(self, sheet: Sheet) -> None:
        """Note that what is written of a half line is not there any more."""
        if self._half is None or self._pen.sheet is not sheet:
            return
        self._half.piece.torn = self._half.is_gone = True
        if self._half.left != b"\n":
            self._book.lost([self._half.piece], seen=False)

    def end_half(self) -> None:
        """Write the rest of a half line."""
        if self._half is not None:
            half, self._half = self._half, None
            half.piece.torn |= not self._folder.is_written(self._pen.sheet)
            self._pen.file.write(half.left)
            half.piece.half = False
            self._pen.sheet.scrap_first |= half.is_gone and not self._pen.sheet.pieces
            self._folder.grew(self._pen.sheet)
            if not half.is_gone and half.left != b"\n":
                self._folder.wrote(self._pen.sheet, half.piece)

    def end_all(self) -> None:
        """Write the ends of all that was begun."""
        self.end_half()
        for stream in self._book.open_streams():
            self.write(STREAMS.index(stream))

    def close(self) -> None:
        """Close the files."""
        self._pen.file.close()
        self._close_late()

    def _put(self, piece: Piece) -> None:
        self.end_half()
        piece.astray = self._folder.is_over(self._pen.sheet)
        self._pen.file.write(piece.raw)
        self._folder.wrote(self._pen.sheet, piece)

    def _note_whole(self) -> None:
        """A line is there as a whole when only its newline is to come."""
        if self._half is not None and self._half.left == b"\n":
            self._folder.wrote(self._pen.sheet, self._half.piece)

    def _open(self) -> _Pen:
        sheet = self._folder.live
        is_new = sheet is None or not self._folder.path(self._folder.stem).stat().st_size
        if sheet is None:
            sheet = self._folder.create(self._folder.stem)
        mode = "ab" if self._appends else "r+b"
        pen = _Pen(self._folder.path(self._folder.stem).open(mode, buffering=0), sheet)
        pen.file.seek(0, 2)
        if self._banner and is_new:
            piece = self._book.banner(self._banner)
            pen.file.write(self._banner)
            self._folder.wrote(sheet, piece)
            piece.doubtful |= sheet.reused  # the same bytes in the same place: nobody can tell
        return pen

    def _close_late(self) -> None:
        if self._late is not None:
            self._late.file.close()
            self._late = None
