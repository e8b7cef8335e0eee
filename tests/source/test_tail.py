"""Tail: blocks of whole lines, bounded memory, and the proof that the file is still the same."""

import gzip
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipper.model import Position, SavedFile
from shipper.source.block import Block, Limits
from shipper.source.identity import Identity, position_check
from shipper.source.recognise import identify
from shipper.source.tail import Tail

SMALL = Limits(block_bytes=64, max_line_bytes=200)


def identity_of(*saved: SavedFile) -> Identity:
    return Identity("n", lambda base: [file for file in saved if file.base == base])


def blocks_of(tail: Tail, *, final: bool = True, most_bytes: int = 1 << 20) -> list[Block]:
    """Read a file to its end; with `final`, its last half line, too."""
    assert tail.update()
    assert identify(tail, identity_of(), final=final)
    blocks = []
    while True:
        block = tail.read(most_bytes)
        if block is None and not tail.scanning:
            break
        blocks += [block] if block else []
    rest = tail.read_rest() if final else None
    return [*blocks, *([rest] if rest else [])]


@given(st.lists(st.integers(0, 400), min_size=1, max_size=20), st.booleans(), st.integers(1, 100))
def test_blocks_are_the_bytes_of_the_file(
    tmp_path_factory: pytest.TempPathFactory, lengths: list[int], ended: bool, most_bytes: int
) -> None:
    """I3: blocks follow one another without a gap, end at newlines, and hold each line as it is."""
    lines = [bytes([97 + n % 26]) * length + b"\n" for n, length in enumerate(lengths)]
    content = b"".join(lines) if ended else b"".join(lines)[:-1]
    path = tmp_path_factory.mktemp("tail") / "a.log"
    path.write_bytes(content or b"\n")
    tail = Tail(str(path), "/a.log", limits=SMALL)
    try:
        blocks = blocks_of(tail, most_bytes=most_bytes)
    finally:
        tail.close()
    offset = 0
    for block in blocks:
        assert len(block.data) <= most_bytes or block.data.count(b"\n") <= 1
        assert block.offset == offset
        whole = (content or b"\n")[offset : block.end]
        assert block.data == (whole[: SMALL.max_line_bytes] if block.cut else whole)
        assert block.cut == (whole.count(b"\n") <= 1 and len(whole.rstrip(b"\n")) > 200)
        assert whole.endswith(b"\n") or block.end == len(content)
        offset = block.end
    assert offset == len(content or b"\n")


def test_what_is_read_next_is_told(tmp_path: Path) -> None:
    """A block, from the position on, or behind what is skipped; more where a line has no end."""
    path = tmp_path / "a.log"
    path.write_bytes(b"line\n" * 100)
    tail = Tail(str(path), "/a.log", limits=SMALL)
    assert tail.next_bytes[1] == range(64)
    assert tail.read() is not None
    assert tail.next_bytes[1] == range(60, 124)
    tail.skip(300, "why")
    assert tail.next_bytes[1] == range(300, 364)
    assert tail.read() is not None
    path.write_bytes(b"line\n" * 60 + b"x" * 10_000)
    assert tail.update()
    assert tail.read() is None
    assert tail.scanning
    reached = tail.next_bytes[1].start
    assert tail.next_bytes[1] == range(reached, reached + 16 * 64)
    tail.close()


def test_half_line_waits_for_its_newline(tmp_path: Path) -> None:
    """What follows the last newline is not read before its own has come."""
    path = tmp_path / "a.log"
    path.write_bytes(b"one\ntw")
    tail = Tail(str(path), "/a.log", limits=SMALL)
    assert [block.data for block in blocks_of(tail, final=False)] == [b"one\n"]
    with path.open("ab") as file:
        file.write(b"o\n")
    assert [block.data for block in blocks_of(tail, final=False)] == [b"two\n"]
    tail.close()


