"""The delivery contract over everything that happens to a log file, by a model of a node."""

import asyncio
import os
import secrets
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from shipper.model import Position
from shipper.pipeline.assemble import Assembler
from shipper.source.closed import Closed
from shipper.source.directory import Directories, Found
from shipper.source.identity import Claim, CopyOf, Identity, Looks
from tests.source.model.agent import PATIENCE_SECS
from tests.source.model.book import Book
from tests.source.model.folder import Folder
from tests.source.model.node import ACTIONS, Action, Node, Setup

NAMES = [name for name, weight in ACTIONS.items() for _ in range(weight)]
# At least eight, because most lists would be shorter; a rest of no time is no action.
HISTORIES = st.lists(
    st.tuples(st.sampled_from(NAMES), st.integers(0, 999)), min_size=8, max_size=25
)
FAST = "/dev/shm"  # a file system in memory: each chunk is synced
BANNER = b"=== begin ===\n"
SETUPS = st.builds(
    Setup,
    main=st.sampled_from(["docker", "cri", "plain"]),
    naming=st.sampled_from(["numbered", "dated", "inside"]),
    appends=st.booleans(),
    linked=st.booleans(),
    banner=st.sampled_from([b"", BANNER]),
).map(lambda setup: replace(setup, splits=not setup.banner))
"""Parts are written by container runtimes, whose files begin with a time. Where a banner is all
that was read of one nobody can tell which are its copies, and so between which a line goes on."""
EXAMPLES = {"ci": 150, "soak": 3_000}.get(settings.get_current_profile_name(), 20)
"""A quarter of a second each."""
PART_OVER_A_ROTATION = [("write_part", 0), ("rest", 39), ("rename", 0), ("reopen", 0), ("write", 0)]
COPIED = [("write", 0), ("copy", 8), ("rewrite", 55)]
COMPRESSED_WHILE_DOWN = [("write", 0), ("catch_up", 0), ("down", 0), ("rotate_into_inode", 0)]
BEGINNING_THAT_IS_DELETED = [("write_part", 0), ("rest", 3), ("rotate", 0), ("rest", 9)]
BEGINNING_THAT_IS_DELETED += [("write_part", 0), ("rest", 9), ("retain", 0)]
COMPRESSED_BEFORE_A_STOP = [("write_part", 1), ("rename", 0), ("rotate_into_inode", 0)]


def faults_of(
    setup: Setup, history: list[Action], *, patience_secs: float = PATIENCE_SECS
) -> list[str]:
    """Do a history on a new node; returns what went wrong."""
    with (
        tempfile.TemporaryDirectory() as root,
        tempfile.TemporaryDirectory(dir=FAST if os.path.isdir(FAST) else None) as state,  # noqa: PTH112
    ):
        node = Node(Path(root), setup, state_dir=Path(state), patience_secs=patience_secs)
        return asyncio.run(node.run(history))


@pytest.mark.timeout(0 if EXAMPLES > 1_000 else 600)
@given(SETUPS, HISTORIES)
@settings(max_examples=EXAMPLES)
@example(Setup(), [("write_part", 0), ("rename", 0), ("write", 0), ("reopen", 0), ("kill", 0)])
@example(Setup(), [*PART_OVER_A_ROTATION, ("catch_up", 0), ("kill", 0), ("write", 0)])
@example(Setup(banner=BANNER), [*PART_OVER_A_ROTATION, ("catch_up", 0), ("kill", 0), ("write", 0)])
@example(Setup(), [*PART_OVER_A_ROTATION[:-1], ("settle", 0), ("kill", 0), ("write", 0)])
@example(Setup(), [("write_half", 1), ("rename", 0), ("rest", 39), ("reopen", 0), ("write", 1)])
@example(Setup(), COPIED)
@example(Setup(banner=BANNER), COPIED)
@example(Setup(), [*COMPRESSED_WHILE_DOWN, ("write", 0)])
@example(
    Setup(main="cri"), [("write", 0), ("rest", 14), ("truncate", 0), ("write", 5), ("delete", 0)]
)
@example(Setup(main="plain"), [("write", 0), ("rotate", 0), ("write_late", 0), ("rest", 20)])
@example(
    Setup(appends=False), [("rest", 3), *COMPRESSED_BEFORE_A_STOP, ("write_part", 1), ("stop", 0)]
)
@example(Setup(), [*BEGINNING_THAT_IS_DELETED, ("rest", 9), ("stop", 0)])
def test_every_line_is_delivered_exactly_once(setup: Setup, history: list[Action]) -> None:
    """I1-I5, I9: whatever happens to files and agent, each line comes once, or is accounted for."""
    assert faults_of(setup, history) == []


# -- what the model is worth


class Break(NamedTuple):
    """A mistake that the shipper does not make: what is put where, and how that shows."""

    owner: type
    name: str
    broken: Callable[..., Any]
    history: list[Action]
    shows: str


def no_pins(_self: Assembler, _key: str) -> dict[str, int]:
    """Let a position run past the parts that wait."""
    return {}


