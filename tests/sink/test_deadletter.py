"""Dead letters: kept once, bounded, readable beside a running agent."""

import asyncio
import sqlite3
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipper.errors import ShipperError, SinkUnavailable, StateError
from shipper.sink.bulk import Refusal
from shipper.sink.deadletter import DeadLetters, list_letters, read_letter

REFUSAL = Refusal(0, 400, "mapper_parsing_exception", "failed to parse")
OVERHEAD = 200 + len(REFUSAL.reason)


def letter(name: str, document: bytes = b"{}") -> tuple[bytes, bytes, Refusal]:
    return b'{"create":{"_index":"logs","_id":"%s"}}' % name.encode(), document, REFUSAL


def ids(path: Path) -> list[str]:
    return [found.id for found in list_letters(path)]


def test_letter_comes_back_whole(tmp_path: Path) -> None:
    """Index, id, status, type, reason and the very bytes of the document are kept, durably."""
    path = tmp_path / "dead.db"
    letters = DeadLetters(path, max_bytes=1 << 20)
    assert letters.keep([letter("a", b'{"log":"\xc3\xa9"}')]) == 0
    found = read_letter(path, 1)  # beside the one that writes
    letters.close()
    assert (found.number, found.index, found.id, found.status) == (1, "logs", "a", 400)
    assert (found.type, found.reason) == (REFUSAL.type, REFUSAL.reason)
    assert found.document == b'{"log":"\xc3\xa9"}'
    assert read_letter(path, 1) == found


def test_repeat_changes_nothing(tmp_path: Path) -> None:
    """A letter that was kept before a crash is kept once, over restarts too (I2)."""
    path = tmp_path / "dead.db"
    for _ in range(3):
        letters = DeadLetters(path, max_bytes=1 << 20)
        letters.keep([letter("a"), letter("b")])
        assert letters.count == 2
        letters.close()
    assert ids(path) == ["a", "b"]


def test_documents_without_an_id_are_told_apart_by_their_bytes(tmp_path: Path) -> None:
    """Two documents that were to get ids from the server are two letters."""
    letters = DeadLetters(tmp_path / "dead.db", max_bytes=1 << 20)
    action = b'{"create":{"_index":"logs"}}'
    letters.keep([(action, b'{"n":1}', REFUSAL), (action, b'{"n":2}', REFUSAL)])
    assert letters.count == 2
    letters.close()


@given(st.lists(st.lists(st.integers(0, 600), max_size=6), max_size=6), st.integers(0, 3_000))
def test_oldest_go_above_the_bound(batches: list[list[int]], max_bytes: int) -> None:
    """What is kept fits the bound, is the newest, and each one that went was counted."""
    with tempfile.TemporaryDirectory() as root:
        path = Path(root) / "dead.db"
        letters, gone = DeadLetters(path, max_bytes=max_bytes), 0
        sizes: list[int] = []
        for batch in batches:
            kept = [letter(str(len(sizes) + n), b"x" * size) for n, size in enumerate(batch)]
            gone += letters.keep(kept)
            sizes += batch
        found = ids(path)
        assert letters.count == len(found) == len(sizes) - gone
        assert found == [str(n) for n in range(gone, len(sizes))]
        held = sum(size + OVERHEAD for size in sizes[gone:])
        assert held <= max_bytes or not found
        assert not gone or held + sizes[gone - 1] + OVERHEAD > max_bytes, "no more than needed"
        letters.close()


def test_disk_that_refuses_leaves_all_as_it_was(tmp_path: Path) -> None:
    """Where nothing can be written, nothing is: the documents stay in their chunk."""
    path = tmp_path / "dead.db"
    letters = DeadLetters(path, max_bytes=1 << 20)
    letters.keep([letter("a")])
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("PRAGMA busy_timeout = 0")
    letters._db.execute("PRAGMA busy_timeout = 0")  # noqa: SLF001  # nobody waits in a test
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(SinkUnavailable, match=r"dead\.db cannot be written"):
        letters.keep([letter("b")])
    other.execute("ROLLBACK")
    other.close()
    assert letters.count == 1
    letters.keep([letter("b")])
    assert ids(path) == ["a", "b"]
    letters.close()


def test_disk_that_fills_up_half_way_keeps_none_of_a_chunk(tmp_path: Path) -> None:
    """The letters of a chunk are kept together or not at all; later there is room again."""
    path = tmp_path / "dead.db"
    letters = DeadLetters(path, max_bytes=1 << 20)
    chunk = [letter(str(number), b"x" * 50_000) for number in range(8)]
    letters._db.execute("PRAGMA max_page_count = 30")  # noqa: SLF001  # 120 KB: a full disk
    with pytest.raises(SinkUnavailable, match="full"):
        letters.keep(chunk)
    assert (letters.count, ids(path)) == (0, [])
    letters._db.execute("PRAGMA max_page_count = 1000")  # noqa: SLF001
    letters.keep(chunk)
    assert (letters.count, len(ids(path))) == (8, 8)
    letters.close()


def test_letters_can_be_kept_from_any_thread(tmp_path: Path) -> None:
    """The shipping side keeps them off the event loop."""
    letters = DeadLetters(tmp_path / "dead.db", max_bytes=1 << 20)
    asyncio.run(asyncio.to_thread(letters.keep, [letter("a")]))
    assert letters.count == 1
    letters.close()


def test_unusable_file_asks_for_an_operator(tmp_path: Path) -> None:
    """A damaged file, or one of a newer shipper, is not touched."""
    damaged, newer = tmp_path / "damaged.db", tmp_path / "newer.db"
    damaged.write_bytes(b"no database" * 100)
    db = sqlite3.connect(newer)
    db.execute("PRAGMA user_version = 2")
    db.close()
    for path, why in ((damaged, "not a database"), (newer, "newer shipper")):
        with pytest.raises(StateError, match=why):
            DeadLetters(path, max_bytes=1 << 20)
    assert damaged.read_bytes() == b"no database" * 100


def test_damage_behind_the_first_page_asks_for_an_operator(tmp_path: Path) -> None:
    """It shows only when what is kept is counted."""
    path = tmp_path / "dead.db"
    letters = DeadLetters(path, max_bytes=1 << 20)
    letters.keep([letter("a" * 3_000) for _ in range(20)])
    letters.close()
    data = path.read_bytes()
    path.write_bytes(data[:4096] + b"\xff" * (len(data) - 4096))
    with pytest.raises(StateError, match="move the file away"):
        DeadLetters(path, max_bytes=1 << 20)


def test_looking_where_nothing_is_says_so(tmp_path: Path) -> None:
    """No file, no such number and a damaged file are three different messages."""
    path = tmp_path / "dead.db"
    with pytest.raises(ShipperError, match="no document was ever refused"):
        ids(path)
    letters = DeadLetters(path, max_bytes=1 << 20)
    letters.close()
    assert ids(path) == []
    with pytest.raises(ShipperError, match="no dead letter 7"):
        read_letter(path, 7)
    path.write_bytes(b"no database" * 100)
    with pytest.raises(ShipperError, match="cannot be read"):
        ids(path)


def test_only_the_owner_may_read_it(tmp_path: Path) -> None:
    """The file holds log lines: others may not read it."""
    path = tmp_path / "dead.db"
    DeadLetters(path, max_bytes=1 << 20).close()
    assert path.stat().st_mode & 0o077 == 0
