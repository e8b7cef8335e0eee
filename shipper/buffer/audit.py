"""Checks the conservation law (I9) on what is written down, independently of who counts.

Theory of operation: positions, chunk rows and totals are read from state.db through a connection
of its own, in one transaction, so they are those of one commit, and the laws hold exactly. Files
are looked at beside it, in the order in which they may appear and go (I1): a row that is still
there after its file was missed has lost it.

Owns: nothing. Does not know: the agent, whose counters it is given to compare.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from shipper.buffer.chunk import list_chunks
from shipper.buffer.schema import read_only
from shipper.buffer.state import Totals
from shipper.errors import StateError
from shipper.metrics import TOTALS
from shipper.model import FileStatus

_COMPRESSED = ".gz"
_REPORT = "please report it with this message"


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A law that does not hold.

    Attributes:
        law: One of `metrics.LAWS`.
        left: What one side is, in words.
        left_value: Its bytes, documents or files.
        right: What the other side is.
        right_value: Its value, which should be the same, or at most that, where the words say so.
        advice: What to do.
    """

    law: str
    left: str
    left_value: int
    right: str
    right_value: int
    advice: str = _REPORT

    @property
    def difference(self) -> int:
        """By how much the sides differ."""
        return abs(self.left_value - self.right_value)


@dataclass(frozen=True, slots=True)
class SavedPlace:
    """A row of a file: where it was, and how far it is committed."""

    device: int
    inode: int
    end: int


@dataclass(frozen=True, slots=True)
class Books:
    """What state.db says at one commit.

    Attributes:
        database_id: What the names of its chunks begin with.
        totals: The totals of the law.
        places: Files by key.
        pending_bytes: Of all files.
        chunks: Size of each chunk's file, by name.
        documents: Of all chunks.
        stray: Chunk files of this database without a row, also one whose seal or removal was under
            way.
    """

    database_id: str
    totals: Totals
    places: Mapping[str, SavedPlace] = field(default_factory=dict)
    pending_bytes: int = 0
    chunks: Mapping[str, int] = field(default_factory=dict)
    documents: int = 0
    stray: frozenset[str] = frozenset()


def read_books(state_dir: Path) -> Books:
    """Read state.db at one commit, beside whoever writes it.

    Raises:
        StateError: It, or the chunk directory, is not there or cannot be read.
    """
    path = state_dir / "state.db"
    try:
        listed = list_chunks(
            state_dir / "chunks"
        )  # before the rows: a file is there before its row
        with contextlib.closing(read_only(path)) as db:
            db.execute("BEGIN")
            return _read(db, listed)
    except sqlite3.Error as error:
        raise StateError(f"{path}: cannot be read: {error}") from error
    except OSError as error:
        raise StateError(f"{error.filename}: cannot be listed: {error.strerror}") from error


def audit(state_dir: Path) -> list[Mismatch]:
    """Return the laws that do not hold in a state directory, whether an agent works on it or not.

    Raises:
        StateError: state.db cannot be read.
    """
    books = read_books(state_dir)
    return [*broken_laws(books), *missing_chunks(state_dir, books)]


def broken_laws(books: Books) -> list[Mismatch]:
    """Return which of the laws within state.db do not hold."""
    totals = books.totals
    read, chunked = totals["read_bytes", ""], totals["chunked", ""]
    ends = sum(place.end for place in books.places.values())
    found = [
        Mismatch(
            "positions",
            "bytes read (the counter)",
            read,
            "the sum of all positions, with those that were forgotten",
            ends + totals["forgotten_bytes", ""],
        ),
        _bytes(books),
        Mismatch(
            "documents",
            "documents made (the counter)",
            chunked,
            "those delivered, dead, lost and in the buffer",
            sum(totals[name, ""] for name in ("delivered", "dead", "lost_documents"))
            + books.documents,
        ),
    ]
    return [law for law in found if law.difference]


def missing_chunks(state_dir: Path, books: Books) -> list[Mismatch]:
    """Return whether chunks have lost their files.

    Raises:
        StateError: state.db cannot be read.
    """
    directory = state_dir / "chunks"
    missing = _not_whole(directory, books)
    if missing:  # the row goes first, so one that is shipped by now has none any more
        missing &= read_books(state_dir).chunks.keys()
    if not missing:
        return []
    return [
        Mismatch(
            "chunks",
            "chunks in the buffer",
            len(books.chunks),
            f"those of them with a whole file (there is none for {min(missing)})",
            len(books.chunks) - len(missing),
            f"find out who changes files in {directory}, or check the disk; the documents of a"
            " chunk without its file are counted as lost at the next start",
        )
    ]


