"""Generations: which files of a series are open, in which order, and which are done."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shipper.model import Position, SavedFile
from shipper.source.block import Limits
from shipper.source.descriptors import Descriptors
from shipper.source.directory import Directories
from shipper.source.discover import Series
from shipper.source.generations import Generations
from shipper.source.identity import Identity, position_check
from shipper.source.recognise import identify
from shipper.source.tail import Tail


class Follow:
    """A follower in small: opens a series, and reads its files."""

    def __init__(self, stem: Path) -> None:
        self.saved: dict[str, SavedFile] = {}
        self.deleted = self.gaps = 0
        self.stem = str(stem)
        self.identity = Identity("n", self._saved_as)
        self.files = Generations(
            Series(self.stem, self.stem),
            Limits(4096, 4096),
            identity=self.identity,
            descriptors=Descriptors(),
            on_deleted=self._on_deleted,
            on_gap=self._on_gap,
        )

    def names(self) -> list[str]:
        return [Path(tail.path).name for tail in self.files.tails]

    def read(self, tail: Tail) -> bytes:
        assert tail.update()
        assert identify(tail, self.identity, final=True)
        block = tail.read()
        return block.data if block else b""

    def keep(self, tail: Tail) -> None:
        end, check = tail.offset, position_check(tail.window)
        assert tail.claim is not None
        claim, position = tail.claim, Position(end, {}, check)
        file = SavedFile(claim.key, claim.base, tail.stem, *tail.hint, position)
        self.saved[file.key] = file

    def _saved_as(self, base: str) -> list[SavedFile]:
        return [file for file in self.saved.values() if file.base == base]

    def _on_deleted(self) -> None:
        self.deleted += 1

    def _on_gap(self) -> None:
        self.gaps += 1


@contextmanager
def following(stem: Path) -> Iterator[Follow]:
    follow = Follow(stem)
    try:
        yield follow
    finally:
        follow.files.close_all()


def rotate(stem: Path, content: str) -> None:
    """Rename the generations of a series, each to the next number, and begin a new live file."""
    for number in (3, 2, 1):
        path = stem.with_name(f"{stem.name}.{number}")
        if path.exists():
            path.rename(stem.with_name(f"{stem.name}.{number + 1}"))
    stem.rename(stem.with_name(f"{stem.name}.1"))
    stem.write_text(content)


def test_all_generations_on_disk_are_opened_oldest_first(tmp_path: Path) -> None:
    """What was rotated while nobody looked is opened, too; `.tmp` and other series are not."""
    for name in ("a.log", "a.log.1", "a.log.10.gz", "a.log.2", "a.log.3.tmp", "b.log", "a.log.x"):
        (tmp_path / name).write_text(f"{name}\n")
    with following(tmp_path / "a.log") as follow:
        assert follow.files.refresh() == []
        assert follow.names() == ["a.log.10.gz", "a.log.2", "a.log.1", "a.log"]
        assert [tail.live for tail in follow.files.tails] == [False, False, False, True]


def test_renamed_file_stays_open(tmp_path: Path) -> None:
    """A rotation opens the new live file only, and several between two looks open all of them."""
    stem = tmp_path / "a.log"
    stem.write_text("1\n")
    with following(stem) as follow:
        follow.files.refresh()
        (first,) = follow.files.tails
        assert not follow.files.moved()
        rotate(stem, "2\n")
        rotate(stem, "3\n")
        assert follow.files.moved()
        follow.files.refresh()
        assert not follow.files.moved()
        assert follow.names() == ["a.log.2", "a.log.1", "a.log"]
        assert follow.files.tails[0] is first
        assert not first.live


def test_deleted_file_keeps_its_place_and_is_reported(tmp_path: Path) -> None:
    """A file without a name stays open, older than its successor, and the spool hurries."""
    stem = tmp_path / "a.log"
    stem.write_text("2\n")
    (tmp_path / "a.log.1").write_text("1\n")
    with following(stem) as follow:
        follow.files.refresh()
        older, live = follow.files.tails
        stem.unlink()
        stem.write_text("3\n")
        assert follow.files.moved()
        follow.files.refresh()
        assert follow.files.tails[:2] == [older, live]
        assert [tail.live for tail in follow.files.tails] == [False, False, True]
        assert live.deleted
        assert follow.deleted == 1


def test_finished_file_is_opened_again_when_it_changes(tmp_path: Path) -> None:
    """A file that was read to its end is done until it grows, and goes on under its key."""
    stem, rotated = tmp_path / "a.log", tmp_path / "a.log.1"
    stem.write_text("2\n")
    rotated.write_text("1\n")
    with following(stem) as follow:
        follow.files.refresh()
        tail = follow.files.tails[0]
        follow.read(tail)
        follow.files.finish(tail)
        assert not follow.files.has_news(Directories().files(follow.stem))
        follow.files.refresh()
        assert follow.names() == ["a.log"]
        with rotated.open("a") as file:
            file.write("late\n")
        assert follow.files.has_news(Directories().files(follow.stem))
        follow.files.refresh()
        assert follow.names() == ["a.log.1", "a.log"]


def test_growth_behind_the_last_read_is_not_finished(tmp_path: Path) -> None:
    """A file that grew after its last read is opened again, whatever its size is later."""
    stem, rotated = tmp_path / "a.log", tmp_path / "a.log.1"
    rotated.write_text("1\n")
    with following(stem) as follow:
        follow.files.refresh()
        follow.read(follow.files.tails[0])
        with rotated.open("a") as file:
            file.write("late\n")
        follow.files.finish(follow.files.tails[0])
        assert follow.files.has_news(Directories().files(follow.stem))


def test_new_file_of_equal_inode_and_size_is_opened(tmp_path: Path) -> None:
    """A finished file's inode and size in a new file do not pass for the finished one."""
    stem, rotated = tmp_path / "a.log", tmp_path / "a.log.1"
    rotated.write_text("1\n")
    with following(stem) as follow:
        follow.files.refresh()
        follow.read(follow.files.tails[0])
        follow.files.finish(follow.files.tails[0])
        rotated.write_text("2\n")  # the same inode
        rotated.rename(stem)
        assert follow.files.moved()
        follow.files.refresh()
        assert follow.names() == ["a.log"]
        assert follow.files.tails[0].live