def test_endless_line_is_cut_in_bounded_memory(tmp_path: Path) -> None:
    """Of a line of 64 MiB the head is kept, with the whole length, and little memory is used."""
    path, size = tmp_path / "a.log", 64 << 20
    with path.open("wb") as file:
        file.write(b"x" * 5000)
        file.truncate(size)
        file.seek(size)
        file.write(b"\nnext\n")
    tail = Tail(str(path), "/a.log", limits=Limits(256 << 10, 1 << 20))
    tracemalloc.start()
    blocks = blocks_of(tail)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    tail.close()
    assert [(block.size, block.cut) for block in blocks] == [(size + 1, True), (5, False)]
    assert len(blocks[0].data) == 1 << 20
    assert peak < 8 << 20


def test_end_of_endless_line_is_not_read_twice(tmp_path: Path) -> None:
    """While a line that is too long grows, the search for its end goes on where it stood."""
    path = tmp_path / "a.log"
    path.write_bytes(b"x" * 1100)
    tail = Tail(str(path), "/a.log", limits=SMALL)
    assert blocks_of(tail, final=False) == []
    with path.open("ab") as file:
        file.write(b"x" * 1000 + b"\n")
    (block,) = blocks_of(tail, final=False)
    assert (block.data, block.size, block.cut) == (b"x" * 200, 2101, True)
    tail.close()


def test_short_head_waits_until_it_is_final(tmp_path: Path) -> None:
    """A file with neither a newline nor 1,024 bytes has no identity before it is final."""
    path = tmp_path / "a.log"
    path.write_bytes(b"begin")
    tail = Tail(str(path), "/a.log", limits=SMALL)
    assert not identify(tail, identity_of(), final=False)
    assert identify(tail, identity_of(), final=True)
    tail.close()


def test_empty_file_has_no_identity(tmp_path: Path) -> None:
    """An empty file is not identified, final or not."""
    path = tmp_path / "a.log"
    path.touch()
    tail = Tail(str(path), "/a.log", limits=SMALL)
    assert not identify(tail, identity_of(), final=True)
    tail.close()


def saved_after(path: Path) -> SavedFile:
    """Read a file to its end, and return what is saved of it then."""
    tail = Tail(str(path), "/a.log", limits=SMALL)
    blocks_of(tail)
    end, check = tail.offset, position_check(tail.window)
    tail.close()
    assert tail.claim
    position = Position(end, {}, check)
    return SavedFile(tail.claim.key, tail.claim.base, tail.stem, *tail.hint, position)


def resumed(path: Path, saved: SavedFile) -> int:
    """Return the offset at which a file is read on."""
    tail = Tail(str(path), "/a.log", limits=SMALL)
    assert identify(tail, identity_of(saved), final=True)
    tail.close()
    return tail.offset


CONTENT = b"".join(b"line %d\n" % number for number in range(500))


@pytest.mark.parametrize("length", [7, 1023, 1024, 1025, len(CONTENT)])
def test_position_is_taken_by_the_same_bytes(tmp_path: Path, length: int) -> None:
    """A renamed, grown or compressed file is read on where it was left."""
    path = tmp_path / "a.log"
    path.write_bytes(CONTENT[:length])
    saved = saved_after(path)
    with path.open("ab") as file:
        file.write(b"more\n")
    renamed = path.rename(tmp_path / "a.log.1")
    assert resumed(renamed, saved) == length
    compressed = tmp_path / "a.log.2.gz"
    compressed.write_bytes(gzip.compress(renamed.read_bytes()))
    assert resumed(compressed, saved) == length


def test_position_is_not_taken_by_other_bytes(tmp_path: Path) -> None:
    """A file that is shorter, or differs before the position, is read from its beginning."""
    path = tmp_path / "a.log"
    path.write_bytes(CONTENT)
    saved = saved_after(path)
    path.write_bytes(CONTENT[:-1])
    assert resumed(path, saved) == 0
    path.write_bytes(CONTENT[:-9] + b"X" + CONTENT[-8:])
    assert resumed(path, saved) == 0


@pytest.mark.parametrize("by", [b"", b"short\n", b"y" * 3000 + b"\n"])
def test_rewritten_file_is_noticed(tmp_path: Path, by: bytes) -> None:
    """A file truncated in place is noticed, also when it is longer than before at the next look."""
    path = tmp_path / "a.log"
    path.write_bytes(b"x" * 1000 + b"\n")
    tail = Tail(str(path), "/a.log", limits=SMALL)
    blocks_of(tail)
    path.write_bytes(by)
    assert not tail.update()
    assert tail.rewritten
    tail.close()


