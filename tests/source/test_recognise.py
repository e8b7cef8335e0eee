"""Recognise: which file an open one is, by its first line and what lies before its position."""

import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from shipper.model import Position, SavedFile
from shipper.source.block import HOLE, IGNORED, READ_FROM, Limits
from shipper.source.identity import Identity, position_check
from shipper.source.recognise import begin, identify
from shipper.source.tail import Tail
from tests.source.running import docker_line

TEXT = b"".join(b"line %d\n" % number for number in range(300))
LIMITS = Limits(1 << 16, 1 << 16)


@contextmanager
def opened(*paths: Path) -> Iterator[list[Tail]]:
    """Open files of one series, and look at them."""
    tails = [Tail(str(path), "/a.log", limits=LIMITS) for path in paths]
    try:
        for tail in tails:
            tail.update()
        yield tails
    finally:
        for tail in tails:
            tail.close()


class Known:
    """An agent's identities, and what it has saved."""

    def __init__(self) -> None:
        self.files: list[SavedFile] = []
        self.identity = Identity("n", lambda base: [f for f in self.files if f.base == base])

    def keep(self, tail: Tail, *, end: int) -> None:
        """Save that a file was read up to an offset, and that it is closed."""
        assert tail.claim is not None
        before = TEXT[max(0, end - 1024) : end]
        position = Position(end, {}, position_check(before))
        self.files.append(
            SavedFile(tail.claim.key, tail.claim.base, tail.stem, *tail.hint, position)
        )
        self.identity.release(tail.claim.key)


@pytest.mark.parametrize("compressed", [True, False], ids=["gz", "plain"])
def test_file_is_recognised_under_any_name(tmp_path: Path, *, compressed: bool) -> None:
    """A renamed or compressed file goes on at the position of the one that it was."""
    live, rotated = tmp_path / "a.log", tmp_path / f"a.log.1{'.gz' * compressed}"
    live.write_bytes(TEXT)
    rotated.write_bytes(gzip.compress(TEXT) if compressed else TEXT)
    known = Known()
    with opened(live, rotated) as (first, again):
        assert identify(first, known.identity, final=False)
        known.keep(first, end=1200)
        assert identify(again, known.identity, final=False)
        assert again.claim is not None
        assert first.claim is not None
        assert (again.claim.key, again.offset) == (first.claim.key, 1200)


def test_nothing_is_asked_twice(tmp_path: Path) -> None:
    """A file that is identified stays what it is, whatever is in it later."""
    live = tmp_path / "a.log"
    live.write_bytes(TEXT)
    with opened(live) as (tail,):
        assert identify(tail, Known().identity, final=False)
        claim = tail.claim
        live.write_bytes(b"other\n")
        assert identify(tail, Known().identity, final=False)
        assert tail.claim is claim


@pytest.mark.parametrize(
    ("data", "final", "known"),
    [
        (b"", True, False),
        (b"half", False, False),
        (b"half", True, True),
        (b"x" * 1023, False, False),
        (b"x" * 1024, False, True),
        (b"a\n", False, True),
        (b"\0" * 9, True, True),
        (b"\0" * 9 + b"half", False, False),
        (b"\0" * 9 + b"a\n", False, True),
    ],
    ids=range(9),
)
def test_head_has_to_be_there(tmp_path: Path, data: bytes, *, final: bool, known: bool) -> None:
    """A line, or 1,024 bytes, tell a file; less does only where no more will come."""
    live = tmp_path / "a.log"
    live.write_bytes(data)
    with opened(live) as (tail,):
        assert identify(tail, Known().identity, final=final) == known


def test_hole_is_no_part_of_the_head(tmp_path: Path) -> None:
    """A file whose writer went on behind a truncation is known by its first line, not by NULs."""
    live = tmp_path / "a.log"
    live.write_bytes(b"\0" * 5000 + docker_line("a\n"))
    plain = tmp_path / "a.log.1"
    plain.write_bytes(docker_line("a\n"))
    with opened(live, plain) as (holed, whole):
        assert identify(holed, Known().identity, final=False)
        assert identify(whole, Known().identity, final=False)
        assert holed.claim
        assert whole.claim
        assert holed.claim.base == whole.claim.base
        block = holed.read()
        assert block
        assert (block.skipped, block.size, block.data) == (HOLE, 5000, b"")
        block = holed.read()
        assert block
        assert (block.offset, block.data) == (5000, docker_line("a\n"))


