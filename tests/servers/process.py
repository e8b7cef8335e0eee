"""Starting, watching and ending programs by their pid, with a deadline on everything.

A `Process` has a session of its own, so that its process group is exactly the server and what the
server started, and a guard (`guard.py`) that ends this group if the test run dies first. Its output
goes to a file. Nothing here knows what the program is.
"""

import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests.servers import guard

POLL_SECONDS = 0.05
KILLED_SECONDS = 20.0
"""From SIGKILL until a process is gone: the kernel frees its memory first."""
PORTS = range(20_000, 32_000)
"""Below Linux's ephemeral ports (32768-60999): a server binds seconds after its port was chosen,
and until then no outgoing connection of this machine may take it."""


class ServerError(RuntimeError):
    """A server, or a tool that it needs, failed; the text ends with the last of its output."""


@dataclass(slots=True)
class Process:
    """A running program, and the guard that outlives the test run to end it.

    Invariant: `launcher.pid` is the process group's id too.
    """

    launcher: subprocess.Popen[bytes]
    sentinel: subprocess.Popen[bytes]

    @classmethod
    def start(cls, command: Sequence[str], *, log: Path, env: Mapping[str, str]) -> Self:
        """Starts the command in the folder of its log; a dead test run's folder is removed."""
        with log.open("ab") as output:
            launcher = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=log.parent,
                env=dict(env),
                start_new_session=True,
            )
        sentinel = subprocess.Popen(
            [sys.executable, "-I", guard.__file__, str(launcher.pid), str(log.parent)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,  # whoever reads our output must not wait for the guard
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        return cls(launcher, sentinel)

    def running(self) -> bool:
        """Whether the program that was started is still there."""
        return self.launcher.poll() is None

    def end(self, pid: int | None, *, how: signal.Signals, seconds: float) -> None:
        """Signals `pid`; what is left of the process group after `seconds` is killed."""
        for number in (how, signal.SIGCONT):  # a test may have stopped it with SIGSTOP
            if pid is not None:
                send(pid, number)
        with suppress(subprocess.TimeoutExpired):
            self.launcher.wait(seconds if pid is not None else 0)
        with suppress(ProcessLookupError):
            os.killpg(self.launcher.pid, signal.SIGKILL)
        self.launcher.wait(KILLED_SECONDS)
        if pid is not None:
            wait_until(lambda: gone(pid), seconds=KILLED_SECONDS, what=f"the end of pid {pid}")
        with self.sentinel:
            self.sentinel.kill()


def send(pid: int, number: signal.Signals) -> None:
    """Signals a process; one that is already gone is fine."""
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def gone(pid: int) -> bool:
    """Whether the process has ended; one that only waits to be reaped has."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return True
    return status.rpartition(")")[2].split()[0] in "ZX"


def only_child(pid: int) -> int | None:
    """What `unshare` or `nsenter` started, as this side of the namespace sees it."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return int(children[0]) if children else None


def wait_until(
    ready: Callable[[], bool], *, seconds: float, what: str, every: float = POLL_SECONDS
) -> None:
    """Polls until `ready`.

    Raises:
        ServerError: not ready in time; `what` says what was waited for.
    """
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > deadline:
            raise ServerError(f"waited {seconds:.0f} s in vain for {what}")
        time.sleep(every)


def tool(
    *command: str,
    seconds: float,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> str:
    """Runs a tool to its end and returns what it printed; `env` is all of its environment.

    Raises:
        ServerError: it failed, or took longer than `seconds`.
    """
    name = " ".join(Path(part).name if part.startswith("/") else part for part in command[:6])
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=seconds,
            cwd=cwd,
            env=env,
        )
    except FileNotFoundError as error:
        raise ServerError(f"{name}: {error}") from error
    except subprocess.TimeoutExpired as error:
        raise ServerError(f"{name}: not done in {seconds:.0f} s") from error
    output = done.stdout.decode(errors="replace")
    if done.returncode:
        said = last_lines(output + done.stderr.decode(errors="replace"))
        raise ServerError(f"{name}: exit code {done.returncode}\n{said}")
    return output


def last_lines(text: str, count: int = 25) -> str:
    """The end of a log for an exception; without Java's stacks, which hide what was said."""
    lines = [line for line in text.splitlines() if line and not line.startswith("\tat ")]
    return "\n".join(lines[-count:])


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on now."""
    for port in random.sample(PORTS, k=100):
        if is_free(port):
            return port
    raise ServerError(f"no free port in {PORTS.start}-{PORTS.stop - 1}")


def is_free(port: int) -> bool:
    """Whether a server could listen on this port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