def test_rewritten_file_is_noticed_behind_a_hole(tmp_path: Path) -> None:
    """While only a hole was read, the line after it tells: the hole of another file is like it."""
    path = tmp_path / "a.log"
    path.write_bytes(b"\0" * 9 + b"one\n")
    tail = Tail(str(path), "/a.log", limits=SMALL)
    assert identify(tail, identity_of(), final=False)
    hole = tail.read()
    assert (hole and hole.size, tail.update()) == (9, True)
    path.write_bytes(b"\0" * 20 + b"two\n")
    assert not tail.update()
    tail.close()


def test_growth_is_noticed_once_it_is_there(tmp_path: Path) -> None:
    """A file has changed when its size is another than at the last reading, whoever looked."""
    path = tmp_path / "a.log"
    path.write_bytes(b"one\n")
    tail = Tail(str(path), "/a.log", limits=SMALL)
    blocks_of(tail)
    assert not tail.has_changed()
    with path.open("ab") as file:
        file.write(b"two\n")
    assert tail.has_changed()
    assert tail.has_changed()
    assert tail.unread_bytes == 4
    assert blocks_of(tail)
    assert not tail.has_changed()
    tail.close()


def test_compressed_file_without_its_end_is_not_identified(tmp_path: Path) -> None:
    """A `.gz` that is still being written waits; one that never ends is read as far as it goes."""
    path, data = tmp_path / "a.log.1.gz", gzip.compress(CONTENT)
    path.write_bytes(data[:-20])
    tail = Tail(str(path), "/a.log", limits=SMALL)
    assert not identify(tail, identity_of(), final=False)
    assert identify(tail, identity_of(), final=True)
    text = b"".join(block.data for block in blocks_of(tail))
    assert CONTENT.startswith(text)
    assert len(text) > 100
    tail.close()


def test_compressed_file_that_is_none_is_an_error(tmp_path: Path) -> None:
    """A `.gz` that holds something else cannot be read, and says so."""
    path = tmp_path / "a.log.1.gz"
    path.write_bytes(b"no gzip")
    tail = Tail(str(path), "/a.log", limits=SMALL)
    with pytest.raises(OSError, match="not a gzip file"):
        identify(tail, identity_of(), final=False)
    tail.close()


@pytest.mark.parametrize(
    ("nulls", "data"), [(0, b"a\n"), (1, b"a\n"), (5000, b"a\n"), (5000, b"a\0b\n"), (77, b"")]
)
@pytest.mark.parametrize("written", [True, False], ids=["written", "hole"])
def test_data_begins_behind_the_nulls(
    tmp_path: Path, nulls: int, data: bytes, *, written: bool
) -> None:
    """Leading NULs, written or never written, are passed, however long that takes."""
    path = tmp_path / "a.log"
    with path.open("wb") as file:
        file.write(b"\0" * nulls if written else b"")
        file.truncate(nulls)
        file.seek(nulls)
        file.write(data)
    tail = Tail(str(path), "/a.log", limits=SMALL)
    tail.update()
    found = -1
    for _ in range(100):  # each look is bounded
        found = max(found, tail.first_data())
    tail.close()
    assert found == (nulls if data else -1)


def test_look_without_reading_leaves_what_is_new_to_be_found(tmp_path: Path) -> None:
    """Whoever only notes how long a file is does not make it one that was read: it has changed."""
    path = tmp_path / "a.log"
    path.write_bytes(b"one\n")
    tail = Tail(str(path), "/a.log", limits=SMALL)
    blocks_of(tail)
    with path.open("ab") as file:
        file.write(b"two\n")
    assert tail.update(reads=False)
    assert (tail.seen_bytes, tail.size) == (8, (tail.size[0], 4))
    assert tail.has_changed()
    assert tail.update()
    assert not tail.has_changed()
    tail.close()