@pytest.mark.parametrize("size", [0, 3, 10, 20])
def test_compressed_file_in_the_making_waits(tmp_path: Path, size: int) -> None:
    """A `.gz` has its identity when its end is there: until then it may be any file."""
    data, path = gzip.compress(TEXT), tmp_path / "a.log.1.gz"
    path.write_bytes(data[: len(data) - 1 - size])
    known = Known()
    with opened(path) as (tail,):
        assert not identify(tail, known.identity, final=False)
        path.write_bytes(data)
        tail.content.survey(())
        assert identify(tail, known.identity, final=False)
        assert tail.unread_bytes == len(TEXT), "how long it is is known then"


def test_copy_waits_for_the_key_of_its_original(tmp_path: Path) -> None:
    """A file that seems to be a copy of an open one gets that one's key when it is free."""
    live, copy = tmp_path / "a.log", tmp_path / "a.log.1"
    live.write_bytes(TEXT)
    copy.write_bytes(TEXT[:2000])
    known = Known()
    with opened(live, copy) as (original, tail):
        original.live = True
        assert identify(original, known.identity, final=False)
        assert original.claim
        assert not identify(tail, known.identity, final=False, copies=lambda _: True)
        assert tail.copy_of == original.claim.key
        known.keep(original, end=2400)
        assert identify(tail, known.identity, final=False, tails=[original, tail])
        assert tail.claim
        assert (tail.claim.key, tail.copy_of) == (original.claim.key, "")
        assert tail.offset == 2000, "it was made before the last of what was read was written"


@pytest.mark.parametrize("cut", [0, 1], ids=["line of a runtime", "end of one"])
def test_short_copy_is_recognised_after_a_restart_where_no_other_file_begins_so(
    tmp_path: Path, *, cut: int
) -> None:
    """What was read behind its end proves nothing: it is that file by its head, or another one."""
    live, copy = tmp_path / "a.log", tmp_path / "a.log.1.gz"
    data = docker_line("one\n", number=1)[cut:]
    live.write_bytes(data + docker_line("late\n", number=2))
    copy.write_bytes(gzip.compress(data))
    before, after = Known(), Known()
    with opened(live, copy) as (original, tail):
        assert identify(original, before.identity, final=False)
        before.keep(original, end=original.disk_bytes)
        after.files = before.files
        tail.content.survey(())
        assert identify(tail, after.identity, final=True)
        assert original.claim
        assert tail.claim
        same = tail.claim.key == original.claim.key
        assert (same, tail.unread_bytes) == ((True, 0) if not cut else (False, tail.content.end()))


@pytest.mark.parametrize(
    ("half", "live", "end"), [(b"", True, 2590), (b"ha", True, 2590), (b"ha", False, 2592)]
)
def test_end_to_begin_at_is_that_of_a_line(
    tmp_path: Path, half: bytes, end: int, *, live: bool
) -> None:
    """`end` is behind the last whole line where somebody writes, and else behind all there is."""
    path = tmp_path / "a.log"
    path.write_bytes(TEXT + half)
    with opened(path) as (tail,):
        tail.live = live
        begin(tail, "end", max_line_bytes=1000)
        block = tail.read()
        assert block
        assert (block.skipped, block.end) == (READ_FROM, end)
        assert tail.read() is None


def test_half_line_that_is_all_there_is_is_not_cut(tmp_path: Path) -> None:
    """A file of which only the beginning of its first line is there begins with that line."""
    path = tmp_path / "a.log"
    path.write_bytes(b"x" * 3000)
    with opened(path) as (tail,):
        tail.live = True
        begin(tail, "end", max_line_bytes=4000)
        path.write_bytes(b"x" * 3000 + b"\n")
        block = tail.read()
        assert block
        assert (block.skipped, block.offset, block.size) == ("", 0, 3001)


def test_endless_line_at_the_end_is_passed(tmp_path: Path) -> None:
    """A line that is longer than a line may be does not hold `end` back."""
    path = tmp_path / "a.log"
    path.write_bytes(TEXT + b"x" * 3000)
    with opened(path) as (tail,):
        tail.live = True
        begin(tail, "end", max_line_bytes=1000, reason=IGNORED)
        block = tail.read()
        assert block
        assert (block.skipped, block.end) == (IGNORED, 5590)


def test_time_to_begin_at_is_the_file_s(tmp_path: Path) -> None:
    """With a time the whole file is read, and its events are held against that."""
    path = tmp_path / "a.log"
    path.write_bytes(TEXT)
    with opened(path) as (tail,):
        begin(tail, "beginning", max_line_bytes=1000)
        assert tail.since == ""
        begin(tail, "2026-11-23T10:00:00Z", max_line_bytes=1000)
        assert tail.since == "2026-11-23T10:00:00Z"
        assert tail.read() is not None
