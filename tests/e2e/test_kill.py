"""kill -9 at the worst moments, again and again: nothing is lost, nothing comes twice."""

import os
import random
import select
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.e2e.agent import Agent, Setup, configure, environment, running
from tests.e2e.numbered import writing
from tests.servers.elasticsearch import Elasticsearch

KINDS = ("seal", "commit", "request")
"""What the trace tells the begin and the end of."""
AT_RANDOM_EVERY = 5
"""One kill of so many falls at a random time, start-up included."""
LATEST_SECS = 2.0
LIMIT_SECS = 60.0


@dataclass(slots=True)
class Trace:
    """What the agent has begun and not ended, by its own log: `… seal begin NAME`, `… seal end`.

    A line is written before what it tells of the begin of, and after what it tells of the end of;
    a kill between the two was inside.
    """

    begun: Counter[str] = field(default_factory=Counter)
    inside: set[str] = field(default_factory=set)
    log: bytes = b""
    _rest: bytes = b""

    def feed(self, data: bytes) -> None:
        """Take what was read of the log; nothing, where the agent has ended."""
        self.log += data
        assert data, f"the agent ended by itself:\n{self.log[-2000:].decode()}"
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._take(line.decode().split()[2:4])

    def _take(self, words: list[str]) -> None:
        match words:
            case [kind, "begin"] if kind in KINDS:
                self.begun[kind] += 1
                self.inside.add(kind)
            case [kind, "end"]:
                self.inside.discard(kind)


@contextmanager
def traced(setup: Setup) -> Iterator[subprocess.Popen[bytes]]:
    """Start an agent that writes its trace into a pipe."""
    with subprocess.Popen(
        setup.command("--log-level", "debug", "--log-format", "plain"),
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=environment(),
        bufsize=0,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def kill_inside(setup: Setup, kind: str, *, nth: int) -> set[str]:
    """Start the agent, and kill it at the n-th begin of this kind; returns what that was inside."""
    trace = Trace()
    with traced(setup) as process:
        assert process.stderr is not None
        log = process.stderr.fileno()
        while not (kind in trace.inside and trace.begun[kind] >= nth):
            trace.feed(_read(log, secs=LIMIT_SECS))
        process.kill()
        return _after_kill(process, trace)


def kill_after(setup: Setup, secs: float) -> set[str]:
    """Start the agent, and kill it after this time; returns what that was inside."""
    trace = Trace()
    due = time.monotonic() + secs
    with traced(setup) as process:
        assert process.stderr is not None
        log = process.stderr.fileno()
        while select.select([log], [], [], max(0.0, due - time.monotonic()))[0]:
            trace.feed(_read(log, secs=0))
        process.kill()
        return _after_kill(process, trace)


def _after_kill(process: subprocess.Popen[bytes], trace: Trace) -> set[str]:
    assert process.stderr is not None
    assert process.wait() == -9, "the agent ended by itself"
    while rest := os.read(process.stderr.fileno(), 1 << 16):
        trace.feed(rest)
    assert b"does not add up" not in trace.log, trace.log[-2000:].decode()
    return trace.inside


def _read(log: int, *, secs: float) -> bytes:
    readable, _, _ = select.select([log], [], [], secs)
    assert readable, f"the agent said nothing for {secs} s"
    return os.read(log, 1 << 16)


def conserved(agent: Agent, file_bytes: int) -> bool:
    """Whether every byte was read and is in a chunk, once, and no chunk is left (I9)."""
    names = ("read_bytes_total", "chunked_bytes_total", "pending_bytes", "buffered_chunks")
    metrics = agent.metrics()
    return [metrics.get(f"shipper_{name}") for name in names] == [file_bytes, file_bytes, 0, 0]


@pytest.mark.parametrize(
    ("kills", "of_each_kind"),
    [
        pytest.param(20, 2, marks=pytest.mark.timeout(400), id="20"),
        pytest.param(100, 10, marks=[pytest.mark.soak, pytest.mark.timeout(1800)], id="100"),
    ],
)
def test_kill_loses_nothing_and_doubles_nothing(
    elasticsearch: Elasticsearch,
    prefix: str,
    tmp_path: Path,
    kills: int,
    of_each_kind: int,
    record_property: Callable[[str, object], None],
) -> None:
    """However often the agent is killed, each line is one document and all adds up (I1, I5, I9)."""
    setup = configure(
        tmp_path,
        paths=[tmp_path / "logs"],
        url=elasticsearch.url,
        prefix=prefix,
        buffer={"flush_secs": 0.1, "audit_secs": 0.1},  # more seals, and checks, a second
    )
    inside: Counter[str] = Counter(dict.fromkeys(KINDS, 0))
    with writing(tmp_path / "logs", lines_per_sec=1000, rotate_bytes=256 << 10) as writer:
        for number in range(kills):
            if number % AT_RANDOM_EVERY == 0:
                hit = kill_after(setup, random.uniform(0, LATEST_SECS))
            else:
                rarest = min(KINDS, key=lambda kind: inside[kind])
                hit = kill_inside(setup, rarest, nth=random.randint(1, 4))
            inside.update(hit)
        written = writer.stop()
    file_bytes = sum(path.stat().st_size for path in (tmp_path / "logs").iterdir())
    with running(setup) as agent:
        agent.until(lambda: conserved(agent, file_bytes), "all bytes to be read and delivered")
        assert agent.metric("shipper_delivered_documents_total") == written.documents
        agent.until(lambda: agent.metric("shipper_account_checks_total") > 0, "a check")
        assert agent.metric("shipper_account_mismatch") == 0
        assert agent.stop() == 0
    record_property("kills", f"{kills}, inside: {dict(inside)}; {written.documents} documents")
    assert elasticsearch.count(f"{prefix}-*") == written.documents
    assert written.faults(elasticsearch.documents(f"{prefix}-*")) == []
    assert min(inside.values()) >= of_each_kind, inside
