"""What nothing costs: many files that have been read to their end and are written no more."""

import time
from pathlib import Path

from benchmarks.corpus import write_corpus
from benchmarks.report import Check, below
from benchmarks.trial import Agent, Trial, running

MAX_PERCENT = 1.0
_LINES_PER_FILE = 5
_DELIVERY_LIMIT_SECS = 60
# Polling slows down step by step to its idle interval; what it costs on the way there is not what
# is asked.
_SETTLE_SECS = 5
_WINDOW_SECS = 20


def measure_quiet(agent: Agent, workdir: Path, *, files: int) -> float:
    """Return the percentage of one core that the agent uses over quiet files."""
    corpus = write_corpus(workdir / "quiet", lines=files * _LINES_PER_FILE, files=files)
    with running(agent, corpus.directory) as trial:
        trial.wait_for(corpus.lines, limit_secs=_DELIVERY_LIMIT_SECS)
        time.sleep(_SETTLE_SECS)
        return _percent_of_a_core(trial)


def report_quiet(percent: float, *, files: int) -> list[Check]:
    """Print the share, and return whether it is small enough."""
    print(f"{files} quiet files: {percent:.2f}% of a core over {_WINDOW_SECS} s")
    return [below(f"{files} quiet files", percent, limit=MAX_PERCENT, unit="% of a core")]


def _percent_of_a_core(trial: Trial) -> float:
    before = trial.tree.sample()
    time.sleep(_WINDOW_SECS)
    after = trial.tree.sample()
    trial.wait_for(trial.sink.delivery().docs, limit_secs=0)
    return 100 * (after.cpu_secs - before.cpu_secs) / (after.wall_secs - before.wall_secs)
