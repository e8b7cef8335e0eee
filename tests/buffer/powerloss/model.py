"""Log files, a reader and a destination around the real spool, and what must hold of them (I1–I9).

There are two series of one file each. Line `n` of a file has the byte offset `n`, and the id `2n`
in the first file, `2n + 1` in the second. The log files and the destination are outside the machine
that loses its power: what they know stays known.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import shutil
import sqlite3
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import pytest

from shipper.buffer import schema, state
from shipper.buffer.chunk import SUFFIX, Read, decompress, join, lines_of
from shipper.buffer.disk import Disk
from shipper.buffer.pace import Pace
from shipper.buffer.spool import Spool
from shipper.config import BufferConfig
from shipper.metrics import Metrics
from shipper.model import Chunk, Documents, Position, SavedFile
from tests.buffer.powerloss.disk import RecordingDisk
from tests.buffer.powerloss.journal import Image, Journal, Kind, Link, Survives, Told
from tests.buffer.powerloss.vfs import Fault, no_fault, recorded

_FILES = ("one-file", "other-file")
_SETTINGS = BufferConfig(flush_secs=60, min_free_percent=0)

DELIVERED, DEAD = "destination", "dead letters"


@dataclass(frozen=True, slots=True)
class Append:
    """Read some lines of a file, whose series is noisy at the moment, or is not."""

    lines: int
    file: int = 0
    noisy: bool = False


@dataclass(frozen=True, slots=True)
class Seal:
    """Seal what was read."""


@dataclass(frozen=True, slots=True)
class Ship:
    """Claim a chunk, if there is one, and deliver every `delivered`-th of its documents.

    Every `dead`-th of the others is refused, and what is left is sent again later, in `parts`.
    """

    delivered: int = 1
    dead: int = 0
    parts: int = 1


Action = Append | Seal | Ship
MakeDisk = Callable[[Journal], Disk]
Positions = tuple[int, int]
Running = contextlib.AbstractAsyncContextManager["Machine"]
_T = TypeVar("_T")


EVERYTHING = (
    Append(7),
    Seal(),
    Append(4, file=1, noisy=True),
    Append(4),
    Append(6, noisy=True),
    Seal(),
    Ship(),
    Append(5, noisy=True),
    Append(2),
    Append(3, file=1),
    Ship(delivered=2, dead=3, parts=2),
    Seal(),
    Ship(delivered=0, parts=2),
    Append(3),
    Seal(),
    Ship(delivered=3, dead=1),
    Ship(),
    Ship(),
)
"""Each kind of step at least once, with chunks before and behind it."""


class Violation(Exception):
    """The contract does not hold: an invariant, and what was found."""


def body_of(ids: Iterable[int]) -> bytes:
    """Return the documents of these lines."""
    return b"".join(b'{"create":{"_id":"%d"}}\n{"log":"line %d"}\n' % (n, n) for n in ids)


def ids_of(body: bytes) -> list[int]:
    """Return the lines that a body holds, whole and unchanged."""
    ids = [int(action.split(b'"')[5]) for action in lines_of(body)[::2]]
    if body != body_of(ids):
        raise Violation("I8: a chunk's body is not what went into it")
    return ids


def is_dropped(line: int) -> bool:
    """Whether a line becomes no document: a property of the line, as after a crash it is again."""
    return line % 5 == 3


def ids_before(end: int, file: int, *, begin: int = 0) -> range:
    """Return the lines of a file before an offset."""
    return range(2 * begin + file, 2 * end + file, 2)


class GivenPace(Pace):
    """Says of every series what it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.noisy = False

    def is_noisy(self, stem: str, *, now: float) -> bool:  # noqa: ARG002  # as Pace has it
        return self.noisy


