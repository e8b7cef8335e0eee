"""Unidentified: what can be told of a file by its first bytes, before it has a key."""

import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from shipper.buffer.chunk import Read
from shipper.buffer.positions import Positions
from shipper.model import Documents, Position, SavedFile
from shipper.source.block import Limits
from shipper.source.identity import Identity
from shipper.source.recognise import identify
from shipper.source.tail import Tail
from shipper.source.unidentified import alike, begins_like, is_saved, is_spare, may_be
from tests.source.running import docker_line

FIRST, SECOND = (
    b"".join(docker_line(f"{name} {number}\n", number=number) for number in range(50))
    for name in ("first", "second")
)
BANNER = b"=== begin ===\n"


class Folder:
    """The files of one series, what is open of it, and what was saved."""

    def __init__(self, root: Path) -> None:
        self.positions = Positions([])
        self.identity = Identity("n", self.positions.of)
        self.tails: list[Tail] = []
        self._root = root

    def open(self, name: str, data: bytes) -> Tail:
        """Write a file, compressed if its name says so, and open it."""
        path = self._root / name
        path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
        limits = Limits(1 << 18, 1 << 18)
        self.tails.append(Tail(str(path), str(self._root / "a.log"), limits=limits))
        return self.tails[-1]

    def known(self, name: str, data: bytes, *, seen: int | None = None) -> Tail:
        """The same, and identify it."""
        tail = self.open(name, data)
        assert identify(tail, self.identity, final=True)
        assert tail.claim is not None
        rest = (tail.stem, *tail.hint, Position(10), len(data) if seen is None else seen)
        file = SavedFile(tail.claim.key, tail.claim.base, *rest)
        self.positions.take(Read(Documents(), (file,), 0))
        return tail

    def may_be(self, tail: Tail, other: Tail) -> bool:
        """Whether a file may be the one that another is."""
        assert other.claim is not None
        return may_be(tail, other.claim.base, identity=self.identity)

    def is_spare(self, tail: Tail) -> bool:
        return is_spare(tail, self.tails, identity=self.identity)

    def is_saved(self, tail: Tail) -> bool:
        return is_saved(tail, self.identity, positions=self.positions)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    """A folder without files; what is open is closed at the end."""
    with _closing(Folder(tmp_path)) as folder:
        yield folder


@contextmanager
def _closing(folder: Folder) -> Iterator[Folder]:
    try:
        yield folder
    finally:
        for tail in folder.tails:
            tail.close()


def test_file_may_be_those_that_begin_as_it_does(folder: Folder) -> None:
    """A head that is another rules a file out; one that cannot be told rules out nothing."""
    first = folder.known("a.log.1", FIRST)
    assert folder.may_be(folder.open("a.log.1.gz", FIRST), first)
    assert not folder.may_be(folder.open("a.log.2.gz", SECOND), first)
    assert folder.may_be(folder.open("a.log.3", FIRST[:20]), first), "its head is not whole"
    assert not folder.may_be(folder.open("a.log.4", b""), first), "nothing can be in it"
    assert not folder.may_be(first, first), "it is known which one it is"


def test_what_was_told_of_a_compressed_file_is_not_read_again(folder: Folder) -> None:
    """While another thread reads it nobody else does: what is known already is told."""
    first = folder.known("a.log.1", FIRST)
    gz, other = folder.open("a.log.1.gz", FIRST), folder.open("a.log.2.gz", SECOND)
    assert begins_like(gz, first)
    gz.busy = other.busy = True
    assert begins_like(gz, first)
    assert folder.may_be(other, first), "nobody has looked, and nobody may"
    assert not begins_like(other, first)


def test_plain_file_is_spare_while_its_compressed_form_is_open(folder: Folder) -> None:
    """All of it is in the `.gz`, which is not spare then; where heads can be equal none is."""
    plain = folder.known("a.log.1", FIRST)
    assert not folder.is_spare(plain)
    folder.open("a.log.2.gz", SECOND)
    assert not folder.is_spare(plain)
    gz = folder.open("a.log.1.gz", FIRST)
    assert folder.is_spare(plain)
    assert not folder.is_spare(gz)


def test_nothing_is_spare_where_heads_can_be_equal(folder: Folder) -> None:
    """A `.gz` that begins with the same banner may be that of another generation."""
    plain = folder.known("a.log.1", BANNER + b"one\n")
    folder.open("a.log.2.gz", BANNER + b"two\n")
    assert not folder.is_spare(plain)


def test_file_that_is_read_or_a_copy_is_spare(folder: Folder) -> None:
    """A copy is one while its original is there."""
    plain = folder.known("a.log.1", FIRST)
    assert plain.claim is not None
    copy = folder.open("a.log.2", FIRST)
    copy.copy_of = plain.claim.key
    assert folder.is_spare(copy)
    while plain.read():
        pass
    assert folder.is_spare(plain)
    folder.identity.release(plain.claim.key)
    assert not folder.is_spare(copy)


@pytest.mark.parametrize(
    ("data", "seen", "expected"),
    [
        pytest.param(FIRST, 100, True, id="no other can begin so"),
        pytest.param(BANNER + b"one\n", len(BANNER) + 4, True, id="as long as was seen"),
        pytest.param(BANNER + b"one\n", 7, False, id="it may be another one"),
    ],
)
def test_compressed_file_is_one_that_was_seen(
    folder: Folder, data: bytes, seen: int, *, expected: bool
) -> None:
    """By a head that no other has, or by its length."""
    plain = folder.known("a.log.1", data, seen=seen)
    gz = folder.open("a.log.1.gz", data)
    assert folder.is_saved(gz) == expected
    assert not folder.is_saved(folder.open("a.log.2.gz", SECOND)), "nothing is saved of it"
    assert plain.claim is not None
    like = alike(gz, folder.identity, positions=folder.positions)
    assert [file.key for file in like] == [plain.claim.key]


def test_file_that_cannot_be_read_may_be_any(folder: Folder) -> None:
    """A broken `.gz` rules out nothing, and is like nothing."""
    first = folder.known("a.log.1", FIRST)
    broken = folder.open("a.log.1.gz", FIRST)
    Path(broken.path).write_bytes(b"no gzip")
    assert folder.may_be(broken, first)
    assert not begins_like(broken, first)
    assert not folder.is_saved(broken)
