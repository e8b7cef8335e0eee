"""Positions: what is known of each file between two starts."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from shipper.buffer.chunk import Read
from shipper.buffer.positions import Positions
from shipper.model import Documents, Position, SavedFile

FILES = st.builds(
    lambda key, stem, inode, end: SavedFile(
        f"k{key}", f"b{key // 2}", f"/{stem}", 1, inode, Position(end)
    ),
    st.integers(0, 7),
    st.integers(0, 2),
    st.integers(0, 3),
    st.integers(0, 99),
)
STEPS = st.lists(st.tuples(st.sampled_from(["move", "forget"]), FILES), max_size=30)


def saved(key: str, end: int, base: str = "base", stem: str = "/a.log") -> SavedFile:
    return SavedFile(key, base, stem, 1, 2, Position(end))


def moves(*files: SavedFile, forgotten: tuple[SavedFile, ...] = ()) -> Read:
    return Read(Documents(), files, 0, forgotten=forgotten)


def test_last_position_counts() -> None:
    """A file that is read further has one position, wherever it is looked for."""
    positions = Positions([saved("a", 1), saved("b", 2)])
    positions.take(moves(saved("a", 5)))
    assert positions.of("base") == [saved("a", 5), saved("b", 2)]
    assert positions.all() == [saved("a", 5), saved("b", 2)]
    assert positions.in_stem("/a.log") == [saved("a", 5), saved("b", 2)]
    assert positions.at(1, 2) == [saved("a", 5), saved("b", 2)]
    assert (positions.get("a"), positions.get("c")) == (saved("a", 5), None)


def test_file_in_another_place_is_not_in_the_old_one() -> None:
    """A file that got another inode is found by that, and by the old one no more."""
    positions = Positions([saved("a", 1)])
    positions.take(moves(replace(saved("a", 2), inode=3)))
    assert positions.at(1, 2) == []
    assert [file.position.end for file in positions.at(1, 3)] == [2]
    assert len(positions.all()) == 1


def test_forgotten_file_leaves_nothing() -> None:
    """A file that is forgotten, and one that never was there, are in no index; others stay."""
    positions = Positions([saved("a", 1), saved("b", 2, base="other", stem="/b.log")])
    positions.take(moves(replace(saved("a", 1), inode=3)))
    positions.take(moves(forgotten=(saved("a", 1), saved("never", 1))))
    assert positions.all() == [saved("b", 2, base="other", stem="/b.log")]
    for index in (positions.of("base"), positions.in_stem("/a.log"), positions.at(1, 3)):
        assert index == []
    positions.clear()
    assert positions.all() == positions.at(1, 2) == []


@given(STEPS)
def test_each_file_is_found_by_all_that_is_known_of_it(steps: list[tuple[str, SavedFile]]) -> None:
    """After any reads a file is found by base, series and place as it is now, and no other way."""
    positions, model = Positions([]), dict[str, SavedFile]()
    for step, file in steps:
        file = replace(file, stem=model[file.key].stem) if file.key in model else file  # noqa: PLW2901
        if step == "move":
            positions.take(moves(file))
            model[file.key] = file
        elif file.key in model:
            positions.take(moves(forgotten=(model.pop(file.key),)))
    files = list(model.values())
    assert _sorted(positions.all()) == _sorted(files)
    for number in range(8):
        base, stem, inode = f"b{number}", f"/{number}", number
        assert _sorted(positions.of(base)) == _sorted([f for f in files if f.base == base])
        assert _sorted(positions.in_stem(stem)) == _sorted([f for f in files if f.stem == stem])
        assert _sorted(positions.at(1, inode)) == _sorted([f for f in files if f.inode == inode])


def _sorted(files: list[SavedFile]) -> list[SavedFile]:
    return sorted(files, key=lambda file: file.key)