def by_inode(self: Identity, _stem: str, _head: bytes, *, looks: Looks) -> Claim:
    """Know a file by its device and inode."""
    key = f"{looks.place}"
    saved = self._saved(key)  # a break is made inside
    return self._take(Claim(key, key, saved[0].position if saved else None), looks)


def only_live(self: Directories, stem: str) -> list[Found]:
    """Look at the live file alone."""
    return [file for file in FILES(self, stem) if file.path == stem]


def forgetting_places(self: Identity, claim: Claim, looks: Looks) -> Claim:
    """Forget which files are open."""
    taken = TAKE(self, claim, looks)
    self._places.clear()
    return taken


def gzip_from_0(self: Identity, stem: str, head: bytes, *, looks: Looks) -> Claim | CopyOf:
    """Take a compressed file for one that was never read."""
    if not looks.compressed:
        return CLAIM(self, stem, head, looks=looks)
    key = secrets.token_hex(12)
    return self._take(Claim(key, key, None), looks)


def one_for_both(self: Position, _stream: str, offset: int) -> bool:
    """Let one offset stand for both streams."""
    return offset < self.resume


def never_again(self: Closed, file: Found) -> bool:
    """Do not open a file again that was read to its end once."""
    return file.signature[:2] in {signature[:2] for signature in self._files}


FILES, CLAIM = Directories.files, Identity.claim
TAKE = Identity._take  # noqa: SLF001  # put back inside of a break
READ = [("write", 0), ("catch_up", 0)]
TWICE, MISSING, LATE = " documents", "is missing", "not delivered while there was time"
TRIES = 5
"""On a busy machine a history may be over before a mistake shows."""
BREAKS = {
    "position past a partial": Break(
        Assembler,
        "pins",
        no_pins,
        [("write_part", 0), ("write_other", 0), ("catch_up", 0), ("kill", 0)],
        MISSING,
    ),
    "identity by inode": Break(
        Identity, "claim", by_inode, [*READ, ("rotate", 0), ("settle", 0)], TWICE
    ),
    "old generation dropped": Break(
        Directories,
        "files",
        only_live,
        [("catch_up", 0), ("down", 0), ("rotate_often", 0)],
        MISSING,
    ),
    "two readers of one file": Break(
        Identity, "_take", forgetting_places, [*READ, ("link", 1)], TWICE
    ),
    "gzip sibling read from 0": Break(
        Identity, "claim", gzip_from_0, [*READ, ("rotate", 0)], TWICE
    ),
    "one position for both streams": Break(
        Position,
        "committed",
        one_for_both,
        [("write_part", 1), ("write_part", 0), ("write", 1), ("catch_up", 0), ("kill", 0)],
        TWICE,
    ),
    "renamed file dropped": Break(
        Closed,
        "has",
        never_again,
        [*READ, ("rotate", 1), ("settle", 0), ("settle", 0), ("write_late", 0), ("catch_up", 0)],
        LATE,
    ),
}


@pytest.mark.parametrize("name", BREAKS)
def test_the_model_catches_what_is_broken_on_purpose(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of these mistakes shows in its history, which is clean without it.
    | mistake                       | caught by                                                   |
    | position past a partial       | a part, a line after it; kill; its end: the part is missing |
    | identity by inode             | a rotated file gzipped, so of another inode: it comes twice |
    | old generation dropped        | rotations while the agent is down: their lines are missing  |
    | two readers of one file       | a hard link beside the live file: its lines come twice      |
    | gzip sibling read from 0      | a delivered generation gzipped: its lines come twice        |
    | one position for both streams | parts of both, one ended; kill: that end comes twice        |
    | renamed file dropped          | a late line in a rotated file that was finished: not read   |.
    """  # noqa: D205  # one sentence, and the table belongs to it
    broken = BREAKS[name]
    assert faults_of(Setup(), broken.history) == []
    monkeypatch.setattr(broken.owner, broken.name, broken.broken)
    tries = (faults_of(Setup(), broken.history, patience_secs=1.0) for _ in range(TRIES))
    assert any(fault.endswith(broken.shows) for faults in tries for fault in faults)


def test_the_model_lets_come_twice_what_begins_with_the_end_of_a_line(tmp_path: Path) -> None:
    """I5: nobody can tell a copy that lacks a late line from another file, unless by its head."""
    book = Book("docker", delivered=list, knows=lambda _: False)
    folder = Folder(tmp_path / "logs", tmp_path / "spare", book)
    sheet, pieces = folder.create(folder.stem), [book.piece(number) for number in range(4)]
    sheet.scrap_first = True
    for name, (copied, late) in (("1", pieces[:2]), ("2", pieces[2:])):
        folder.wrote(sheet, copied)
        folder.wrote(sheet, late)
        folder.path(f"{folder.stem}.{name}").touch()
        folder.add(f"{folder.stem}.{name}", source=sheet, pieces=[copied])
        folder.truncate()
    assert [piece.twice for piece in pieces] == [True, False, False, False]
