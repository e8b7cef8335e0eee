"""The verdict: which documents there are that may not be, and which are missing."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

from tests.source.model.book import Book, Piece, Texts

_MARK = re.compile(r"<(\d+):x*>\n?")


def faults(book: Book, logs: list[str], *, told: bool, gaps: bool) -> list[str]:
    """Return what is wrong with what was delivered, in words.

    Args:
        book: What was written.
        logs: The text of each document.
        told: Whether the agent says that it could not read everything.
        gaps: Whether it says that something may have come and gone unseen: no line is put together
            over such a place, so one may be cut there.
    """
    return list(_Judge(book, logs, gaps=gaps).faults(told=told))


class _Judge:
    def __init__(self, book: Book, logs: list[str], *, gaps: bool) -> None:
        self._book, self._gaps = book, gaps
        self._logs = logs
        self._pieces = {p.number: p for track in book.tracks.values() for p in track}
        self._torn = [piece for piece in self._pieces.values() if piece.torn]
        whole = [log for log in logs if not self._is_scrap(log)]
        self._found = Counter(
            self._pieces[int(number)] for log in whole for number in _MARK.findall(log)
        )

    def faults(self, *, told: bool) -> Iterator[str]:
        yield from self._banners()
        for piece, count in self._found.items():
            if count > 1 + piece.twice:
                yield f"{piece.text!r} is in {count} documents"
        for log in self._logs:
            if log not in self._banner_texts and not self._is_scrap(log):
                yield from (f"{log!r}: {fault}" for fault in self._document(log))
        texts = Texts(self._logs)
        missing = [piece for piece in self._pieces.values() if not texts.have(piece)]
        for piece in missing:
            if not piece.doubtful:
                yield f"{piece.text!r} is missing"
        if any(piece.owed for piece in missing) and not told:
            yield f"{[p.text for p in missing]} are missing, and the agent does not say so"

    @property
    def _banner_texts(self) -> set[str]:
        return {piece.text for piece in self._book.banners}

    def _banners(self) -> Iterator[str]:
        for text in self._banner_texts:
            least = sum(p.text == text and not p.doubtful for p in self._book.banners)
            most = sum(1 + p.twice for p in self._book.banners if p.text == text)
            if not least <= self._logs.count(text) <= most:
                yield f"{text!r} is there {self._logs.count(text)} times, not {least}..{most}"

    def _document(self, log: str) -> Iterator[str]:
        """Yield what is wrong with a document: what its pieces are, and what is between them."""
        parts: list[Piece | None] = []
        end = 0
        for match in _MARK.finditer(log):
            piece = self._pieces[int(match[1])]
            parts += [None, piece] if match.start() > end else [piece]
            if log[match.start() : match.end()] != piece.text:
                yield f"it has not the text of {piece.text!r}"
            yield from self._scrap(log[end : match.start()])
            end = match.end()
        yield from self._scrap(log[end:])
        parts += [None] if end < len(log) else []
        if parts:
            yield from self._joints(parts)
        else:
            yield "no such line was written"

    def _scrap(self, text: str) -> Iterator[str]:
        if text and not self._is_scrap(text):
            yield f"{text!r} was written nowhere"

    def _joints(self, parts: list[Piece | None]) -> Iterator[str]:
        first, last = parts[0], parts[-1]
        if first is not None and not self._may_begin(first):
            yield "its beginning is missing"
        if last is not None and not self._may_end(last):
            yield "its end is missing"
        for one, two in pairwise(parts):
            if one is not None and two is not None and not self._may_follow(one, two):
                yield f"{two.text!r} is glued to {one.text!r}"

    def _is_scrap(self, text: str) -> bool:
        return any(text != piece.text and piece.is_scrap(text) for piece in self._torn)

    def _may_begin(self, piece: Piece) -> bool:
        if not piece.place:
            return True
        before = self._book.tracks[piece.track][piece.place - 1]
        return self._gaps or before.ends or self._book.may_part(before, piece)

    def _may_end(self, piece: Piece) -> bool:
        after = self._book.tracks[piece.track][piece.place + 1 :]
        if self._gaps or piece.ends or piece.endless or not after:
            return True
        return self._book.may_part(piece, after[0])

    def _may_follow(self, one: Piece, two: Piece) -> bool:
        between = self._book.tracks[one.track][one.place + 1 : two.place]
        return (
            one.track == two.track
            and not one.ends
            and one.place < two.place
            and all(self._may_be_left_out(piece, after=one) for piece in between)
        )

    def _may_be_left_out(self, piece: Piece, *, after: Piece) -> bool:
        """Tell whether a line may go on without one of its pieces."""
        if piece.sheet in self._book.linked or piece.astray:
            return True  # it is in another series, too; or comes later
        return (piece.destroyed or piece.torn) and (after.twice or piece not in self._found)
