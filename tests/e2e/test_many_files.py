"""Very many files, and files that come and go: each line once, in bounded memory."""

import random
import sqlite3
import time
from collections import deque
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.e2e.agent import Agent, Setup, configure, running
from tests.e2e.record import Record
from tests.e2e.texts import faults
from tests.fakes.elasticsearch import FakeElasticsearch

FILES = 10_000
LINES = 5
MAX_RSS_BYTES = 220e6
"""15 KB for each file that is followed; 192 MB were seen, and 170 with fewer open."""
OTHER_DESCRIPTORS = 64
"""What is open besides log files: databases, sockets, inotify, pipes of threads."""
IDLE_SECS = 5.0
MAX_IDLE_CORES = 0.25
WOKEN = 300
"""Files that go on after all have been silent; with few files open most of them are closed."""


def lines_of(name: str, *, first: int = 0, lines: int = LINES) -> list[str]:
    """Lines that no other file has."""
    return [f"{name} line {number} {'x' * 40}" for number in range(first, first + lines)]


def append(path: Path, lines: Sequence[str]) -> None:
    """Append lines in one write."""
    with path.open("a", encoding="ascii") as file:
        file.write("".join(f"{line}\n" for line in lines))


def delivered(agent: Agent, fake: FakeElasticsearch, count: int) -> None:
    """Wait until so many documents are there."""
    agent.until(lambda: len(fake.documents) >= count, f"{count} documents", seconds=90)


@pytest.mark.timeout(200)
@pytest.mark.parametrize(
    "follow", [pytest.param({}, id="default"), pytest.param({"open_files": 500}, id="500")]
)
def test_ten_thousand_files_in_a_directory(
    fake: FakeElasticsearch, tmp_path: Path, follow: dict[str, int], record_property: Record
) -> None:
    """All lines of 10,000 files are delivered once, in 200 MB, with as few open as is wanted."""
    names = [f"{number:05}.log" for number in range(FILES)]
    logs = tmp_path / "logs"
    logs.mkdir()
    for name in names:
        append(logs / name, lines_of(name))
    setup = configure(
        tmp_path / "agent", paths=[logs], url=fake.url, prefix="test", follow=follow, buffer=HASTY
    )
    started = time.monotonic()
    with running(setup) as agent:
        delivered(agent, fake, FILES * LINES)
        record_property("start-up", f"{time.monotonic() - started:.1f} s")
        record_property("idle", f"{_idle_cores(agent):.3f} cores")
        woken, again = random.sample(names, WOKEN), time.monotonic()
        for name in woken:
            append(logs / name, lines_of(name, first=LINES, lines=1))
        delivered(agent, fake, FILES * LINES + WOKEN)
        record_property("woken", f"{WOKEN} files, within {time.monotonic() - again:.1f} s")
        record_property("peak RSS", f"{agent.peak_rss_bytes / 1e6:.0f} MB")
        record_property("descriptors", agent.descriptors)
        assert agent.peak_rss_bytes < MAX_RSS_BYTES
        assert agent.descriptors < follow.get("open_files", FILES) + OTHER_DESCRIPTORS
        assert agent.metric("shipper_open_files") <= follow.get("open_files", FILES)
        assert agent.stop() == 0
    every = [line for name in names for line in lines_of(name)]
    assert faults([*every, *(lines_of(n, first=LINES, lines=1)[0] for n in woken)], fake) == []


HASTY = {"flush_secs": 0.1, "min_free_percent": 0}


def _idle_cores(agent: Agent) -> float:
    """How many cores it needs while nothing is written."""
    before, since = agent.cpu_secs, time.monotonic()
    agent.pass_time(IDLE_SECS)
    cores = (agent.cpu_secs - before) / (time.monotonic() - since)
    assert cores < MAX_IDLE_CORES
    return cores


def test_limit_of_descriptors_loses_nothing(fake: FakeElasticsearch, tmp_path: Path) -> None:
    """With more files than the process may open all are followed, without a word of EMFILE."""
    names, logs = [f"{number:03}.log" for number in range(400)], tmp_path / "logs"
    logs.mkdir()
    for name in names:
        append(logs / name, lines_of(name))
    setup = configure(tmp_path / "agent", paths=[logs], url=fake.url, prefix="test", buffer=HASTY)
    with running(setup, before=["prlimit", "--nofile=128:128"]) as agent:
        delivered(agent, fake, len(names) * LINES)
        for name in names:
            append(logs / name, lines_of(name, first=LINES))
        delivered(agent, fake, 2 * len(names) * LINES)
        assert agent.descriptors <= 128
        assert agent.metrics().get("shipper_read_errors_total", 0) == 0
        assert agent.stop() == 0
    assert faults([line for n in names for line in lines_of(n, lines=2 * LINES)], fake) == []


