"""Every way a log file changes, done by the real programs: each line is one document.

Lines are numbered. Where the agent could read twice what is delivered once, the bytes that it says
to have read show it.
"""

import errno
import os
import random
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Lock, Thread
from typing import IO

import pytest

from tests.e2e.agent import Agent, Setup, configure, running
from tests.e2e.texts import faults
from tests.fakes.elasticsearch import FakeElasticsearch

WITHOUT_ROOTS_RIGHTS = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
"""What root may read then is what the modes of its files say."""
LOAD_LINES_PER_SEC = 5_000
ROTATE_EVERY_SECS = 0.4
ROTATIONS = 8
DISK_BYTES = 16 << 20
LOOP_DEVICES = 8
KEPT_BYTES = 2 << 20
"""Of a failing disk: it has the inodes, and the first 64 KiB of a file."""


def tool(*command: str | Path) -> None:
    """Run a program that must succeed."""
    subprocess.run(list(map(str, command)), check=True)


@dataclass(slots=True)
class Case:
    """A directory, the agent that follows it, and all lines that were written there."""

    folder: Path
    setup: Setup
    fake: FakeElasticsearch
    written: list[str] = field(default_factory=list)
    written_bytes: int = 0

    @property
    def logs(self) -> Path:
        """The directory."""
        return self.folder / "logs"

    def lines(self, count: int) -> str:
        """The next so many lines, which count as written."""
        first = len(self.written)
        new = [f"{number} {'x' * (number % 50)}" for number in range(first, first + count)]
        self.written += new
        data = "".join(f"{line}\n" for line in new)
        self.written_bytes += len(data)
        return data

    def append(self, path: Path, count: int) -> None:
        """Append the next lines."""
        with path.open("a", encoding="ascii") as file:
            file.write(self.lines(count))

    def settle(self, agent: Agent, *, seconds: float = 30) -> None:
        """Wait until all that was written is delivered."""
        agent.until(
            lambda: len(self.fake.documents) >= len(self.written), "all lines", seconds=seconds
        )

    def end(self, agent: Agent) -> None:
        """All was delivered once, read once, and nothing is amiss."""
        agent.until_ready()
        self.settle(agent)
        metrics = agent.metrics()
        assert agent.stop() == 0
        assert faults(self.written, self.fake) == []
        names = ("read_bytes_total", "abandoned_bytes_total", "gaps_total")
        account = [metrics.get(f"shipper_{name}", 0) for name in names]
        assert account == [self.written_bytes, 0, 0]


@pytest.fixture
def case(fake: FakeElasticsearch, tmp_path: Path) -> Case:
    """An empty directory."""
    (tmp_path / "logs").mkdir()
    setup = configure(
        tmp_path / "agent",
        paths=[tmp_path / "logs"],
        url=fake.url,
        prefix="test",
        follow={"settle_secs": 0.5, "scan_secs": 0.5},
        buffer={"flush_secs": 0.05, "min_free_percent": 0},
    )
    return Case(tmp_path, setup, fake)


@contextmanager
def mounted(what: Path, where: Path) -> Iterator[Callable[[], None]]:
    """Show a directory at another place too, until what is given is called, or to the end."""
    tool("mount", "--bind", what, where)
    try:
        yield lambda: tool("umount", "--lazy", where)
    finally:
        subprocess.run(["umount", "--lazy", str(where)], check=False, capture_output=True)


@pytest.mark.parametrize("restarted", [False, True])
def test_directory_that_is_unmounted_and_comes_back(case: Case, restarted: bool) -> None:
    """Files of a directory that was away go on where they were, also for an agent started then."""
    disk = case.folder / "disk"
    disk.mkdir()
    with running(case.setup) as agent:
        with mounted(disk, case.logs) as unmount:
            case.append(disk / "a.log", 100)
            case.settle(agent)
            case.append(disk / "a.log", 100)
            unmount()
        case.append(disk / "b.log", 100)
        case.logs.rmdir()
        agent.until(lambda: agent.metric("shipper_series") == 0, "to notice", seconds=10)
        if restarted:
            agent.process.kill()
            agent.process.wait()
    case.append(disk / "a.log", 100)
    with running(case.setup) as agent:
        agent.until_ready()
        case.logs.mkdir()
        with mounted(disk, case.logs):
            case.append(disk / "a.log", 100)
            case.end(agent)


def test_directory_that_is_mounted_twice(case: Case) -> None:
    """What is seen below two paths is read once, over rotations, compression and restarts."""
    path, twin = case.logs / "a.log", case.folder / "twin"
    twin.mkdir()
    (case.logs / "sub").mkdir()
    paths, settings = [case.logs, twin / "*.log", twin / "sub"], {"settle_secs": 0.5}
    buffer = {"flush_secs": 0.05, "min_free_percent": 0}
    case.setup = configure(
        case.setup.folder,
        paths=paths,
        url=case.fake.url,
        prefix="test",
        follow=settings,
        buffer=buffer,
    )
    with mounted(case.logs, twin):
        for number in range(3):
            with running(case.setup) as agent:
                for log in (path, case.logs / "sub" / "b.log"):
                    case.append(log, 100)
                    case.settle(agent)
                    case.append(log, 100)
                    log.rename(log.with_name(f"{log.name}-2026110{number}"))
                    case.append(log, 100)
                    tool("gzip", log.with_name(f"{log.name}-2026110{number}"))
                case.settle(agent)
        with running(case.setup) as agent:
            case.end(agent)


