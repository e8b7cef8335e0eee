"""The conservation law, checked on what is written down: every planted miscount is found (I9)."""

import asyncio
import os
import sqlite3
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipper.buffer.audit import (
    Books,
    audit,
    broken_laws,
    missing_chunks,
    read_books,
    stray_chunks,
    wrong_counters,
    wrong_sizes,
)
from shipper.buffer.spool import Spool
from shipper.buffer.state import State
from shipper.errors import StateError
from shipper.model import FileStatus, Position
from tests.buffer.running import read_of, running


def change(state_dir: Path, statement: str, *values: int) -> None:
    """Change state.db behind the back of whoever uses it."""
    with closing(sqlite3.connect(state_dir / "state.db")) as db, db:
        db.execute(statement, values)


def buffered(root: Path, then: Callable[[Spool], None] = lambda _: None) -> None:
    """Leave a buffer behind: two chunks of which one is shipped, a dead letter, dropped bytes."""

    async def run() -> None:
        async with running(root) as spool:
            spool.append(read_of([1, 2, 3], end=5, dropped=2))
            await spool.flush()
            spool.append(read_of([4], end=6))
            await spool.flush()
            await spool.shipped(await spool.claim(), delivered=2, dead=1)
            then(spool)

    asyncio.run(run())


def laws(state_dir: Path) -> list[str]:
    return [mismatch.law for mismatch in audit(state_dir)]


def test_account_of_a_buffer_adds_up(tmp_path: Path) -> None:
    """With the agent running and after its end: no false alarm."""
    buffered(tmp_path, lambda spool: check_is_clean(tmp_path, spool))
    assert audit(tmp_path) == []


def check_is_clean(state_dir: Path, spool: Spool) -> None:
    assert audit(state_dir) == []
    books = read_books(state_dir)
    exported = Counter({**spool.totals, ("buffered", ""): spool.buffered_documents})
    assert wrong_counters(books, exported=[exported]) == []
    assert books.stray == frozenset()


@pytest.mark.parametrize(
    ("law", "statement"),
    [
        ("positions", "UPDATE files SET end_offset = end_offset - 1"),
        ("positions", "DELETE FROM files"),
        ("positions", "UPDATE totals SET value = value + 1 WHERE name = 'forgotten_bytes'"),
        ("bytes", "UPDATE totals SET value = value + 1 WHERE name = 'chunked_bytes'"),
        ("bytes", "UPDATE totals SET value = value - 1 WHERE name = 'dropped_bytes'"),
        ("bytes", "UPDATE files SET pending_bytes = 1"),
        ("documents", "UPDATE totals SET value = value + 1 WHERE name = 'delivered'"),
        ("documents", "UPDATE totals SET value = value - 1 WHERE name = 'dead'"),
        ("documents", "INSERT INTO totals VALUES ('lost_documents', '', 1)"),
        ("documents", "UPDATE chunks SET documents = documents + 1"),
        ("chunks", "UPDATE chunks SET file_bytes = file_bytes + 1"),
    ],
)
def test_planted_miscount_is_found(tmp_path: Path, law: str, statement: str) -> None:
    """Whichever term of a law is wrong by one, that law and no other does not hold."""
    buffered(tmp_path)
    change(tmp_path, "INSERT OR IGNORE INTO totals VALUES ('forgotten_bytes', '', 0)")
    change(tmp_path, statement)
    assert laws(tmp_path) == [law]


def test_miscount_of_what_is_read_breaks_both_of_its_laws(tmp_path: Path) -> None:
    """The bytes read are on one side of two laws; each says what it is and what it should be."""
    buffered(tmp_path)
    change(tmp_path, "UPDATE totals SET value = value + 5 WHERE name = 'read_bytes'")
    found = audit(tmp_path)
    assert [(m.law, m.left_value, m.right_value, m.difference) for m in found] == [
        ("positions", 11, 6, 5),
        ("bytes", 11, 6, 5),
    ]


