"""The book: what was written, what of it was destroyed, and what the agent may have missed.

A `Piece` is one physical line: a whole line, or a part of one that its runtime split. Its text is
found nowhere else, so that it can be recognised in any document.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise, takewhile
from typing import Literal

from tests.source.running import cri_line, docker_line

Format = Literal["docker", "cri", "plain"]
Track = tuple[int, str]
"""Number of a series, and a stream: lines are whole along a track."""

STREAMS = ("stdout", "stderr")


@dataclass(eq=False, slots=True)
class Piece:
    """A physical line.

    Attributes:
        number: 0 for a banner, whose text is that of others, too.
        text: What a document has of it.
        raw: Its bytes, newline included.
        track: Whose parts it goes with.
        ends: Whether it ends its line.
        place: Its place in its track.
        sheet: Number of the file that it was written into.
        half: It is not written to its end.
        torn: Its bytes are not together in one file, or were not for so long that the agent may
            have taken the first of them for all: it may come in scraps.
        destroyed: No file that can be read has it any more.
        doubtful: It was destroyed before the agent had delivered it.
        twice: It is in a copy that lacks what followed it when it was read: after a restart nobody
            can tell that from another file that begins alike.
        endless: Its writer died before the end of the line.
        loose: It was the last of a file that was copied and cut before anyone had read it: from
            what came next into that file nobody can tell whether it goes on with this. Or it was
            the last of a file that was out of sight: that may be taken for over.
        astray: It was written into a file that may have been over for whoever reads it: it may come
            later than what follows it, and apart from its line.
        owed: If it is missing, the agent has to say that something is.
    """

    number: int
    text: str
    raw: bytes
    track: Track
    ends: bool = True
    place: int = 0
    sheet: int = 0
    half: bool = False
    torn: bool = False
    destroyed: bool = False
    doubtful: bool = False
    twice: bool = False
    endless: bool = False
    loose: bool = False
    astray: bool = False
    owed: bool = False

    @property
    def mark(self) -> str:
        """What shows that a document has it."""
        return self.text.rstrip("\n")

    def is_scrap(self, text: str) -> bool:
        """Tell whether a document may have this text because the line is torn."""
        return self.torn and text.rstrip("\n") in self.raw.decode()


class Texts:
    """The texts of some documents, to look for pieces in."""

    def __init__(self, texts: list[str]) -> None:
        """Take them."""
        self.all = texts
        self._joined = "\0".join(texts)

    def have(self, piece: Piece) -> bool:
        """Tell whether a piece is in one of them, or a scrap of it."""
        if piece.mark in self._joined:
            return True
        return piece.torn and any(text and piece.is_scrap(text) for text in self.all)


@dataclass
class Book:
    """All that was written.

    Attributes:
        main: The format in which the container's lines are written.
        delivered: Returns the texts of all documents that were delivered.
        knows: Tells whether the agent has saved anything of a file, by device and inode.
        series: Number of the present series.
        tracks: Its pieces, by track, in the order of their writing.
        banners: The first lines of files that begin alike.
        half_heads: A file held a banner and some bytes of a line: what begins with these may be
            taken for it, and its first line come without them.
        nameless: Numbers of the files that have lost their names.
        linked: Numbers of the files that had two names, which are in two series.
    """

    main: Format
    delivered: Callable[[], list[str]]
    knows: Callable[[tuple[int, int]], bool]
    series: int = 0
    tracks: dict[Track, list[Piece]] = field(default_factory=lambda: defaultdict(list))
    banners: list[Piece] = field(default_factory=list)
    half_heads: bool = False
    nameless: set[int] = field(default_factory=set)
    linked: set[int] = field(default_factory=set)
    _number: int = 0

    def piece(self, argument: int, *, ends: bool = True) -> Piece:
        """Begin a line or go on with one: the next piece in the main format."""
        if self.main == "plain":
            return self.plain(argument)
        self._number += 1
        stream, mark = STREAMS[argument % 2], self._mark(argument)
        if self.main == "cri":
            raw = cri_line(mark, stream=stream, number=self._number, partial=not ends)
            return self._add(Piece(self._number, mark, raw, (self.series, stream), ends))
        text = mark + "\n" * ends
        raw = docker_line(text, stream=stream, number=self._number)
        return self._add(Piece(self._number, text, raw, (self.series, stream), ends))

    def plain(self, argument: int) -> Piece:
        """A line of plain text, which belongs to no stream."""
        self._number += 1
        mark = self._mark(argument)
        return self._add(Piece(self._number, mark, mark.encode() + b"\n", (self.series, "")))

    def banner(self, text: bytes) -> Piece:
        """The first line of a file."""
        piece = Piece(0, text.decode().rstrip("\n"), text, (self.series, ""))
        self.banners.append(piece)
        return piece

    def open_streams(self) -> list[str]:
        """Return the streams of the present series in which a line has no end yet."""
        ends = {s: self.tracks[self.series, s][-1:] for s in STREAMS}
        return [stream for stream, last in ends.items() if last and not last[0].ends]

    def end_series(self) -> None:
        """Go on with another series; the lines that are open stay without their ends.

        What is gone of the series before may not be told for long: it may come back.
        """
        for stream in self.open_streams():
            for piece in reversed(self.tracks[self.series, stream]):
                if piece.ends:
                    break
                piece.endless = True
        for piece in (piece for pieces in self.tracks.values() for piece in pieces):
            piece.owed = False
        self.series += 1

    def lost(self, pieces: list[Piece], *, seen: bool) -> None:
        """Note that no file has these any more.

        Args:
            pieces: What was destroyed.
            seen: Whether the agent knew the file.
        """
        texts = Texts(self.delivered())
        for piece in pieces:
            piece.destroyed = True
            # A banner that stands where one was read that is gone may be taken for that.
            if not piece.number or not texts.have(piece):
                piece.doubtful = True
                piece.owed |= seen and piece.number > 0

    def was_settled(self) -> None:
        """Note that lines of which there are parts may be taken for over."""
        for pieces in self.tracks.values():
            if pieces and not pieces[-1].ends:
                pieces[-1].loose = True

    def may_part(self, one: Piece, two: Piece) -> bool:
        """Tell whether a line may come in two between two pieces that are side by side.

        It may where one of them was destroyed or is astray, or the first is loose, and between two
        files if one from the first to the second has lost its name: then others may have been
        between; or if one of them was followed under another name. And where a part before them was
        destroyed: at a stop the line is given up, or nobody would ever deliver that part.
        """
        if one.loose or any(p.destroyed or p.torn or p.astray for p in (one, two)):
            return True
        if any(part.destroyed for part in self._parts_before(one)):
            return True
        between = set(range(one.sheet, two.sheet + 1))
        if between & self.linked:
            return True
        return one.sheet != two.sheet and bool(between & self.nameless)

    def _parts_before(self, piece: Piece) -> Iterator[Piece]:
        """Yield the parts of its line that were written before."""
        track = self.tracks[piece.track]
        return takewhile(lambda part: not part.ends, reversed(track[: piece.place]))

    def due(self) -> list[Piece]:
        """Return the pieces that the agent can deliver by now, and must."""
        due = []
        for pieces in self.tracks.values():
            line: list[Piece] = []
            for piece in pieces:
                line.append(piece)
                if piece.ends:
                    due += [] if self._may_wait(line) else line
                    line = []
        return due

    def _may_wait(self, line: list[Piece]) -> bool:
        """Tell whether a part of a line may wait for an end that does not come to it."""
        if any(piece.doubtful or piece.half for piece in line):
            return True
        return any(self.may_part(one, two) for one, two in pairwise(line))

    def waiting(self) -> int:
        """Return how much that is due was not delivered yet."""
        return self._missing(self.due())

    def waiting_at_last(self) -> int:
        """The same when lines whose ends do not come are not waited for any more."""
        every = (piece for pieces in self.tracks.values() for piece in pieces)
        return self._missing([piece for piece in every if not piece.doubtful])

    @property
    def is_owed(self) -> bool:
        """Whether something is missing of which the agent has to say so."""
        texts = Texts(self.delivered())
        every = (piece for pieces in self.tracks.values() for piece in pieces)
        return any(piece.owed and not texts.have(piece) for piece in every)

    def _missing(self, due: list[Piece]) -> int:
        texts = Texts(self.delivered())
        missing = sum(not texts.have(piece) for piece in due)
        sure = [piece for piece in self.banners if not piece.doubtful]
        begun = {piece.text for piece in sure}
        return missing + max(0, len(sure) - sum(text in begun for text in texts.all))

    def _add(self, piece: Piece) -> Piece:
        track = self.tracks[piece.track]
        piece.place = len(track)
        track.append(piece)
        return piece

    def _mark(self, argument: int) -> str:
        return f"<{self._number}:" + "x" * (argument % 7 * 11) + ">"
