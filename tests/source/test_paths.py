"""Paths: a pattern stands for the same paths, whether they are listed or named one by one."""

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipper.source.paths import Trail, among, expand

NAMES = ["e", "b.log", "c.log.1", "d.log.gz.tmp", ".hidden.log", "[x].log", "notes.txt"]
PARTS = ["a", "e", "*", "?", "*.log", "[ab]*", "**", ".*", "b.log", "*.log*", "[[]x].log"]
FOLDERS = st.lists(st.sampled_from(["a", "b", ".c", "[y]"]), max_size=3).map("/".join)
FILES = st.sets(st.tuples(FOLDERS, st.sampled_from(NAMES)), max_size=12)
PATTERNS = st.lists(st.sampled_from(PARTS), max_size=4).map("/".join)


def make(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def below(root: Path) -> list[str]:
    """Return the real paths of all names below a directory."""
    root = root.resolve()
    return [
        os.path.join(parent, name)  # noqa: PTH118  # as the watches give them
        for parent, folders, names in os.walk(root)
        for name in [*folders, *names]
    ]


def listed(pattern: str) -> list[tuple[str, str]]:
    return sorted(set(expand(pattern, Trail())))


@given(FILES, PATTERNS)
def test_named_paths_are_judged_as_listed_ones(files: set[tuple[str, str]], pattern: str) -> None:
    """What is said of files that are named is what a listing finds, with the same reasons."""
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        for folder, name in files:
            make(root / folder / name)
        whole = f"{root}/{pattern}"
        named = sorted(among(whole, below(root)))
        assert [entry for entry in named if os.path.isfile(entry[0])] == [  # noqa: PTH113
            entry
            for entry in listed(whole)
            if os.path.isfile(entry[0])  # noqa: PTH113
        ]


@pytest.mark.parametrize(
    ("pattern", "paths"),
    [
        ("*.log", ["a.log"]),
        ("x/*", ["x/b.log", "x/notes.txt"]),
        ("*/*.log", ["x/b.log", "y/c.log"]),
        ("**/*.log", ["a.log", "x/b.log", "y/c.log", "y/z/d.log"]),
        ("y/**/*.log", ["y/c.log", "y/z/d.log"]),
        ("*/z/d.log", ["y/z/d.log"]),
        (".*", [".hidden.log"]),
        ("missing/*.log", []),
    ],
)
def test_glob_stands_for_what_matches(tmp_path: Path, pattern: str, paths: list[str]) -> None:
    """`*` stands for names that are not hidden, `**` for directories at any depth."""
    names = ["a.log", ".hidden.log", "x/b.log", "x/notes.txt", "y/c.log", "y/z/d.log"]
    make(*(tmp_path / name for name in names))
    found = listed(f"{tmp_path}/{pattern}")
    assert [str(Path(path).relative_to(tmp_path)) for path, _ in found] == paths


@pytest.mark.parametrize(
    ("pattern", "folders"),
    [
        ("", [".", "x", "x/y"]),
        ("*.log", ["."]),
        ("*/*.log", [".", "x"]),
        ("**/*.log", [".", "x", "x/y"]),
        ("x/a.log", ["x"]),
        ("missing/*.log", ["missing"]),
    ],
)
def test_trail_names_the_directories_that_matter(
    tmp_path: Path, pattern: str, folders: list[str]
) -> None:
    """A new name in one of them, and nowhere else, can change what a pattern stands for."""
    make(tmp_path / "a.log", tmp_path / "x" / "y" / "b.log")
    trail = Trail()
    list(expand(f"{tmp_path}/{pattern}".rstrip("/"), trail))
    assert {os.path.normpath(path) for path in trail.directories} == {
        os.path.normpath(tmp_path / folder) for folder in folders
    }
    assert trail.whole


def test_link_to_the_root_is_seen_through(tmp_path: Path) -> None:
    """A path is shown below the directory as the pattern gives it, whatever link that is."""
    make(tmp_path / "real" / "a.log")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    named = among(f"{tmp_path}/link/*.log", [str(tmp_path / "real" / "a.log")])
    assert list(named) == [(f"{tmp_path}/link/a.log", "")]
