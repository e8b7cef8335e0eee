"""Content: the bytes at an offset, plain or compressed, and the difference of end and fault."""

import errno
import gzip
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipper.source.content import Gzip, Plain

TEXT = b"".join(b"line %d\n" % number for number in range(3000))


@contextmanager
def opened(path: Path, data: bytes) -> Iterator[int]:
    """Write a file, and open it."""
    path.write_bytes(data)
    fd = os.open(path, os.O_RDONLY)
    try:
        yield fd
    finally:
        os.close(fd)


@pytest.mark.parametrize("kind", [Plain, Gzip])
@given(reads=st.lists(st.tuples(st.integers(0, 30_000), st.integers(0, 9_000)), max_size=5))
def test_bytes_are_those_of_the_file(
    tmp_path_factory: pytest.TempPathFactory,
    kind: type[Plain] | type[Gzip],
    reads: list[tuple[int, int]],
) -> None:
    """Forwards and backwards, what is read at an offset is what was written there."""
    data = TEXT if kind is Plain else gzip.compress(TEXT, 1)
    with opened(tmp_path_factory.mktemp("content") / "a", data) as fd:
        bytes_ = kind(fd)
        for offset, size in reads:
            assert bytes_.read_at(offset, size) == TEXT[offset : offset + size]
        assert bytes_.end() == len(TEXT)
        assert bytes_.whole()


class Failing:
    """`os.pread` of a disk with a bad sector: what lies before it comes, then an error."""

    def __init__(self, bad: int, read: Callable[[int, int, int], bytes] = os.pread) -> None:
        self.bad = bad
        self._read = read

    def __call__(self, fd: int, size: int, offset: int) -> bytes:
        if offset >= self.bad:
            raise OSError(errno.EIO, "Input/output error")
        return self._read(fd, min(size, self.bad - offset), offset)


def test_fault_of_the_disk_is_not_taken_for_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A read that stops short of a bad sector raises; it does not pass for the end of the file."""
    with opened(tmp_path / "a", TEXT) as fd:
        monkeypatch.setattr(os, "pread", Failing(4096))
        assert Plain(fd).read_at(0, 4096) == TEXT[:4096]
        with pytest.raises(OSError, match="Input/output"):
            Plain(fd).read_at(0, 8192)


def test_short_reads_are_put_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that gives less than it is asked for, as FUSE may, is asked again."""
    read = os.pread
    with opened(tmp_path / "a", TEXT) as fd:
        monkeypatch.setattr(os, "pread", lambda fd, n, at: read(fd, min(n, 100), at))
        assert Plain(fd).read_at(5, 9000) == TEXT[5:9005]
        assert Plain(fd).read_at(len(TEXT) - 10, 9000) == TEXT[-10:]


@pytest.mark.parametrize("cut", [1, 8, 9, 1000])
def test_compressed_file_without_its_end_is_not_whole(tmp_path: Path, cut: int) -> None:
    """What is there of a `.gz` in the making can be read, and is known not to be all."""
    data = gzip.compress(TEXT)
    with opened(tmp_path / "a.gz", data[:-cut]) as fd:
        compressed = Gzip(fd)
        assert not compressed.whole()
        read = compressed.read_at(0, len(TEXT) + 1)
        assert TEXT.startswith(read)
        assert len(read) == compressed.end()


def test_compressed_file_that_grows_becomes_whole(tmp_path: Path) -> None:
    """A `.gz` that was looked at too early is whole when its end was written."""
    data, path = gzip.compress(TEXT), tmp_path / "a.gz"
    with opened(path, data[:100]) as fd:
        compressed = Gzip(fd)
        assert not compressed.whole()
        path.write_bytes(data)
        assert not compressed.whole(), "as of the survey"
        compressed.survey(())
        assert compressed.whole()
        assert compressed.read_at(0, 50) == TEXT[:50]


COMPRESSED = gzip.compress(TEXT)


@pytest.mark.parametrize(
    "data", [b"text", COMPRESSED[:200] + b"\0" * 200 + COMPRESSED[400:]], ids=["none", "damaged"]
)
def test_broken_compressed_file_is_an_error(tmp_path: Path, data: bytes) -> None:
    """What is no gzip, or is damaged, raises the error that all faults of files are."""
    with (
        opened(tmp_path / "a.gz", data) as fd,
        pytest.raises(OSError, match="not a gzip file"),
    ):
        Gzip(fd).read_at(0, len(TEXT) + 1)


