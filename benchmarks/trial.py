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
import time
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self, cast

from benchmarks.measure import SAMPLE_SECS, Cost, ProcessTree
from benchmarks.null_kubernetes import NODE, metadata_of

REPOSITORY = Path(__file__).parent.parent
_LOG_TAIL_CHARS = 2000
_EXIT_LIMIT_SECS = 20
_LATENCY = {False: (), True: ("--latency",)}


class TrialError(Exception):
    """An agent that ended early, delivered too little in time, or delivered too much."""


@dataclass(frozen=True, slots=True)
class Agent:
    """A command to measure; ``port`` is where it expects Elasticsearch, 0 if it takes {url}.

    Where there are pods, {config} and {metadata} are replaced in it, too: shipper's configuration,
    and what documents say of the pod of each file, as JSON.
    """

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


class NullServer:
    """A null server as a process of its own.

    Attributes:
        url: Where it listens.
    """

    def __init__(self, module: str, *arguments: str, port: int = 0) -> None:
        """Start it, and return when it listens."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, "--port", str(port), *arguments],
            cwd=REPOSITORY,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        stdout = self._process.stdout
        self.url = stdout.readline().strip() if stdout else ""
        if not self.url:
            self._process.communicate()
            raise TrialError(f"{module} did not start on port {port}: is it in use?")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()


class Sink:
    """A null Elasticsearch, and what it says of itself."""

    def __init__(self, server: NullServer) -> None:
        """Ask this one."""
        self.url = server.url

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
def running(
    agent: Agent, logs: Path, *, latency: bool = False, pods: bool = False
) -> Generator[Trial]:
    """Start the agent over a directory, its state beside it, with a sink; kill both at the end.

    Args:
        agent: What to start.
        logs: What it is to read.
        latency: Let the sink keep the age of marked lines.
        pods: Let there be a Kubernetes API that knows the pods of the logs.
    """
    with ExitStack() as stack:
        state = Path(stack.enter_context(TemporaryDirectory(prefix="state-", dir=logs.parent)))
        null = NullServer("benchmarks.null_elasticsearch", *_LATENCY[latency], port=agent.port)
        sink = Sink(stack.enter_context(null))
        about = {"dir": logs, "url": sink.url, "state": state / "state"}
        if pods:
            api = stack.enter_context(NullServer("benchmarks.null_kubernetes", str(logs)))
            about |= _about_pods(state, logs, url=api.url)
        log = state / "agent.log"
        log_file = stack.enter_context(log.open("wb"))
        command = shlex.split(agent.command.format(**about))
        tree = ProcessTree(command, log=log_file, cwd=agent.cwd or state, env=_environment())
        try:
            yield Trial(tree, sink, log)
        finally:
            tree.kill()


def _about_pods(state: Path, logs: Path, *, url: str) -> dict[str, Path]:
    """Write what an agent needs to know of the pods, one way or the other; returns where it is."""
    config, documents = state / "config.yaml", state / "metadata.json"
    config.write_text(f"node_name: {NODE}\nkubernetes: {{url: '{url}'}}\n")
    documents.write_text(json.dumps({path.name: metadata_of(path.name) for path in logs.iterdir()}))
    return {"config": config, "metadata": documents}


def _environment() -> Mapping[str, str]:
    # A proxy must not come between agent and sink, whatever client the agent uses.
    return {**os.environ, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
