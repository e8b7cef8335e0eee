"""What a document costs: a corpus that lies ready, shipped as fast as the agent can.

The primary figure is documents per CPU-second of the whole process tree, start-up included. Agents
take turns, round by round, over the very same files, so a machine that slows down slows all of
them; and so do the formats, whose corpora hold the very same messages.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.corpus import LINE_FORMATS, Corpus, write_corpus
from benchmarks.report import MIB, Check, at_least, at_most, table
from benchmarks.startup import Startup, measure_startup
from benchmarks.trial import Agent, running

# No agent worth measuring is slower than this; a slower one is taken for stuck.
_SLOWEST_DOCS_PER_SEC = 2_000
_LEAST_LIMIT_SECS = 60


@dataclass(frozen=True, slots=True)
class SpeedLimits:
    """What the first agent must reach; the ratios are to another agent, and of its own formats."""

    min_ratio: float = 0.85
    min_cri_ratio: float = 0.9
    min_pods_ratio: float = 0.8
    max_rss_mb: float = 90
    max_startup_cpu_secs: float = 0.8


@dataclass(frozen=True, slots=True)
class Entry:
    """Who runs, over the lines of which runtime, and whether documents say what their pods are."""

    agent: Agent
    line_format: str = "docker"
    pods: bool = False

    @property
    def lines(self) -> str:
        """What it reads, in a word or two."""
        return f"{self.line_format}, pods" if self.pods else self.line_format


@dataclass(frozen=True, slots=True)
class Run:
    """One agent, once over the corpus."""

    docs_per_cpu_sec: float
    docs_per_sec: float
    peak_rss_mb: float
    wire_mb: float


@dataclass(frozen=True, slots=True)
class Result:
    """The medians of an entry's runs, and its agent's start apart."""

    entry: Entry
    run: Run
    startup: Startup


def measure_speed(
    entries: Sequence[Entry], workdir: Path, *, lines: int, files: int, rounds: int
) -> list[Result]:
    """Return each entry's medians over the corpus of its format, in the order of the entries."""
    corpora = {}
    for name in dict.fromkeys(entry.line_format for entry in entries):
        corpora[name] = _write_corpus(workdir, name, lines=lines, files=files)
    agents = {entry.agent.name: entry.agent for entry in entries if not entry.pods}
    startups = {
        name: measure_startup(agent, workdir, rounds=rounds) for name, agent in agents.items()
    }
    runs = [
        [_run_once(entry, corpora[entry.line_format]) for entry in entries] for _ in range(rounds)
    ]
    turns = zip(*runs, strict=True)
    return [
        Result(entry, _median(turn), startups[entry.agent.name])
        for entry, turn in zip(entries, turns, strict=True)
    ]


def report_speed(results: Sequence[Result], limits: SpeedLimits) -> list[Check]:
    """Print the table, and return what the first entry's figures say to the limits."""
    header = ("agent", "lines", "docs/CPU-s", "docs/s", "peak RSS MB", "wire MB", "start CPU-s")
    print(table((*header, "first doc s"), [_cells(result) for result in results]))
    ours, *others = results
    startup = ours.startup.cpu_secs
    peak_rss_mb = max(
        r.run.peak_rss_mb for r in results if r.entry.agent.name == ours.entry.agent.name
    )
    return [
        at_most("peak RSS", peak_rss_mb, limit=limits.max_rss_mb, unit="MB"),
        at_most("start-up", startup, limit=limits.max_startup_cpu_secs, unit="CPU-s"),
        *(_ratio(ours, other, limits=limits) for other in others if not other.entry.pods),
        *_ratio_with_pods([result for result in others if result.entry.pods], limits=limits),
    ]


def _ratio_with_pods(results: Sequence[Result], *, limits: SpeedLimits) -> list[Check]:
    """Compare those whose documents say what their pods are with each other."""
    ours, others = results[:1], results[1:]
    ratios = [
        (other.entry.agent.name, one.run.docs_per_cpu_sec / other.run.docs_per_cpu_sec)
        for one in ours
        for other in others
    ]
    what = "docs/CPU-s with metadata of pods to"
    limit = limits.min_pods_ratio
    return [at_least(f"{what} {name}", ratio, limit=limit, unit="x") for name, ratio in ratios]


def _ratio(ours: Result, other: Result, *, limits: SpeedLimits) -> Check:
    ratio = ours.run.docs_per_cpu_sec / other.run.docs_per_cpu_sec
    if other.entry.agent == ours.entry.agent:
        what = f"docs/CPU-s of {other.entry.line_format} to {ours.entry.line_format} lines"
        return at_least(what, 1 / ratio, limit=limits.min_cri_ratio, unit="x")
    what = f"docs/CPU-s of {ours.entry.agent.name} to {other.entry.agent.name}"
    return at_least(what, ratio, limit=limits.min_ratio, unit="x")


def _write_corpus(workdir: Path, line_format: str, *, lines: int, files: int) -> Corpus:
    directory = workdir / f"corpus-{line_format}"
    writes = LINE_FORMATS[line_format]
    corpus = write_corpus(directory, lines=lines, files=files, line_format=writes)
    size_mb = corpus.size_bytes / MIB
    print(f"{corpus.lines} {line_format} lines, {size_mb:.0f} MB, {files} files", flush=True)
    return corpus


def _cells(result: Result) -> tuple[str, ...]:
    run, startup = result.run, result.startup
    return (
        result.entry.agent.name,
        result.entry.lines,
        f"{run.docs_per_cpu_sec:.0f}",
        f"{run.docs_per_sec:.0f}",
        f"{run.peak_rss_mb:.1f}",
        f"{run.wire_mb:.0f}",
        f"{startup.cpu_secs:.2f}",
        f"{startup.first_doc_secs:.2f}",
    )


def _run_once(entry: Entry, corpus: Corpus) -> Run:
    limit_secs = max(_LEAST_LIMIT_SECS, corpus.lines / _SLOWEST_DOCS_PER_SEC)
    with running(entry.agent, corpus.directory, pods=entry.pods) as trial:
        delivery = trial.wait_for(corpus.lines, limit_secs=limit_secs)
        cost = trial.tree.kill()
        secs = (delivery.last_ns - trial.tree.started_ns) / 1e9
    run = Run(
        delivery.docs / cost.cpu_secs,
        delivery.docs / secs,
        cost.peak_rss_bytes / MIB,
        delivery.wire_bytes / MIB,
    )
    who = f"{entry.agent.name}, {entry.lines} lines"
    print(f"  {who}: {run.docs_per_cpu_sec:.0f} docs/CPU-s", file=sys.stderr, flush=True)
    return run


def _median(runs: Sequence[Run]) -> Run:
    return Run(
        median(run.docs_per_cpu_sec for run in runs),
        median(run.docs_per_sec for run in runs),
        median(run.peak_rss_mb for run in runs),
        median(run.wire_mb for run in runs),
    )