def test_finished_file_under_the_live_path_is_not_opened(tmp_path: Path) -> None:
    """A finished file that is renamed back to the live path is done until it grows."""
    stem, rotated = tmp_path / "a.log", tmp_path / "a.log.1"
    rotated.write_text("1\n")
    with following(stem) as follow:
        follow.files.refresh()
        follow.read(follow.files.tails[0])
        follow.files.finish(follow.files.tails[0])
        rotated.rename(stem)
        assert not follow.files.moved()
        with stem.open("a") as file:
            file.write("2\n")
        assert follow.files.moved()


def test_finished_file_keeps_its_key_while_it_is_on_disk(tmp_path: Path) -> None:
    """A file with the very content of a finished one is another file, live or already rotated."""
    stem, content = tmp_path / "a.log", "begin\nend\n"
    stem.write_text(content)
    with following(stem) as follow:
        follow.files.refresh()
        rotate(stem, content)
        follow.files.refresh()
        first = follow.files.tails[0]
        assert follow.read(first) == content.encode()
        follow.keep(first)
        follow.files.finish(first)
        rotate(stem, content)
        rotate(stem, content)
        follow.files.refresh()
        assert follow.names() == ["a.log.2", "a.log.1", "a.log"]
        assert [follow.read(tail).decode() for tail in follow.files.tails] == [content] * 3


def test_file_of_two_names_is_opened_once(tmp_path: Path) -> None:
    """A rotation that links and then unlinks shows one file twice: it is one."""
    stem = tmp_path / "a.log"
    stem.write_text("1\n")
    os.link(stem, tmp_path / "a.log.1")
    with following(stem) as follow:
        follow.files.refresh()
        assert len(follow.files.tails) == 1


def test_what_is_no_file_is_not_opened(tmp_path: Path) -> None:
    """A directory or a named pipe among the generations neither blocks nor fails."""
    stem = tmp_path / "a.log"
    stem.write_text("1\n")
    (tmp_path / "a.log.1").mkdir()
    os.mkfifo(tmp_path / "a.log.2")
    with following(stem) as follow:
        assert follow.files.refresh() == []
        assert follow.names() == ["a.log"]


def test_file_that_is_set_aside_is_tried_again_later(tmp_path: Path) -> None:
    """A file that cannot be read is neither tried at once again nor forgotten."""
    stem = tmp_path / "a.log"
    stem.write_text("1\n")
    with following(stem) as follow:
        follow.files.refresh()
        follow.files.set_aside(follow.files.tails[0])
        follow.files.refresh()
        assert follow.files.tails == []
        assert not follow.files.moved()
        assert not follow.files.gone()


def test_series_is_gone_with_its_last_file(tmp_path: Path) -> None:
    """A series ends when no file is open and none is on disk, with its directory or without."""
    directory = tmp_path / "logs"
    directory.mkdir()
    stem = directory / "a.log"
    stem.write_text("1\n")
    with following(stem) as follow:
        follow.files.refresh()
        stem.unlink()
        directory.rmdir()
        follow.files.refresh()
        assert not follow.files.gone()
        follow.files.close(list(follow.files.tails))
        assert follow.files.gone()


def test_path_that_is_a_link_to_a_dated_file_shows_the_live_one(tmp_path: Path) -> None:
    """Where the path is a link to the file of today, that is the live one, until the link moves."""
    stem = tmp_path / "a.log"
    for day in ("20261122", "20261123"):
        (tmp_path / f"a.log.{day}").write_text(f"{day}\n")
    stem.symlink_to("a.log.20261122")
    with following(stem) as follow:
        follow.files.refresh()
        assert [tail.live for tail in follow.files.tails] == [True, False]
        assert not follow.files.moved()
        stem.unlink()
        stem.symlink_to("a.log.20261123")
        assert follow.files.moved()
        follow.files.refresh()
        assert follow.names() == ["a.log.20261122", "a.log"]
        assert [tail.live for tail in follow.files.tails] == [False, True]
        assert not follow.files.moved()


def test_file_that_was_rotated_since_the_scan_is_read_first(tmp_path: Path) -> None:
    """What a scan has found is looked up again where its path shows another file by now."""
    stem = tmp_path / "a.log"
    stem.write_text("one\n")
    found = Directories().files(str(stem))
    rotate(stem, "two\n")
    with following(stem) as follow:
        follow.files.refresh(found)
        assert follow.names() == ["a.log.1", "a.log"]