def stray_chunks(books: Books, names: Collection[str]) -> list[Mismatch]:
    """Return what is to be said of chunk files without a row, once no seal can explain them."""
    if not names:
        return []
    return [
        Mismatch(
            "chunks",
            f"chunk files (among them {min(names)}, which no row speaks of)",
            len(books.chunks) + len(names),
            "chunks in the buffer",
            len(books.chunks),
            f"nothing of it is lost, and it is removed at the next start; {_REPORT}",
        )
    ]


def wrong_sizes(books: Books, files: Iterable[FileStatus]) -> list[Mismatch]:
    """Return whether files are shorter than what the agent says that it has read of them.

    Args:
        books: The positions.
        files: What the agent says of the files that it has open, of before or after.
    """
    for file in files:
        place = books.places.get(file.key)
        if place is None or file.path.endswith(_COMPRESSED) or file.size_bytes < file.read_bytes:
            continue  # of the last the agent knows: it was truncated
        size = _size(file.path, place)
        if size is not None and size < max(place.end, file.size_bytes):
            return [
                Mismatch(
                    "sizes",
                    f"the position in {file.path}, or its size as the agent knows it",
                    max(place.end, file.size_bytes),
                    "its size on disk, which should not be less,",
                    size,
                    f"if it was just truncated, nothing; else lines may be left out: {_REPORT}",
                )
            ]
    return []


def wrong_counters(
    books: Books, *, exported: Iterable[Mapping[tuple[str, str], int]]
) -> list[Mismatch]:
    """Return whether the counters that the agent exports are not those of state.db.

    Args:
        books: What state.db says, with its documents in the buffer as `buffered`.
        exported: The counters before and after that was read: a commit may have changed them.
    """
    written = {**books.totals, ("buffered", ""): books.documents}
    found: list[Mismatch] = []
    for counters in exported:
        found = _differing(written, counters)
        if not found:
            break
    return found


def _differing(
    written: Mapping[tuple[str, str], int], counters: Mapping[tuple[str, str], int]
) -> list[Mismatch]:
    exported = {key for key in written.keys() | counters.keys() if key[0] in {*TOTALS, "buffered"}}
    for key in sorted(exported):
        here, there = counters.get(key, 0), written.get(key, 0)
        if here != there:
            name = " ".join(part for part in key if part)
            return [Mismatch("counters", f"{name} as exported", here, "in state.db", there)]
    return []


def _bytes(books: Books) -> Mismatch:
    """State where the bytes went that were read.

    A state of schema 1 did not know how many bytes were pending when it was upgraded; how many
    they were at most is kept (`schema`), and so much may be missing on the right.
    """
    totals = books.totals
    dropped = sum(count for (name, _), count in totals.items() if name == "dropped_bytes")
    known = totals["chunked_bytes", ""] + dropped + books.pending_bytes
    read, unknown = totals["read_bytes", ""], totals["unknown_pending_bytes", ""]
    if min(0, unknown) <= read - known <= max(0, unknown):
        known = read
    words = "those in chunks, dropped and pending"
    return Mismatch("bytes", "bytes read (the counter)", read, words, known)


def _read(db: sqlite3.Connection, listed: Iterable[str]) -> Books:
    (database_id,) = db.execute("SELECT value FROM meta WHERE name = 'database_id'").fetchone()
    files = db.execute("SELECT key, device, inode, end_offset FROM files")
    places = {key: SavedPlace(*rest) for key, *rest in files}
    (pending,) = db.execute("SELECT COALESCE(SUM(pending_bytes), 0) FROM files").fetchone()
    rows = db.execute("SELECT name, file_bytes, documents FROM chunks").fetchall()
    chunks = {name: file_bytes for name, file_bytes, _ in rows}
    totals = db.execute("SELECT name, label, value FROM totals")
    return Books(
        database_id,
        Counter({(name, label): value for name, label, value in totals}),
        places,
        pending,
        chunks,
        sum(documents for _, _, documents in rows),
        frozenset(n for n in listed if n.startswith(f"{database_id}-") and n not in chunks),
    )


def _not_whole(directory: Path, books: Books) -> set[str]:
    found = set()
    for name, file_bytes in books.chunks.items():
        try:
            whole = (directory / name).stat().st_size == file_bytes
        except OSError:
            whole = False
        if not whole:
            found.add(name)
    return found


def _size(path: str, place: SavedPlace) -> int | None:
    """Return the size of a file; None if its path shows another one, or none."""
    try:
        status = os.stat(path)  # noqa: PTH116  # thousands of them each minute
    except OSError:
        return None
    same = (status.st_dev, status.st_ino) == (place.device, place.inode)
    return status.st_size if same else None
