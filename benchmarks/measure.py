"""What a command costs: CPU-seconds, peak memory and wall time of its whole process tree.

Owns the process it starts, in a session of its own. CPU is the sum, over the living tree, of each
process's own time and that of the children it has reaped, so a child that exits is not forgotten;
at the end the kernel's exact account of the first process replaces its ticks of 10 ms. A process
that leaves the tree (a daemon) is not seen.

Memory: a tree's peak is the largest sum of VmRSS over its processes at one sample; a single
process's is exact, from VmHWM. Shared pages count in each process, as the usual tools have it.
"""

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

SAMPLE_SECS = 0.05
_TICKS_PER_SEC = os.sysconf("SC_CLK_TCK")
_PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Cost:
    """What a process tree has used so far."""

    cpu_secs: float
    peak_rss_bytes: int
    wall_secs: float


class ProcessTree:
    """A started command and its descendants; sample it often, and kill it at the end."""

    def __init__(
        self,
        argv: Sequence[str],
        *,
        log: IO[bytes],
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        """Start the command, its output and errors going to ``log``."""
        self.started_ns = time.time_ns()
        self._process = subprocess.Popen(
            argv,
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._cpu_secs = 0.0
        self._peak_rss_bytes = 0

    @property
    def exit_status(self) -> int | None:
        """The first process's exit status (minus the signal that ended it); None while it runs."""
        if self._process.returncode is None:
            self._reap(os.WNOHANG)
        return self._process.returncode

    def sample(self) -> Cost:
        """Look at the living tree, and return what it has used up to now."""
        cpu_secs = 0.0
        rss_bytes = 0
        for pid in _living_tree(self._process.pid) if self.exit_status is None else ():
            cpu_secs += _cpu_secs(pid)
            rss, high_water = _rss_bytes(pid)
            rss_bytes += rss
            self._peak_rss_bytes = max(self._peak_rss_bytes, high_water)
        self._cpu_secs = max(self._cpu_secs, cpu_secs)
        self._peak_rss_bytes = max(self._peak_rss_bytes, rss_bytes)
        return self._cost()

    def terminate(self, *, limit_secs: float) -> Cost:
        """Ask the tree to end, wait for it, and kill what is left after the limit."""
        deadline = time.monotonic() + limit_secs
        self._signal(signal.SIGTERM)
        while self.exit_status is None and time.monotonic() < deadline:
            self.sample()
            time.sleep(SAMPLE_SECS)
        return self.kill()

    def kill(self) -> Cost:
        """Kill the tree, and return what it has used in all."""
        if self.exit_status is None:
            self.sample()
            self._signal(signal.SIGKILL)
            self._reap(0)
        return self._cost()

    def _cost(self) -> Cost:
        wall_secs = (time.time_ns() - self.started_ns) / 1e9
        return Cost(self._cpu_secs, self._peak_rss_bytes, wall_secs)

    def _signal(self, number: int) -> None:
        if self.exit_status is None:
            os.killpg(self._process.pid, number)

    def _reap(self, flags: int) -> None:
        # Not Popen.wait: only wait4 tells what the process and its reaped children have used.
        pid, status, usage = os.wait4(self._process.pid, flags)
        if pid:
            self._process.returncode = os.waitstatus_to_exitcode(status)
            self._cpu_secs = max(self._cpu_secs, usage.ru_utime + usage.ru_stime)


def _living_tree(root: int) -> Iterator[int]:
    """Yield the pids of the tree, parents first.

    Invariant: a parent's reaped children are read before its living ones; the other way round a
        child that ends in between would be counted twice.
    """
    pids = [root]
    while pids:
        pid = pids.pop()
        yield pid
        pids += _children(pid)


def _children(pid: int) -> list[int]:
    try:
        tasks = list((_PROC / str(pid) / "task").iterdir())
    except OSError:
        return []
    return [int(child) for task in tasks for child in _read(task / "children").split()]


def _cpu_secs(pid: int) -> float:
    # Fields 14 to 17 of proc_pid_stat(5): utime, stime, cutime, cstime. The name before may hold
    # spaces.
    fields = _read(_PROC / str(pid) / "stat").rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / _TICKS_PER_SEC


def _rss_bytes(pid: int) -> tuple[int, int]:
    lines = _read(_PROC / str(pid) / "status").splitlines()
    sizes = {name: size for name, _, size in (line.partition(":") for line in lines)}
    return _kib(sizes.get("VmRSS")), _kib(sizes.get("VmHWM"))


def _kib(size: str | None) -> int:
    return int(size.split()[0]) * 1024 if size else 0


def _read(path: Path) -> str:
    """Return the file's text, or nothing when the process is gone."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def main() -> int:
    """Run a command to its end and print what its process tree cost."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.measure", description=main.__doc__)
    parser.add_argument("command", nargs="+", help="after --")
    command = parser.parse_args().command
    tree = ProcessTree(command, log=sys.stderr.buffer)
    try:
        while tree.exit_status is None:
            tree.sample()
            time.sleep(SAMPLE_SECS)
    finally:
        cost = tree.kill()
    print(
        f"{cost.cpu_secs:.2f} CPU-s, {cost.wall_secs:.2f} s, "
        f"{cost.peak_rss_bytes / 1e6:.1f} MB peak, exit {tree.exit_status}"
    )
    return tree.exit_status or 0


if __name__ == "__main__":
    sys.exit(main())