@dataclass(frozen=True, slots=True)
class Load:
    """Somebody who writes, and lets others work on the file between two lines."""

    case: Case
    path: Path
    quiet: Lock = field(default_factory=Lock)
    stopped: Event = field(default_factory=Event)

    def run(self) -> None:
        """Write until stopped."""
        with self.path.open("ab", buffering=0) as file:
            while not self.stopped.is_set():
                with self.quiet:
                    file.write(self.case.lines(LOAD_LINES_PER_SEC // 1000).encode())
                time.sleep(0.001)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Write in a thread as long as this lasts."""
        thread = Thread(target=self.run)
        thread.start()
        try:
            yield
        finally:
            self.stopped.set()
            thread.join()


def copytruncate(load: Load) -> None:
    """Rotate as logrotate does with `copytruncate`; nothing is written between cp and truncate."""
    path = load.path
    for number in range(ROTATIONS, 0, -1):
        older = path.with_name(f"{path.name}.{number}")
        if older.exists():
            older.rename(path.with_name(f"{path.name}.{number + 1}"))
    with load.quiet:
        tool("cp", "--preserve", path, f"{path}.1")
        tool("truncate", "--size=0", path)


def test_copytruncate_under_load(case: Case) -> None:
    """Lines in the copies and lines in the truncated file are documents, once."""
    load = Load(case, case.logs / "a.log")
    with running(case.setup) as agent:
        with load.running():
            for _ in range(ROTATIONS):
                agent.pass_time(ROTATE_EVERY_SECS)
                copytruncate(load)
        case.end(agent)


def test_copytruncate_of_a_quiet_file(case: Case) -> None:
    """So they are where nothing was written for long, and the copy keeps the time of that."""
    load = Load(case, case.logs / "a.log")
    with running(case.setup) as agent:
        for _ in range(5):
            case.append(load.path, 100)
            case.settle(agent)
            agent.pass_time(1.2)
            copytruncate(load)
        case.end(agent)


def test_copytruncate_around_kills(case: Case) -> None:
    """So they are where the agent is killed before and after each rotation (I7)."""
    load = Load(case, case.logs / "a.log")
    with load.running():
        for _ in range(ROTATIONS // 2):
            with running(case.setup) as agent:
                agent.pass_time(random.uniform(0.5, 1.2))
                copytruncate(load)
            copytruncate(load)
    with running(case.setup) as agent:
        case.end(agent)


def test_symlink_that_moves_to_a_new_target(case: Case) -> None:
    """Lines at the end of the old target, and all lines of the new ones, are documents."""
    targets = case.folder / "targets"
    targets.mkdir()
    with running(case.setup) as agent:
        for number in range(5):
            target = targets / f"{number}-json.log"
            case.append(target, 50)
            (case.logs / "new").symlink_to(target)
            (case.logs / "new").rename(case.logs / "current.log")
            case.settle(agent)
            case.append(target, 50)
        case.end(agent)


def test_file_that_is_deleted_and_made_again(case: Case) -> None:
    """What is in a file when it is deleted is read, and the next one from its beginning."""
    path = case.logs / "a.log"
    with running(case.setup) as agent:
        for _ in range(20):
            case.append(path, 50)
            case.settle(agent)
            case.append(path, 50)
            path.unlink()
        case.append(path, 50)
        case.end(agent)


def test_file_that_is_replaced_atomically(case: Case) -> None:
    """A file that takes the place of another is read whole, and so is the rest of the other."""
    path, new = case.logs / "a.log", case.logs / "a.log.new"
    case.append(path, 50)
    with running(case.setup) as agent:
        for _ in range(20):
            case.settle(agent)
            case.append(path, 50)
            case.append(new, 50)
            new.rename(path)
        case.end(agent)


def test_rotated_file_that_gzip_compresses(case: Case) -> None:
    """A rotated file is not read again when the real gzip has compressed it."""
    path = case.logs / "a.log"
    with running(case.setup) as agent:
        for number in range(1, 6):
            case.append(path, 200)
            case.settle(agent)
            case.append(path, 200)
            path.rename(case.logs / f"a.log-2026110{number}")
            case.append(path, 1)
            tool("gzip", case.logs / f"a.log-2026110{number}")
        case.end(agent)


@pytest.mark.parametrize("rotations", [1, 3])
def test_reading_goes_on_inside_a_compressed_file(case: Case, rotations: int) -> None:
    """An agent that was away while a file was rotated and compressed reads only what it has not."""
    path = case.logs / "a.log"
    with running(case.setup) as agent:
        case.append(path, 2_000)
        case.settle(agent)
    for number in range(rotations):
        case.append(path, 2_000)
        path.rename(case.logs / f"a.log.2026112{number}-101112")
        tool("gzip", case.logs / f"a.log.2026112{number}-101112")
    case.append(path, 100)
    with running(case.setup) as agent:
        case.end(agent)


def gzip_into(source: Path, target: IO[bytes], *, part: float = 1.0) -> None:
    """Compress a file, or only the first part of what that makes."""
    data = subprocess.run(["gzip", "--stdout", str(source)], check=True, capture_output=True).stdout
    target.write(data[: int(len(data) * part)])
    target.flush()


@pytest.mark.parametrize("restarted", [False, True])
def test_kubelet_compresses_by_way_of_a_temporary_file(case: Case, restarted: bool) -> None:
    """Neither a `.tmp` in the making nor the `.gz` that it becomes is read again."""
    live, rotated = case.logs / "0.log", case.logs / "0.log.20261123-101112"
    temporary = rotated.with_name(f"{rotated.name}.tmp")
    with running(case.setup) as agent:
        case.append(live, 3_000)
        case.settle(agent)
        case.append(live, 3_000)
    live.rename(rotated)
    case.append(live, 100)
    with temporary.open("wb") as file:
        gzip_into(rotated, file, part=0.6)
        with running(case.setup) as agent:
            case.settle(agent)
            if not restarted:
                finish_compression(rotated, temporary, file)
                case.append(live, 100)
                case.end(agent)
                return
        finish_compression(rotated, temporary, file)
    case.append(live, 100)
    with running(case.setup) as agent:
        case.end(agent)


def finish_compression(rotated: Path, temporary: Path, file: IO[bytes]) -> None:
    """Do what the kubelet does at the end."""
    file.seek(0)
    gzip_into(rotated, file)
    temporary.rename(f"{rotated}.gz")
    rotated.unlink()


def test_file_that_may_not_be_read_for_a_while(case: Case) -> None:
    """A file without permission (EACCES) is not forgotten: it goes on when it may be read again."""
    path, new = case.logs / "a.log", case.logs / "new.log"
    with running(case.setup, before=WITHOUT_ROOTS_RIGHTS) as agent:
        case.append(path, 100)
        case.settle(agent)
    path.chmod(0)
    case.append(path, 100)
    case.append(new, 100)
    new.chmod(0)
    with running(case.setup, before=WITHOUT_ROOTS_RIGHTS) as agent:
        agent.until(lambda: str(path) in agent.said and str(new) in agent.said, "to say so")
        assert len(case.fake.documents) == 100
        path.chmod(0o644)
        new.chmod(0o644)
        case.end(agent)
    assert "no permission" in agent.said.lower()


@dataclass(frozen=True, slots=True)
class FailingDisk:
    """A file system in a file, of which all but the beginning can go away and come back."""

    image: Path

    def fail(self) -> bytes:
        """Let reading fail; returns what it takes to mend it."""
        os.sync()
        data = self.image.read_bytes()
        os.truncate(self.image, KEPT_BYTES)
        Path("/proc/sys/vm/drop_caches").write_text("1", encoding="ascii")
        return data

    def mend(self, data: bytes) -> None:
        """Bring back what was there."""
        with self.image.open("r+b") as file:
            file.seek(KEPT_BYTES)
            file.write(data[KEPT_BYTES:])


def _make_loop_devices() -> None:
    """Make the device files of loop devices, where a container has none though its kernel does."""
    devices = [("loop-control", stat.S_IFCHR, 10, 237)]
    devices += [(f"loop{number}", stat.S_IFBLK, 7, number) for number in range(LOOP_DEVICES)]
    for name, kind, major, minor in devices:
        with suppress(FileExistsError):
            os.mknod(f"/dev/{name}", kind | 0o600, os.makedev(major, minor))


@pytest.fixture
def disk(case: Case) -> Iterator[FailingDisk]:
    """A disk of which the directory is mounted."""
    _make_loop_devices()
    image = case.folder / "disk.img"
    image.touch()
    os.truncate(image, DISK_BYTES)
    tool("mkfs.ext2", "-q", "-b", "4096", image)
    tool("mount", "-o", "loop,noatime", image, case.logs)
    try:
        yield FailingDisk(image)
    finally:
        tool("umount", "--lazy", case.logs)


def test_disk_that_fails_for_a_while(case: Case, disk: FailingDisk) -> None:
    """A file that cannot be read (EIO) is not forgotten: it goes on when its disk is well again."""
    path = case.logs / "a.log"
    case.append(path, 20_000)
    data = disk.fail()
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        path.read_bytes()
    with running(case.setup) as agent:
        agent.until(lambda: agent.metric("shipper_read_errors_total") > 1, "two tries")
        assert os.strerror(errno.EIO) in agent.said
        assert len(case.fake.documents) < len(case.written)
        disk.mend(data)
        case.end(agent)
