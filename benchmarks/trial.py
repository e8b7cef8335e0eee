"""One run of one agent against a null Elasticsearch of its own.

Owns the processes of the run and the agent's state directory; both are gone when the ``with`` block
ends. Knows nothing of any agent but the command that starts it, in which {dir}, {url} and {state}
are replaced.
"""

import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Self, cast

from benchmarks.measure import SAMPLE_SECS, Cost, ProcessTree

REPOSITORY = Path(__file__).parent.parent
_LOG_TAIL_CHARS = 2000
_EXIT_LIMIT_SECS = 20


class TrialError(Exception):
    """An agent that ended early, delivered too little in time, or delivered too much."""


@dataclass(frozen=True, slots=True)
class Agent:
    """A command to measure; ``port`` is where it expects Elasticsearch, 0 if it takes {url}."""

    name: str
    command: str
    cwd: Path | None = None
    port: int = 0


@dataclass(frozen=True, slots=True)
class Delivery:
    """What a null Elasticsearch had received when it was asked."""

    docs: int
    wire_bytes: int
    first_ns: int
    last_ns: int


class Sink:
    """A null Elasticsearch as a process of its own."""

    def __init__(self, *, port: int = 0, latency: bool = False) -> None:
        """Start it, and return when it listens."""
        options = ["--port", str(port), *(["--latency"] if latency else [])]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.null_elasticsearch", *options],
            cwd=REPOSITORY,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        stdout = self._process.stdout
        self.url = stdout.readline().strip() if stdout else ""
        if not self.url:
            self._process.communicate()
            raise TrialError(f"the null Elasticsearch did not start on port {port}: is it in use?")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def delivery(self) -> Delivery:
        """Return what has arrived up to now."""
        stats = cast("dict[str, int]", self._get("/stats"))
        return Delivery(**{name: stats[name] for name in Delivery.__slots__})

    def latencies_ns(self) -> list[int]:
        """Return the age of every marked line at its arrival."""
        return cast("list[int]", self._get("/latency"))

    def _get(self, path: str) -> object:
        # http.client and not urllib: a proxy in the environment must not come between.
        connection = HTTPConnection(self.url.removeprefix("http://"), timeout=30)
        try:
            connection.request("GET", path)
            return cast("object", json.load(connection.getresponse()))
        finally:
            connection.close()


@dataclass(frozen=True, slots=True)
class Trial:
    """A running agent and its sink."""

    tree: ProcessTree
    sink: Sink
    log: Path

    def wait_for(self, docs: int, *, limit_secs: float) -> Delivery:
        """Return as soon as the documents have arrived.

        Raises:
            TrialError: the agent ended before, the time is over, or there are more documents than
                lines.
        """
        deadline = time.monotonic() + limit_secs
        while True:
            self.tree.sample()
            delivery = self.sink.delivery()
            if delivery.docs >= docs:
                break
            self._check_going(f"{delivery.docs} of {docs} documents", deadline)
            time.sleep(SAMPLE_SECS)
        if delivery.docs > docs:
            raise TrialError(f"{delivery.docs} documents of {docs} lines: some came twice")
        return delivery

    def drain(self) -> Cost:
        """End the agent by SIGTERM, and return what it has used in all."""
        return self.tree.terminate(limit_secs=_EXIT_LIMIT_SECS)

    def _check_going(self, progress: str, deadline: float) -> None:
        if self.tree.exit_status is not None:
            raise TrialError(
                f"the agent exited {self.tree.exit_status} after {progress}; its last words:\n"
                + self._last_words()
            )
        if time.monotonic() > deadline:
            raise TrialError(f"time is over after {progress}; last words:\n{self._last_words()}")

    def _last_words(self) -> str:
        return self.log.read_text(errors="replace")[-_LOG_TAIL_CHARS:]


@contextmanager
def running(agent: Agent, logs: Path, *, latency: bool = False) -> Generator[Trial]:
    """Start the agent over a directory, its state beside it, with a sink; kill both at the end."""
    with (
        tempfile.TemporaryDirectory(prefix="state-", dir=logs.parent) as state,
        Sink(port=agent.port, latency=latency) as sink,
        (log := Path(state) / "agent.log").open("wb") as log_file,
    ):
        command = agent.command.format(dir=logs, url=sink.url, state=Path(state) / "state")
        cwd = agent.cwd or Path(state)
        tree = ProcessTree(shlex.split(command), log=log_file, cwd=cwd, env=_environment())
        try:
            yield Trial(tree, sink, log)
        finally:
            tree.kill()


def _environment() -> Mapping[str, str]:
    # A proxy must not come between agent and sink, whatever client the agent uses.
    return {**os.environ, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