@dataclass(slots=True)
class Churn:
    """Files that come and go, so many at a time.

    A file is written in two halves; the second comes when the first was delivered. Of every other
    file the second half is in a file without a name before anybody can have read it; the others are
    deleted when all of them was delivered.
    """

    folder: Path
    fake: FakeElasticsearch
    agent: Agent
    written: list[str] = field(default_factory=list)
    _begun: deque[str] = field(default_factory=deque)
    _ended: deque[str] = field(default_factory=deque)
    _seen: set[str] = field(default_factory=set)
    _taken: int = 0

    def run(self, numbers: range, *, alive: int) -> None:
        """Let these files come, and go again but for the last."""
        for number in numbers:
            name = f"{number:05}.log"
            self._append(name, first=0)
            self._begun.append(name)
            self._thin_out(alive=alive)

    def end(self) -> None:
        """Let the last files go."""
        self._thin_out(alive=0)

    def _thin_out(self, *, alive: int) -> None:
        while len(self._begun) > alive // 2:
            self._write_second_half(self._begun.popleft())
        while len(self._ended) > alive // 2:
            name = self._ended.popleft()
            self._until_delivered(name, lines=2 * LINES)
            (self.folder / name).unlink()

    def _write_second_half(self, name: str) -> None:
        self._until_delivered(name, lines=LINES)
        self._append(name, first=LINES)
        if int(name[:5]) % 2:
            self._ended.append(name)
        else:
            (self.folder / name).unlink()

    def _append(self, name: str, *, first: int) -> None:
        lines = lines_of(name, first=first)
        append(self.folder / name, lines)
        self.written += lines

    def _until_delivered(self, name: str, *, lines: int) -> None:
        wanted = lines_of(name, lines=lines)
        self.agent.until(lambda: self._has(wanted), f"{lines} lines of {name}")

    def _has(self, lines: Sequence[str]) -> bool:
        documents = list(self.fake.documents.values())
        self._seen.update(document["log"] for document in documents[self._taken :])
        self._taken = len(documents)
        return self._seen.issuperset(lines)


@dataclass(frozen=True, slots=True)
class Extent:
    """How much an agent has of what must not grow."""

    descriptors: int
    samples: int
    saved_files: int
    rss_bytes: int

    @classmethod
    def of(cls, agent: Agent) -> "Extent":
        """Look now."""
        samples = len(agent.get("/metrics")[1].splitlines())
        return cls(agent.descriptors, samples, _saved_files(agent.setup), agent.rss_bytes)


def _saved_files(setup: Setup) -> int:
    uri = f"{(setup.state_dir / 'state.db').as_uri()}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True)) as db:
        (count,) = db.execute("SELECT count(*) FROM files").fetchone()
    return int(count)


# Python's tables and the allocator's arenas find their size within some 8,000 files (89 MB); of the
# thousands after that nothing is seen.
@pytest.mark.parametrize(
    ("files", "warm_up"),
    [
        pytest.param(1_000, 300, marks=pytest.mark.timeout(200), id="1000"),
        pytest.param(
            20_000, 10_000, marks=[pytest.mark.soak, pytest.mark.timeout(1800)], id="20000"
        ),
    ],
)
def test_files_that_come_and_go_leave_nothing_behind(
    fake: FakeElasticsearch, tmp_path: Path, files: int, warm_up: int, record_property: Record
) -> None:
    """Files come, are read and go: each line once, and nothing of them stays in the agent."""
    logs = tmp_path / "logs"
    logs.mkdir()
    setup = configure(
        tmp_path / "agent",
        paths=[logs],
        url=fake.url,
        prefix="test",
        follow={"expire_secs": 1, "settle_secs": 1, "scan_secs": 1},
        buffer=HASTY,
    )
    with running(setup) as agent:
        churn = Churn(logs, fake, agent)
        agent.until_ready()
        before = Extent.of(agent)
        churn.run(range(warm_up), alive=50)
        warm = Extent.of(agent)
        churn.run(range(warm_up, files), alive=50)
        churn.end()
        delivered(agent, fake, len(churn.written))
        agent.until(
            lambda: Extent.of(agent).saved_files == 0, "saved positions to expire", seconds=30
        )
        agent.until(lambda: agent.metric("shipper_series") == 0, "series to end")
        most = before.descriptors + 4  # connections, a thread's pipe
        agent.until(lambda: Extent.of(agent).descriptors <= most, f"{most} descriptors", seconds=60)
        after = Extent.of(agent)
        record_property("extent", f"{before}, {warm}, {after}")
        assert after.descriptors <= most
        assert after.samples <= before.samples + 4
        assert after.rss_bytes < warm.rss_bytes + 10e6
        assert agent.metrics().get("shipper_abandoned_bytes_total", 0) == 0
        assert agent.stop() == 0
    assert faults(churn.written, fake) == []
