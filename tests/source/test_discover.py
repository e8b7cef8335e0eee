"""Discover: which files are followed, which are not and why."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from shipper.config import SourceConfig
from shipper.source.discover import Series, scan
from tests.cost import costs
from tests.nobody import as_nobody


def source(*paths: Path | str, exclude: tuple[str, ...] = ()) -> list[SourceConfig]:
    return [SourceConfig(paths=[str(path) for path in paths], exclude=list(exclude))]


def make(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("line\n")


def stems(root: Path, *paths: Path | str, exclude: tuple[str, ...] = ()) -> list[str]:
    return sorted(
        str(Path(series.stem).relative_to(root))
        for series in scan(source(*paths, exclude=exclude)).series.values()
    )


def test_directory_stands_for_the_logs_below_it(tmp_path: Path) -> None:
    """Every `*.log` below a directory is followed; what else is there is skipped and named."""
    make(tmp_path / "a.log", tmp_path / "x" / "y" / "b.log", tmp_path / "notes.txt")
    make(tmp_path / "c.log.1.gz.tmp")
    assert stems(tmp_path, tmp_path) == ["a.log", "x/y/b.log"]
    skipped = scan(source(tmp_path)).skipped
    assert {Path(path).name for path in skipped} == {"notes.txt", "c.log.1.gz.tmp"}


def test_generations_are_of_one_series(tmp_path: Path) -> None:
    """Rotated files belong to the series of their stem, also where the live one is not there."""
    names = ["a.log", "a.log.1", "a.log.2.gz", "b.log.1", "0.log.20261123-101112.gz"]
    make(*(tmp_path / name for name in names))
    assert stems(tmp_path, tmp_path) == ["0.log", "a.log", "b.log"]
    found = scan(source(tmp_path))
    files = [Path(file.path).name for file in found.files[str(tmp_path / "a.log")]]
    assert files == ["a.log.2.gz", "a.log.1", "a.log"]


def test_symlink_is_followed_to_the_file(tmp_path: Path) -> None:
    """A link's series is that of its target, under the link's name: tag and names come from it."""
    target, link = tmp_path / "docker" / "id-json.log", tmp_path / "pod_ns_c-id.log"
    middle = tmp_path / "pods" / "0.log"
    make(target, target.with_name("id-json.log.1"))
    middle.parent.mkdir()
    middle.symlink_to(target)
    link.symlink_to(middle)
    found = scan(source(tmp_path / "*.log"))
    assert list(found.series.values()) == [Series(str(target), str(link))]
    assert [Path(file.path).name for file in found.files[str(target)]] == [
        "id-json.log.1",
        "id-json.log",
    ]


def test_same_file_under_two_paths_is_followed_once(tmp_path: Path) -> None:
    """A file, links to it, and a link to its directory are one series."""
    real = tmp_path / "real"
    make(real / "a.log")
    (tmp_path / "link.log").symlink_to(real / "a.log")
    (tmp_path / "linked").symlink_to(real)
    paths = (tmp_path / "linked", real, tmp_path / "link.log", real / "a.log", real / "*.log")
    assert stems(tmp_path, *paths) == ["real/a.log"]


def test_dangling_symlink_is_skipped_with_its_target(tmp_path: Path) -> None:
    """A link whose target is not there says which: its directory may not be mounted."""
    (tmp_path / "a.log").symlink_to(tmp_path / "missing" / "b.log")
    reason = scan(source(tmp_path / "*.log")).skipped[str(tmp_path / "a.log")]
    assert str(tmp_path / "missing" / "b.log") in reason


def test_link_to_a_directory_is_named(tmp_path: Path) -> None:
    """A directory is not left through a link, which could lead anywhere; that is said."""
    make(tmp_path / "elsewhere" / "a.log")
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "link").symlink_to(tmp_path / "elsewhere")
    found = scan(source(tmp_path / "logs"))
    assert not found.series
    assert "link to a directory" in found.skipped[str(tmp_path / "logs" / "link")]


def test_what_is_no_file_is_skipped(tmp_path: Path) -> None:
    """Pipes, directories and missing paths are skipped with the reason."""
    os.mkfifo(tmp_path / "pipe.log")
    (tmp_path / "dir.log").mkdir()
    found = scan(source(tmp_path / "*.log", tmp_path / "missing.log"))
    reasons = {Path(path).name: why for path, why in found.skipped.items()}
    assert not found.series
    assert reasons["pipe.log"] == reasons["dir.log"] == "not a regular file"
    assert "No such file" in reasons["missing.log"]


def test_file_without_permission_is_skipped() -> None:
    """What may not be read or listed is skipped and says so; the others are followed."""
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        make(root / "a.log", root / "b.log", root / "closed" / "c.log")
        root.chmod(0o755)
        (root / "b.log").chmod(0)
        (root / "closed").chmod(0)
        with as_nobody():
            found = scan(source(root))
        (root / "closed").chmod(0o755)
    assert [Path(series.stem).name for series in found.series.values()] == ["a.log"]
    reasons = {Path(path).name: why for path, why in found.skipped.items()}
    assert reasons["b.log"] == "no permission to read it"
    assert "cannot be listed" in reasons["closed"]
    assert {Path(path).name for path in found.unreadable} == {"b.log", "closed"}


@contextmanager
def guarded(mode: int) -> Iterator[Path]:
    """A directory in which there is one of this mode, `in`, with a log; anybody may enter it."""
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        make(root / "in" / "a.log")
        root.chmod(0o755)
        (root / "in").chmod(mode)
        try:
            yield root
        finally:
            (root / "in").chmod(0o755)


def test_directory_of_a_glob_that_may_not_be_listed_is_told() -> None:
    """What matches there nobody knows; one that is not there says nothing."""
    with guarded(0) as root, as_nobody():
        found = scan(source(root / "in/*.log", root / "missing/*.log"))
    assert found.skipped == {f"{root}/in": "cannot be listed: Permission denied"}
    assert found.unreadable == {f"{root}/in"}


def test_directory_that_may_not_be_entered_is_told() -> None:
    """Its names can be listed, and so it is told of each that it may not be read."""
    with guarded(0o644) as root, as_nobody():
        found = scan(source(root))
    assert found.skipped == {f"{root}/in/a.log": "no permission to read it"}
    assert found.unreadable == {f"{root}/in/a.log"}


@pytest.mark.parametrize("pattern", ["in", "*/in", "*/in/*"])
def test_directory_that_is_excluded_may_be_closed(pattern: str) -> None:
    """Nobody means to read what is in it."""
    with guarded(0) as root, as_nobody():
        found = scan(source(root, exclude=(pattern,)))
    assert (found.skipped, found.unreadable) == ({}, set())


def test_file_in_a_directory_that_cannot_be_listed_is_followed() -> None:
    """A file that is named is followed where its directory may be entered but not listed."""
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        make(root / "a.log")
        root.chmod(0o711)
        with as_nobody():
            found = scan(source(root / "a.log"))
    assert [len(files) for files in found.files.values()] == [1]


def test_exclude_leaves_out_by_path_or_name(tmp_path: Path) -> None:
    """A pattern of `exclude` is held against the whole path and against the name."""
    make(*(tmp_path / name for name in ("a.log", "b-debug.log", "tmp/c.log")))
    exclude = ("*-debug.log", f"{tmp_path}/tmp/*")
    assert stems(tmp_path, tmp_path, exclude=exclude) == ["a.log"]
    assert not scan(source(tmp_path, exclude=exclude)).skipped


def test_named_file_is_followed_whatever_its_name(tmp_path: Path) -> None:
    """A file named itself is followed without `.log`, with glob characters, rotated, or `.gz`."""
    for name in ("notes.txt", "a[1].log", "a.log.1", "b.log.gz", "c.tmp"):
        make(tmp_path / name)
        found = scan(source(tmp_path / name))
        ((key, series),) = found.series.items()
        assert [file.path for file in found.files[key]] == [str(tmp_path / name)]
        assert series.only in {"", str(tmp_path / name)}


def test_named_rotated_file_stands_for_itself(tmp_path: Path) -> None:
    """A rotated file that is named is read alone, unless its whole series is followed."""
    make(tmp_path / "a.log", tmp_path / "a.log.1")
    (series,) = scan(source(tmp_path / "a.log.1")).series.values()
    assert series.only == str(tmp_path / "a.log.1")
    (series,) = scan(source(tmp_path / "a.log.1", tmp_path / "*.log")).series.values()
    assert not series.only


def test_named_link_to_the_file_of_today_stands_for_the_series(tmp_path: Path) -> None:
    """A link that is named is followed from one dated file to the next, and so are those before."""
    make(tmp_path / "a.log.20261122", tmp_path / "a.log.20261123")
    (tmp_path / "a.log").symlink_to("a.log.20261123")
    found = scan(source(tmp_path / "a.log"))
    assert list(found.series.values()) == [Series(f"{tmp_path}/a.log", f"{tmp_path}/a.log")]
    names = [Path(file.path).name for file in found.files[f"{tmp_path}/a.log"]]
    assert names == ["a.log.20261122", "a.log.20261123", "a.log"]


def test_glob_ignores_files_in_the_making(tmp_path: Path) -> None:
    """What ends in `.tmp` is not followed because a glob happens to match it."""
    make(tmp_path / "a.log", tmp_path / "a.log.1.gz.tmp")
    assert stems(tmp_path, tmp_path / "a.log*") == ["a.log"]


def test_scan_of_many_files_is_cheap(tmp_path: Path) -> None:
    """A scan of 10,000 files in one directory costs a few times what asking for each once does."""
    for number in range(10_000):
        (tmp_path / f"{number}.log").touch()

    def ask_for_each() -> None:
        with os.scandir(tmp_path) as entries:
            for entry in entries:
                entry.stat()

    config = source(tmp_path)
    assert len(scan(config).series) == 10_000
    assert min(costs(lambda: scan(config))) < 25 * min(costs(ask_for_each))


def test_name_that_is_not_utf8_is_skipped(tmp_path: Path) -> None:
    """A name that no document can hold does not end the agent: the file is skipped, and said so."""
    (tmp_path / "a.log").write_text("")
    (tmp_path / os.fsdecode(b"\xff.log")).write_text("")
    found = scan(source(tmp_path))
    assert list(found.series) == [str(tmp_path / "a.log")]
    assert list(found.skipped) == [f"{tmp_path}/\\xff.log"]
    assert "UTF-8" in found.skipped[f"{tmp_path}/\\xff.log"]
