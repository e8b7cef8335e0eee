"""The agent as a process: configured by a file, started, looked at from outside, ended.

What a test knows of it is what an operator knows: its exit status, its log, /metrics and health.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from tests.servers.process import ServerError, free_port, last_lines, wait_until

SECONDS = 60.0
"""How long anything may take that takes a second or two on an idle machine."""


@dataclass(frozen=True, slots=True)
class Setup:
    """A configuration, and the folder with all that belongs to it.

    Attributes:
        folder: Holds the configuration and the agent's log.
        state_dir: Where the agent keeps its state.
        port: Of its metrics and health.
    """

    folder: Path
    state_dir: Path
    port: int

    @property
    def config(self) -> Path:
        """The configuration file."""
        return self.folder / "shipper.yaml"

    @property
    def log(self) -> Path:
        """What the agent said, over all its starts."""
        return self.folder / "agent.log"

    def command(self, *options: str) -> list[str]:
        """What starts the agent."""
        return shipper("run", "--config", str(self.config), *options)


def shipper(*arguments: str) -> list[str]:
    """A shipper command line of this checkout."""
    return [sys.executable, "-m", "shipper", *arguments]


def configure(
    folder: Path,
    *,
    paths: Sequence[Path | str],
    url: str,
    prefix: str,
    state_dir: Path | None = None,
    follow: dict[str, Any] | None = None,
    buffer: dict[str, Any] | None = None,
    output: dict[str, Any] | None = None,
    kubernetes: dict[str, Any] | None = None,
) -> Setup:
    """Write a configuration in which all that is not named here is the default."""
    folder.mkdir(parents=True, exist_ok=True)
    setup = Setup(folder, state_dir or folder / "state", free_port())
    tree = {
        "state_dir": str(setup.state_dir),
        "node_name": "test-node",
        "sources": [{"paths": [str(path) for path in paths]}],
        "follow": follow or {},
        "kubernetes": kubernetes or {},
        "buffer": buffer or {},
        "output": {
            "type": "elasticsearch",
            "index_prefix": prefix,
            "elasticsearch": {"url": url},
            **(output or {}),
        },
        "server": {"listen": f"127.0.0.1:{setup.port}"},
    }
    setup.config.write_text(json.dumps(tree), encoding="utf-8")  # JSON is YAML
    return setup


@dataclass(slots=True)
class Agent:
    """A running agent."""

    process: subprocess.Popen[bytes]
    setup: Setup

    def until(self, ready: Callable[[], bool], what: str, *, seconds: float = SECONDS) -> None:
        """Wait for what the running agent is to bring about.

        Raises:
            ServerError: It has not, or the agent ended; with the last that it said.
        """

        def ready_or_ended() -> bool:
            if self.process.poll() is not None:
                raise ServerError(f"the agent ended ({self.process.returncode}) before {what}")
            return ready()

        try:
            wait_until(ready_or_ended, seconds=seconds, what=what)
        except ServerError as error:
            raise ServerError(f"{error}; the last of its log:\n{last_lines(self.said)}") from error

    def until_ready(self) -> None:
        """Wait until it says that it is ready; before, a signal may just end it."""
        self.until(lambda: self.get("/readyz")[0] == 200, "it is ready")

    def pass_time(self, secs: float) -> None:
        """Let it run for so long."""
        due = time.monotonic() + secs
        self.until(lambda: time.monotonic() >= due, "some time to pass", seconds=secs + SECONDS)

    def get(self, path: str) -> tuple[int, str]:
        """One request to its server: status 0 where it does not listen (yet)."""
        connection = HTTPConnection("127.0.0.1", self.setup.port, timeout=10)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        except (OSError, HTTPException):
            return 0, ""
        finally:
            connection.close()

    def metrics(self) -> dict[str, float]:
        """Every sample of /metrics by its name; labels, but for `le`, are summed up."""
        samples: dict[str, float] = {}
        for family in text_string_to_metric_families(self.get("/metrics")[1]):
            for sample in family.samples:
                bucket = f"{{le={sample.labels['le']}}}" if "le" in sample.labels else ""
                name = sample.name + bucket
                samples[name] = samples.get(name, 0) + sample.value
        return samples

    def metric(self, name: str) -> float:
        """One of them; -1 where it is not there (yet)."""
        return self.metrics().get(name, -1)

    def until_metric(self, name: str, value: float, *, seconds: float = SECONDS) -> None:
        """Wait until a metric has a value."""
        self.until(lambda: self.metric(name) == value, f"{name} {value}", seconds=seconds)

    @property
    def said(self) -> str:
        """Its log, over all starts of this setup."""
        return self.setup.log.read_text(encoding="utf-8", errors="replace")

    @property
    def peak_rss_bytes(self) -> int:
        """The most memory it ever had, as the kernel remembers it."""
        return self._memory_bytes("VmHWM")

    @property
    def rss_bytes(self) -> int:
        """The memory that it has now."""
        return self._memory_bytes("VmRSS")

    @property
    def cpu_secs(self) -> float:
        """The time that it was computing, in all."""
        stat = Path(f"/proc/{self.process.pid}/stat").read_text(encoding="utf-8")
        user, system = stat.rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    @property
    def starved_secs(self) -> float:
        """The time for which other programs had the processors when its loop could go on."""
        stat = Path(f"/proc/{self.process.pid}/schedstat").read_text(encoding="ascii")
        return int(stat.split()[1]) / 1e9

    @property
    def descriptors(self) -> int:
        """How many files, sockets and pipes it has open."""
        return sum(1 for _ in Path(f"/proc/{self.process.pid}/fd").iterdir())

    def _memory_bytes(self, name: str) -> int:
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        kib = next(line for line in status.splitlines() if line.startswith(name)).split()[1]
        return int(kib) * 1024

    def stop(self) -> int:
        """End it in good order, and return its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(SECONDS)


@contextmanager
def running(setup: Setup, *, before: Sequence[str] = ()) -> Iterator[Agent]:
    """Start the agent, by another program if that is wanted; what is left of it is killed."""
    with (
        setup.log.open("ab") as log,
        subprocess.Popen(
            [*before, *setup.command()],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment(),
            start_new_session=True,
        ) as process,
    ):
        try:
            yield Agent(process, setup)
        finally:
            with suppress(ProcessLookupError):
                process.kill()


def environment() -> dict[str, str]:
    """Ours, but for proxies: none may come between agent and server."""
    return {**os.environ, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