@pytest.mark.parametrize("gone", [True, False])
def test_chunk_without_its_whole_file_is_found(tmp_path: Path, *, gone: bool) -> None:
    """One that is deleted, and one that is cut."""
    buffered(tmp_path)
    (chunk,) = (tmp_path / "chunks").iterdir()
    chunk.unlink() if gone else os.truncate(chunk, 10)
    (mismatch,) = audit(tmp_path)
    assert (mismatch.law, mismatch.difference) == ("chunks", 1)
    assert chunk.name in mismatch.right


def test_chunk_that_was_shipped_meanwhile_is_not_missed(tmp_path: Path) -> None:
    """Its row went first: there is none any more when the file is found to be gone (I1)."""

    async def run() -> None:
        async with running(tmp_path) as spool:
            spool.append(read_of([1], end=1))
            await spool.flush()
            before = read_books(tmp_path)
            await spool.shipped(await spool.claim(), delivered=1)
            assert len(before.chunks) == 1
            assert missing_chunks(tmp_path, before) == []

    asyncio.run(run())


def test_chunk_file_without_a_row_is_seen(tmp_path: Path) -> None:
    """Of this database alone: those of another one are adopted at the next start."""
    buffered(tmp_path)
    (chunk,) = (tmp_path / "chunks").iterdir()
    chunk.with_name("ffffffff-00000000000000000001.ndjson.gz").touch()
    name, _, ending = chunk.name.partition(".")
    stray = chunk.with_name(f"{name[:-1]}{(int(name[-1]) + 1) % 10}.{ending}")
    stray.touch()
    books = read_books(tmp_path)
    assert books.stray == {stray.name}
    (mismatch,) = stray_chunks(books, books.stray)
    assert (mismatch.law, mismatch.difference) == ("chunks", 1)
    assert stray.name in mismatch.left
    assert stray_chunks(books, ()) == []


def test_counter_that_is_not_what_is_written_is_found(tmp_path: Path) -> None:
    """Exported counters are those of a commit, of before or after state.db was read."""
    buffered(tmp_path)
    books = read_books(tmp_path)
    right = Counter({**books.totals, ("buffered", ""): 1})
    wrong = right + Counter({("read_bytes", ""): 3})
    assert wrong_counters(books, exported=[right, wrong]) == []
    assert wrong_counters(books, exported=[wrong, right]) == []
    (mismatch,) = wrong_counters(books, exported=[wrong, wrong])
    assert (mismatch.law, mismatch.difference) == ("counters", 3)
    assert mismatch.left == "read_bytes as exported"
    del right["dropped_bytes", "rule"]
    (mismatch,) = wrong_counters(books, exported=[right])
    assert mismatch.left == "dropped_bytes rule as exported"


# -- sizes


def followed(path: Path, state_dir: Path, *, end: int) -> tuple[Books, FileStatus]:
    """A file of ten bytes that is committed up to `end`, and what the agent says of it."""
    path.write_bytes(b"123456789\n")
    status = path.stat()

    async def run() -> None:
        async with running(state_dir) as spool:
            read = read_of([1], end=end)
            file = replace(read.files[0], device=status.st_dev, inode=status.st_ino)
            spool.append(replace(read, files=(file.at(Position(end)),)))
            await spool.flush()

    asyncio.run(run())
    told = FileStatus(str(path), "k", 10, min(end, 10), 0, held=False, live=True)
    return read_books(state_dir), told


def test_position_behind_the_end_of_a_file_is_found(tmp_path: Path) -> None:
    """A position may be anywhere in the file, and nowhere else."""
    books, file = followed(tmp_path / "a.log", tmp_path, end=10)
    assert wrong_sizes(books, [file]) == []
    books, file = followed(tmp_path / "b.log", tmp_path, end=13)
    (mismatch,) = wrong_sizes(books, [file])
    assert (mismatch.law, mismatch.left_value, mismatch.right_value) == ("sizes", 13, 10)


def test_lag_that_is_not_on_disk_is_found(tmp_path: Path) -> None:
    """Position and lag make the size: an agent that sees more than there is counts lag twice."""
    books, file = followed(tmp_path / "a.log", tmp_path, end=4)
    (mismatch,) = wrong_sizes(books, [replace(file, size_bytes=12)])
    assert mismatch.difference == 2


