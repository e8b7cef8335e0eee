"""Faults that pass: the system refuses for a while, and no file is forgotten and no line lost."""

import asyncio
import errno
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NoReturn

import pytest

from shipper.source.content import opened
from tests.source.faulty import SETTLE_SECS, Faulty
from tests.source.logs import Logs, append
from tests.source.running import Running

FAULTS = ("ENOENT", "EACCES", "EIO", "ESTALE", "EMFILE")


class Faults:
    """A log for each fault, in a directory of its own, and an agent that follows them all."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Begin each with a line."""
        self.place = Logs(root)
        self.logs = {name: self.place.directory / name / "a.log" for name in FAULTS}
        self.directories = {name: path.parent for name, path in self.logs.items()}
        for directory in self.directories.values():
            directory.mkdir()
        self._lines = 0
        self.write()
        self.faulty = Faulty(monkeypatch)

    def write(self) -> None:
        """Append a line to each."""
        self._lines += 1
        for name, path in self.logs.items():
            append(path, f"{name} {self._lines}\n".encode())

    def replace(self) -> None:
        """Delete each, and begin it anew with a line."""
        self._lines += 1
        for name, path in self.logs.items():
            path.with_name("new.tmp").write_bytes(f"{name} {self._lines}\n".encode())
            path.with_name("new.tmp").replace(path)

    def rotate(self) -> None:
        """Rename each, and begin it anew with a line."""
        for path in self.logs.values():
            path.rename(path.with_name("a.log.1"))
        self.write()

    def survive(self, happens: Callable[[], Awaitable[None]]) -> None:
        """Check that each line is delivered once, whatever happens meanwhile, and nothing lost."""

        async def follow() -> None:
            async with self.place.agent(settle_secs=SETTLE_SECS):
                await self.all_arrived()
                await happens()
                await self.all_arrived()

        asyncio.run(follow())
        assert self.place.lost() == {}

    async def all_arrived(self) -> None:
        """Check that each line is delivered, once."""
        numbers = range(1, self._lines + 1)
        await self.place.has_only(*(f"{name} {n}" for name in FAULTS for n in numbers))


@pytest.mark.parametrize("call", ["fstat", "lseek"])
def test_file_that_fails_when_it_is_open_leaves_nothing_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """It is tried for ever; each try would cost a descriptor."""
    path = tmp_path / "a.log.1.gz"
    path.touch()
    descriptors = set(os.listdir("/proc/self/fd"))  # noqa: PTH208  # names are all that is needed

    def fails(*_: object) -> NoReturn:
        raise OSError(errno.ESTALE, "stale")

    monkeypatch.setattr(os, call, fails)
    with pytest.raises(OSError, match="stale"):
        opened(str(path))
    monkeypatch.undo()
    assert set(os.listdir("/proc/self/fd")) == descriptors  # noqa: PTH208


def counted_reasons(agent: Running) -> set[str]:
    """Return the errors that were counted."""
    (family,) = agent.metrics.read_errors.collect()
    return {sample.labels["reason"] for sample in family.samples if sample.value}


@pytest.mark.parametrize("call", ["pread", "fstat"])
def test_file_that_cannot_be_read_for_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, call: str
) -> None:
    """An open file whose reads fail is read on when they do not, where it was; each is counted."""
    faults = Faults(tmp_path, monkeypatch)

    async def follow() -> None:
        async with faults.place.agent(settle_secs=SETTLE_SECS) as agent:
            await faults.all_arrived()
            faults.faulty.begin(faults.logs, call)
            faults.write()
            await faults.faulty.last()
            assert counted_reasons(agent) == set(FAULTS)
            faults.faulty.end()
            faults.write()
            await faults.all_arrived()

    asyncio.run(follow())
    assert faults.place.lost() == {}
    assert f"{faults.logs['EIO']}: cannot be read, tried again" in caplog.text


def test_known_file_that_cannot_be_opened_for_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that cannot be opened at the start is tried until it can be, and read on."""
    faults = Faults(tmp_path, monkeypatch)

    async def follow() -> None:
        async with faults.place.agent():
            await faults.all_arrived()
        faults.write()
        faults.faulty.begin(faults.logs, "open")
        async with faults.place.agent(settle_secs=SETTLE_SECS) as agent:
            await faults.faulty.last()
            assert counted_reasons(agent) == set(FAULTS)
            faults.faulty.end()
            await faults.all_arrived()

    asyncio.run(follow())
    assert faults.place.lost() == {}


def test_new_file_that_cannot_be_opened_for_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that nobody knows yet is tried until it can be opened, also after it was rotated."""
    faults = Faults(tmp_path, monkeypatch)

    async def follow() -> None:
        faults.faulty.begin(faults.logs, "open")
        async with faults.place.agent(settle_secs=SETTLE_SECS):
            await faults.faulty.last()
            faults.rotate()
            await faults.faulty.last()
            faults.faulty.end()
            await faults.all_arrived()

    asyncio.run(follow())
    assert faults.place.lost() == {}


@pytest.mark.parametrize("call", ["pread", "fstat"])
def test_deleted_file_that_cannot_be_read_for_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """A file without a name is not closed for a fault: nobody could ever open it again."""
    faults = Faults(tmp_path, monkeypatch)

    async def happens() -> None:
        faults.faulty.begin(faults.logs, call)
        faults.write()
        faults.replace()
        await faults.faulty.last()
        faults.faulty.end()

    faults.survive(happens)


def test_file_that_cannot_be_seen_for_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A path that cannot be looked at is not taken for deleted: its file is read on."""
    faults = Faults(tmp_path, monkeypatch)

    async def happens() -> None:
        faults.faulty.begin(faults.logs, "stat", "open")
        faults.write()
        await faults.faulty.last()
        faults.faulty.end()
        faults.write()

    faults.survive(happens)


def test_directory_that_cannot_be_listed_for_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a directory cannot be listed open files stay open; what was rotated is found after."""
    faults = Faults(tmp_path, monkeypatch)

    async def happens() -> None:
        faults.faulty.begin(faults.directories, "listdir")
        faults.write()
        faults.rotate()
        await faults.faulty.last()
        faults.faulty.end()
        faults.write()

    faults.survive(happens)
