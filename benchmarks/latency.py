"""How late a line arrives: written at a steady pace, with its time in it, timed at the sink.

The clock of a line runs from just before it is written until the request that holds its document
has arrived whole.
"""

import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.corpus import docker_line, file_name, write_corpus
from benchmarks.report import Check, below
from benchmarks.startup import measure_startup
from benchmarks.trial import Agent, TrialError, running

MAX_P99_SECS = 2.5
MAX_FIRST_DOC_SECS = 1.5
_LINES_PER_SEC = 100
_WRITE_SECS = 30
_ARRIVAL_LIMIT_SECS = 30


@dataclass(frozen=True, slots=True)
class Latency:
    """Seconds from a line's writing to its arrival, and from start to first document."""

    p50_secs: float
    p99_secs: float
    max_secs: float
    first_doc_secs: float


def measure_latency(agent: Agent, workdir: Path, *, rounds: int) -> Latency:
    """Return how late the lines of one steadily growing file arrive."""
    first_doc_secs = measure_startup(agent, workdir, rounds=rounds).first_doc_secs
    ages = _ages_of_lines(agent, workdir / "steady")
    return Latency(
        _percentile(ages, 50), _percentile(ages, 99), _percentile(ages, 100), first_doc_secs
    )


def report_latency(latency: Latency) -> list[Check]:
    """Print the figures, and return whether they are low enough."""
    print(
        f"line to sink at {_LINES_PER_SEC} lines/s: p50 {latency.p50_secs:.2f} s, "
        f"p99 {latency.p99_secs:.2f} s, max {latency.max_secs:.2f} s; "
        f"start to first document {latency.first_doc_secs:.2f} s"
    )
    return [
        below("latency p99", latency.p99_secs, limit=MAX_P99_SECS, unit="s"),
        below(
            "start to first document", latency.first_doc_secs, limit=MAX_FIRST_DOC_SECS, unit="s"
        ),
    ]


def _ages_of_lines(agent: Agent, logs: Path) -> list[float]:
    """Return the ages in seconds, sorted."""
    write_corpus(logs, lines=1, files=1)
    lines = _LINES_PER_SEC * _WRITE_SECS
    with running(agent, logs, latency=True) as trial:
        trial.wait_for(1, limit_secs=_ARRIVAL_LIMIT_SECS)
        _write_steadily(logs / file_name(0), lines)
        trial.wait_for(1 + lines, limit_secs=_ARRIVAL_LIMIT_SECS)
        ages = trial.sink.latencies_ns()
    if len(ages) != lines:
        raise TrialError(f"{len(ages)} of {lines} lines carried their time to the sink")
    return sorted(age / 1e9 for age in ages)


def _write_steadily(path: Path, lines: int) -> None:
    """Append the lines at an even pace, which is caught up after a hiccup: the count holds."""
    start = time.monotonic()
    with path.open("ab", buffering=0) as out:
        for number in range(lines):
            due = start + number / _LINES_PER_SEC
            time.sleep(max(0.0, due - time.monotonic()))
            out.write(_marked_line(number))


def _marked_line(number: int) -> bytes:
    now_ns = time.time_ns()
    secs, fraction = divmod(now_ns, 10**9)
    message = f"request {number} handled lat={now_ns}\n"
    stamp = f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(secs))}.{fraction:09d}Z"
    return docker_line(message, stream="stdout", time=stamp).encode()


def _percentile(ages: list[float], percent: int) -> float:
    """Return the smallest age that so many percent of the lines do not exceed (nearest rank)."""
    rank = -(-len(ages) * percent // 100)
    return ages[max(rank, 1) - 1]