def test_file_that_cannot_be_compared_is_no_mismatch(tmp_path: Path) -> None:
    """A truncated one that the agent knows of, another one at the path, none, a compressed one."""
    path = tmp_path / "a.log"
    books, file = followed(path, tmp_path, end=13)
    assert wrong_sizes(books, [replace(file, size_bytes=5)]) == []
    assert wrong_sizes(books, [replace(file, key="")]) == []
    assert wrong_sizes(books, [replace(file, path=f"{path}.gz")]) == []
    path.rename(tmp_path / "a.log.1")
    assert wrong_sizes(books, [file]) == []
    path.write_bytes(b"new\n")
    assert wrong_sizes(books, [file]) == []


# -- what a start may do


def test_account_goes_on_when_positions_are_forgotten(tmp_path: Path) -> None:
    """Bytes that were pending are dropped then: they are read again, and counted again."""

    async def run() -> None:
        async with running(tmp_path) as spool:
            read = read_of([1, 2], end=5)
            files = (read.files[0].at(Position(5, {"stdout": 2}, pending_bytes=3)),)
            spool.append(replace(read, files=files, read_bytes=5))
            await spool.flush()
            spool.forget_files()
            check_is_clean(tmp_path, spool)
            assert spool.totals["dropped_bytes", "forgotten"] == 3
            spool.append(read_of([1, 2], end=2))
            await spool.flush()
            check_is_clean(tmp_path, spool)

    asyncio.run(run())


@pytest.mark.parametrize("pending", [0, 3])
def test_account_goes_on_after_an_upgrade(tmp_path: Path, pending: int) -> None:
    """What was pending in a state of schema 1 is no mismatch then, nor when it is chunked later."""
    buffered(tmp_path)
    state = tmp_path / "state.db"
    for column in ("pending_bytes", "seen_bytes", "since", "sequence", "awaited"):
        change(tmp_path, f"ALTER TABLE files DROP COLUMN {column}")
    change(tmp_path, "DROP TABLE known")
    change(tmp_path, "UPDATE files SET end_offset = end_offset + ?", pending)
    change(tmp_path, "UPDATE totals SET value = value + ? WHERE name = 'read_bytes'", pending)
    change(tmp_path, "PRAGMA user_version = 1")
    with pytest.raises(StateError, match="cannot be read"):
        read_books(tmp_path)
    State(state).close()
    assert audit(tmp_path) == []
    change(tmp_path, "UPDATE totals SET value = value + ? WHERE name = 'chunked_bytes'", pending)
    assert audit(tmp_path) == []
    change(tmp_path, "UPDATE totals SET value = value + 1 WHERE name = 'chunked_bytes'")
    assert laws(tmp_path) == ["bytes"]


# -- the laws themselves


@given(st.integers(0, 100), st.integers(0, 100), st.integers(-5, 5))
def test_pending_bytes_that_an_upgrade_could_not_know_are_no_mismatch(
    unknown: int, missing: int, wrong: int
) -> None:
    """Up to what was pending when schema 1 was upgraded may be missing, and not a byte more."""
    missing = min(unknown, missing)
    totals = Counter({("read_bytes", ""): 1000, ("forgotten_bytes", ""): 1000})
    totals["unknown_pending_bytes", ""] = unknown
    totals["chunked_bytes", ""] = 1000 - missing + wrong
    broken = broken_laws(Books("id", totals))
    assert bool(broken) == (not 0 <= missing - wrong <= unknown)


@pytest.mark.parametrize("gone", ["state.db", "chunks"])
def test_state_that_is_not_there_is_said(tmp_path: Path, gone: str) -> None:
    """A check that finds nothing to check is no check that found nothing."""
    buffered(tmp_path)
    (tmp_path / gone).rename(tmp_path / "elsewhere")
    with pytest.raises(StateError, match="cannot be"):
        audit(tmp_path)


def test_state_that_is_no_database_is_said(tmp_path: Path) -> None:
    """So is one that is broken."""
    buffered(tmp_path)
    for path in tmp_path.glob("state.db*"):
        path.unlink()
    (tmp_path / "state.db").write_bytes(b"no database" * 1000)
    with pytest.raises(StateError, match="cannot be read"):
        audit(tmp_path)