def test_disk_says_where_data_is(tmp_path: Path) -> None:
    """A terabyte that was never written is passed at once; what was written is where it is."""
    path, size = tmp_path / "a", 1 << 40
    with opened(path, b"") as fd:
        os.truncate(path, size)
        with path.open("r+b") as file:
            file.seek(size)
            file.write(b"a\n")
        plain = Plain(fd)
        assert plain.next_data(0) == size
        assert plain.next_data(size + 1) == size + 1
        assert plain.next_data(size + 2) == plain.end() == size + 2


def test_compressed_file_that_is_not_waited_for_gives_up(tmp_path: Path) -> None:
    """A `.gz` of gigabytes that is read in a thread does not hold up the agent's end."""
    with opened(tmp_path / "a.gz", gzip.compress(b"\0" * (8 << 20))) as fd:
        compressed = Gzip(fd)
        compressed.stop()
        assert compressed.end() == 0
        assert not compressed.whole()


@given(
    ends=st.lists(st.integers(0, len(TEXT) + 2000), max_size=6),
    whole=st.booleans(),
)
def test_survey_keeps_what_a_file_is_identified_by(
    tmp_path_factory: pytest.TempPathFactory, ends: list[int], *, whole: bool
) -> None:
    """Its length, its beginning, and what lies before offsets is told without reading it again."""
    path, data = tmp_path_factory.mktemp("content") / "a.gz", gzip.compress(TEXT)
    with opened(path, data if whole else data[:-9]) as fd:
        compressed = Gzip(fd)
        compressed.survey(ends)
        assert compressed.whole() == whole
        length = compressed.end()
        if whole:
            path.write_bytes(b"no gzip any more")
        for end in [*ends, length]:
            start = max(0, end - 1024)
            assert compressed.read_at(start, end - start) == TEXT[:length][start:end]
        assert compressed.read_at(0, 1024) == TEXT[:1024]


def test_survey_of_a_long_file_keeps_what_lies_across_its_steps(tmp_path: Path) -> None:
    """It is read in steps of 1 MiB, and what is kept may lie in two of them."""
    text = b"".join(b"%09d\n" % number for number in range(250_000))
    ends = [(1 << 20) + shift for shift in (-1, 0, 1, 500, 1023, 1024, 1025)]
    path = tmp_path / "a.gz"
    with opened(path, gzip.compress(text, 1)) as fd:
        compressed = Gzip(fd)
        compressed.survey(ends)
        path.write_bytes(b"no gzip any more")
        for end in [*ends, len(text)]:
            assert compressed.read_at(end - 1024, 1024) == text[end - 1024 : end]


@pytest.mark.parametrize("size", [0, 2, 5, 9, 10, 11, 200])
def test_file_that_was_looked_at_too_early_can_be_read_later(tmp_path: Path, size: int) -> None:
    """Also where not even its header was there; Python's own reader would never find back."""
    path, data = tmp_path / "a.gz", gzip.compress(TEXT)
    with opened(path, data[:size]) as fd:
        compressed = Gzip(fd)
        for _ in range(3):
            assert TEXT.startswith(compressed.read_at(0, 1024))
        path.write_bytes(data)
        assert compressed.read_at(0, 1024) == TEXT[:1024]
        assert compressed.read_at(5000, 1024) == TEXT[5000:6024]


def test_file_that_was_broken_for_a_moment_can_be_read_later(tmp_path: Path) -> None:
    """A fault does not stay with the file."""
    path, data = tmp_path / "a.gz", gzip.compress(TEXT)
    with opened(path, b"text" + data) as fd:
        compressed = Gzip(fd)
        for _ in range(3):
            with pytest.raises(OSError, match="not a gzip file"):
                compressed.read_at(0, 1024)
        path.write_bytes(data)
        assert compressed.read_at(0, 1024) == TEXT[:1024]


def test_compressed_file_states_how_long_it_is(tmp_path: Path) -> None:
    """Its last bytes say so; an empty one says nothing."""
    with opened(tmp_path / "a.gz", gzip.compress(TEXT)) as fd:
        assert Gzip(fd).stated_end() == len(TEXT)
    with opened(tmp_path / "b.gz", b"") as fd:
        assert Gzip(fd).stated_end() == 0
    with opened(tmp_path / "c", TEXT) as fd:
        assert Plain(fd).stated_end() == len(TEXT)