class Machine:
    """The real spool with a model on both sides."""

    def __init__(self, spool: Spool, journal: Journal) -> None:
        self.spool = spool
        self._journal = journal
        self._pace = GivenPace()
        spool._lanes._pace = self._pace  # noqa: SLF001  # what a clock would decide

    @property
    def positions(self) -> Positions:
        """How far the files were read, as the spool has it."""
        first, second = (
            max((file.position.end for file in self.spool.positions.of(key)), default=0)
            for key in _FILES
        )
        return first, second

    async def do(self, action: Action) -> None:
        """Do one thing."""
        match action:
            case Append(lines, file, noisy):
                self._pace.noisy = noisy
                await self.read(lines, file)
            case Seal():
                await self.spool.flush()
            case Ship():
                await self._ship(action)

    async def read(self, lines: int, file: int) -> None:
        """Read lines behind the position."""
        key = _FILES[file]
        await self.spool.room(key)
        begin = self.positions[file]
        kept = [n for n in ids_before(begin + lines, file, begin=begin) if not is_dropped(n)]
        dropped = {"rule": lines - len(kept)}
        documents = Documents(body_of(kept), len(kept), len(kept), dropped)
        saved = SavedFile(key, key, key, 1, 1, Position(begin + lines))
        self.spool.append(Read(documents, (saved,), lines))

    async def drain(self, ends: Positions) -> None:
        """Read to the ends and deliver everything."""
        for file, (end, position) in enumerate(zip(ends, self.positions, strict=True)):
            if position < end:
                await self.read(end - position, file)
        await self.spool.flush()
        while self.spool.buffered_chunks:
            await self._ship(Ship())

    def buffered(self) -> list[list[int]]:
        """Return the lines of every chunk."""
        return [self._ids(chunk) for chunk in self.spool.state.chunks()]

    def _ids(self, chunk: Chunk) -> list[int]:
        try:
            body = decompress(self.spool.path(chunk).read_bytes())
        except (OSError, ValueError) as error:
            raise Violation(f"I1: a chunk that has a row is no whole file: {error}") from error
        ids = ids_of(body)
        if len(ids) != chunk.documents:
            raise Violation(f"I1: {chunk} holds {len(ids)} documents")
        return ids

    async def _ship(self, how: Ship) -> None:
        if not self.spool.buffered_chunks:
            return
        chunk = await self.spool.claim()
        ids = self._ids(chunk)
        delivered = ids[:: how.delivered] if how.delivered else []
        others = [n for n in ids if n not in delivered]
        dead = others[:: how.dead] if how.dead else []
        left = [n for n in others if n not in dead]
        self._journal.add(Told(DELIVERED, tuple(delivered)))
        self._journal.add(Told(DEAD, tuple(dead)))
        cut = -(-len(left) // how.parts)
        parts = [left[n : n + cut] for n in range(0, len(left), cut)] if left else []
        bodies = [join(lines_of(body_of(part))) for part in parts]
        self.spool.release(
            await self.spool.replace(chunk, bodies, delivered=len(delivered), dead=len(dead))
        )


@dataclass(frozen=True, slots=True)
class Recording:
    """A run: what it did to the disk.

    Attributes:
        root: The state directory.
        journal: What was done below it.
        begin: The first point at which the run can crash.
        lines: How long the log files were in the end.
    """

    root: Path
    journal: Journal
    begin: int
    lines: Positions


@dataclass(frozen=True, slots=True)
class Crash:
    """A loss of power, and what is left: the disk, and what others were told before."""

    image: Image
    delivered: frozenset[int] = frozenset()
    dead: frozenset[int] = frozenset()
    lines: Positions = (0, 0)


def record(
    root: Path,
    actions: Sequence[Action],
    *,
    after: Crash | None = None,
    disk: MakeDisk = RecordingDisk,
    fault: Fault = no_fault,
) -> Recording:
    """Run actions on a new spool, or on what a crash left of one, and record them."""
    found = after or Crash({})
    build(found.image, root)
    journal = Journal.of({root / path: content for path, content in found.image.items()})
    journal.add(Told(DELIVERED, tuple(found.delivered)))
    journal.add(Told(DEAD, tuple(found.dead)))
    begin = len(journal.operations)
    lines = _run(_record(actions, _running(root, journal, disk(journal), fault)))
    return Recording(root, journal, begin, _furthest(lines, found.lines))


def crash(recording: Recording, at: int, survives: Survives) -> Crash:
    """Return what a loss of power at a point of a recording leaves."""
    root, journal = recording.root, recording.journal
    image = {p.relative_to(root): data for p, data in journal.image(at, survives).items()}
    delivered, dead = journal.told(at, DELIVERED), journal.told(at, DEAD)
    return Crash(image, frozenset(delivered), frozenset(dead), recording.lines)


def check(crash: Crash, root: Path) -> None:
    """Open what a crash left in a new directory, go on to the end, and see that all is well.

    Raises:
        Violation: It is not.
    """
    build(crash.image, root)
    _run(_check(crash, root))


def crashes(recording: Recording) -> Iterator[Crash]:
    """Return what a loss of power leaves at every point, each different one once."""
    seen: set[int] = set()
    for at in range(recording.begin, len(recording.journal.operations) + 1):
        for survives in (nothing, everything, names_first, data_first, chance(at)):
            found = crash(recording, at, survives)
            same = hash((frozenset(found.image.items()), found.delivered, found.dead))
            if same not in seen:
                seen.add(same)
                yield found


def first_violation(recording: Recording, scratch: Path) -> str:
    """Crash everywhere, and return what is wrong first; empty if nothing is."""
    for number, found in enumerate(crashes(recording)):
        root = scratch / f"crash-{number}"
        try:
            check(found, root)
        except Violation as violation:
            return str(violation)
        shutil.rmtree(root)
    return ""


def violation_after_start(recording: Recording, scratch: Path) -> str:
    """Crash from the first chunk on: what comes before is the same in every run."""
    links = [op for op in recording.journal.operations if isinstance(op, Link)]
    first = next(link for link in links if SUFFIX in link.path.name)
    begin = recording.journal.operations.index(first)
    return first_violation(replace(recording, begin=begin), scratch)


def build(image: Image, root: Path) -> None:
    """Write the files of an image."""
    root.mkdir(mode=0o700)
    for path, content in image.items():
        (root / path).parent.mkdir(exist_ok=True)
        (root / path).write_bytes(content)


def nothing(_number: int, _kind: Kind) -> float:
    """Lose everything that was not synced."""
    return 0.0


def everything(_number: int, _kind: Kind) -> float:
    """Keep everything, as a kill does."""
    return 1.0


def names_first(_number: int, kind: Kind) -> float:
    """Keep the names only: what a file system does that writes its data late."""
    return float(kind == "name")


def data_first(_number: int, kind: Kind) -> float:
    """Keep the data only."""
    return float(kind == "data")


def chance(seed: int) -> Survives:
    """Keep, lose or tear each operation independently of the others."""

    def survives(number: int, _kind: Kind) -> float:
        drawn = random.Random(seed * 1_000_003 + number).random() * 3 - 1
        return min(1.0, max(0.0, drawn))

    return survives


def with_pragma(monkeypatch: pytest.MonkeyPatch, pragma: str) -> None:
    """Let each state.db that is opened have another setting."""
    original = schema.open_database

    def opened(path: Path) -> sqlite3.Connection:
        db = original(path)
        db.execute(f"PRAGMA {pragma}")
        return db

    monkeypatch.setattr(state, "open_database", opened)


def _run(work: Coroutine[None, None, _T]) -> _T:
    try:
        return asyncio.run(work)
    except ExceptionGroup as group:  # of the task group around the sealing task
        raise group.exceptions[0] from None


async def _record(actions: Sequence[Action], running: Running) -> Positions:
    async with running as machine:
        lines = machine.positions
        for action in actions:
            await machine.do(action)
            lines = _furthest(lines, machine.positions)
        return lines


def _furthest(one: Positions, other: Positions) -> Positions:
    return max(one[0], other[0]), max(one[1], other[1])


async def _check(crash: Crash, root: Path) -> None:
    before, after = crash.delivered | crash.dead, Journal()
    async with _running(root, after, RecordingDisk(after)) as machine:
        _check_start(machine, before)
        await machine.drain(crash.lines)
        _check_totals(machine.spool)
    told = before | after.told(len(after.operations), DELIVERED)
    lost = [n for n in _lines_of(crash.lines) if n not in told and not is_dropped(n)]
    if lost:
        raise Violation(f"I2: lines {lost} are nowhere")


def _check_start(machine: Machine, told: frozenset[int]) -> None:
    _check_totals(machine.spool)
    chunks, positions = machine.buffered(), machine.positions
    buffered = [n for chunk in chunks for n in chunk]
    if len(buffered) != len(set(buffered)):
        raise Violation(f"I2: a line is in two chunks: {chunks}")
    read = _lines_of(positions)
    if not set(buffered) <= set(read):
        raise Violation(f"I1: {buffered} are in chunks, and the positions are {positions}")
    known = told.union(buffered)
    ahead = [n for n in read if n not in known and not is_dropped(n)]
    if ahead:
        raise Violation(f"I1, I6: the positions are {positions}, and {ahead} are nowhere")


def _lines_of(ends: Positions) -> list[int]:
    return [n for file, end in enumerate(ends) for n in ids_before(end, file)]


def _check_totals(spool: Spool) -> None:
    totals = spool.state.totals()
    if totals["lost_documents", ""]:
        raise Violation("I1: a row had no file")
    chunked, read = totals["chunked", ""], totals["read_bytes", ""]
    after = totals["delivered", ""] + totals["dead", ""] + spool.buffered_documents
    if chunked != after:
        raise Violation(f"I9: {chunked} documents went in, {after} are there")
    taken = totals["chunked_bytes", ""] + totals["dropped_bytes", "rule"]
    if read != taken:
        raise Violation(f"I9: {read} bytes were read, {taken} are chunked or dropped")
    if spool.totals != totals:
        raise Violation(f"I9: {spool.totals} is exported, {totals} is saved")


@contextlib.asynccontextmanager
async def _running(
    root: Path, journal: Journal, disk: Disk, fault: Fault = no_fault
) -> AsyncIterator[Machine]:
    with recorded(journal, fault):
        try:
            spool = Spool(root, _SETTINGS, metrics=Metrics(), disk=disk)
        except Exception as error:
            raise Violation(f"I7: it does not start: {error!r}") from error
        try:
            async with asyncio.TaskGroup() as group:
                sealing = group.create_task(spool.seal_loop())
                yield Machine(spool, journal)
                sealing.cancel()
        finally:
            spool.close()
