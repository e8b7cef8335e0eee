"""What a document costs: a corpus that lies ready, shipped as fast as the agent can.

The primary figure is documents per CPU-second of the whole process tree, start-up included. Agents
take turns, round by round, over the very same files, so a machine that slows down slows all of
them.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.corpus import Corpus, write_corpus
from benchmarks.report import MIB, Check, at_least, at_most, table
from benchmarks.startup import Startup, measure_startup
from benchmarks.trial import Agent, running

# No agent worth measuring is slower than this; a slower one is taken for stuck.
_SLOWEST_DOCS_PER_SEC = 2_000
_LEAST_LIMIT_SECS = 60


@dataclass(frozen=True, slots=True)
class SpeedLimits:
    """What the first agent must reach; the ratio is to the second, if there is one."""

    min_ratio: float = 0.85
    max_rss_mb: float = 90
    max_startup_cpu_secs: float = 0.8


@dataclass(frozen=True, slots=True)
class Run:
    """One agent, once over the corpus."""

    docs_per_cpu_sec: float
    docs_per_sec: float
    peak_rss_mb: float
    wire_mb: float


@dataclass(frozen=True, slots=True)
class Result:
    """The medians of an agent's runs, and its start apart."""

    agent: str
    run: Run
    startup: Startup


def measure_speed(
    agents: Sequence[Agent], workdir: Path, *, lines: int, files: int, rounds: int
) -> list[Result]:
    """Return each agent's medians over one corpus, in the order of the agents."""
    corpus = write_corpus(workdir / "corpus", lines=lines, files=files)
    print(f"{corpus.lines} lines, {corpus.size_bytes / MIB:.0f} MB, {files} files", flush=True)
    startups = [measure_startup(agent, workdir, rounds=rounds) for agent in agents]
    runs = [[_run_once(agent, corpus) for agent in agents] for _ in range(rounds)]
    turns = zip(*runs, strict=True)
    return [
        Result(agent.name, _median(turn), startup)
        for agent, turn, startup in zip(agents, turns, startups, strict=True)
    ]


def report_speed(results: Sequence[Result], limits: SpeedLimits) -> list[Check]:
    """Print the table, and return what the first agent's figures say to the limits."""
    header = ("agent", "docs/CPU-s", "docs/s", "peak RSS MB", "wire MB", "start CPU-s")
    print(table((*header, "first doc s"), [_cells(result) for result in results]))
    ours, *others = results
    checks = [
        at_most("peak RSS", ours.run.peak_rss_mb, limit=limits.max_rss_mb, unit="MB"),
        at_most("start-up", ours.startup.cpu_secs, limit=limits.max_startup_cpu_secs, unit="CPU-s"),
    ]
    for other in others:
        ratio = ours.run.docs_per_cpu_sec / other.run.docs_per_cpu_sec
        what = f"docs/CPU-s of {ours.agent} to {other.agent}"
        checks.append(at_least(what, ratio, limit=limits.min_ratio, unit="x"))
    return checks


def _cells(result: Result) -> tuple[str, ...]:
    run, startup = result.run, result.startup
    return (
        result.agent,
        f"{run.docs_per_cpu_sec:.0f}",
        f"{run.docs_per_sec:.0f}",
        f"{run.peak_rss_mb:.1f}",
        f"{run.wire_mb:.0f}",
        f"{startup.cpu_secs:.2f}",
        f"{startup.first_doc_secs:.2f}",
    )


def _run_once(agent: Agent, corpus: Corpus) -> Run:
    limit_secs = max(_LEAST_LIMIT_SECS, corpus.lines / _SLOWEST_DOCS_PER_SEC)
    with running(agent, corpus.directory) as trial:
        delivery = trial.wait_for(corpus.lines, limit_secs=limit_secs)
        cost = trial.tree.kill()
        secs = (delivery.last_ns - trial.tree.started_ns) / 1e9
    run = Run(
        delivery.docs / cost.cpu_secs,
        delivery.docs / secs,
        cost.peak_rss_bytes / MIB,
        delivery.wire_bytes / MIB,
    )
    print(f"  {agent.name}: {run.docs_per_cpu_sec:.0f} docs/CPU-s", file=sys.stderr, flush=True)
    return run


def _median(runs: Sequence[Run]) -> Run:
    return Run(
        median(run.docs_per_cpu_sec for run in runs),
        median(run.docs_per_sec for run in runs),
        median(run.peak_rss_mb for run in runs),
        median(run.wire_mb for run in runs),
    )
