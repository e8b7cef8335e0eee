"""What starting costs: one line in one file, until its document is at the sink."""

from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.corpus import write_corpus
from benchmarks.trial import Agent, running

_LIMIT_SECS = 30


@dataclass(frozen=True, slots=True)
class Startup:
    """CPU-seconds and wall seconds of one start."""

    cpu_secs: float
    first_doc_secs: float


def measure_startup(agent: Agent, workdir: Path, *, rounds: int) -> Startup:
    """Return the median start of the agent.

    One more start goes before and is not counted: it compiles the agent's modules, as an image's
    build does.
    """
    logs = write_corpus(workdir / "one-line", lines=1, files=1).directory
    _, *starts = [_start_once(agent, logs) for _ in range(rounds + 1)]
    return Startup(
        median(start.cpu_secs for start in starts),
        median(start.first_doc_secs for start in starts),
    )


def _start_once(agent: Agent, logs: Path) -> Startup:
    with running(agent, logs) as trial:
        delivery = trial.wait_for(1, limit_secs=_LIMIT_SECS)
        cost = trial.tree.kill()
        return Startup(cost.cpu_secs, (delivery.first_ns - trial.tree.started_ns) / 1e9)
