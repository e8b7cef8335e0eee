"""The command line: runs the modes in turn, prints their figures, fails on a broken promise."""

import argparse
import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.corpus import LINE_FORMATS
from benchmarks.latency import measure_latency, report_latency
from benchmarks.profiled import profile
from benchmarks.quiet import measure_quiet, report_quiet
from benchmarks.report import Check
from benchmarks.speed import Entry, SpeedLimits, measure_speed, report_speed
from benchmarks.trial import REPOSITORY, Agent, TrialError

SHIPPER_ARGS = "run {dir} --output {url} --state-dir {state}"
_COMMAND = f"{sys.executable} -m shipper {SHIPPER_ARGS}"
_MODES = ("speed", "quiet", "latency")
# The yardstick has its sink's address in its code.
_YARDSTICK_PORT = 19200


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmarks; return 0 if every promise was kept."""
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    with tempfile.TemporaryDirectory(prefix="bench-", dir=options.workdir) as workdir:
        try:
            checks = _run(options, Path(workdir))
        except TrialError as error:
            print(f"FAIL  {error}")
            return 1
    for check in checks:
        print(check)
    return 0 if all(check.kept for check in checks) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bench", description=__doc__)
    parser.add_argument("--only", choices=_MODES, help="run one mode instead of all")
    parser.add_argument("--profile", action="store_true", help="profile a run instead (cProfile)")
    parser.add_argument(
        "--command",
        default=_COMMAND,
        help="the agent's command (default: %(default)s)",
    )
    parser.add_argument("--rounds", type=int, default=3, help="runs of which the median is taken")
    parser.add_argument("--workdir", type=Path, help="where corpus and state go (default: TMPDIR)")
    _add_speed_options(parser.add_argument_group("speed"))
    quiet = parser.add_argument_group("quiet")
    quiet.add_argument("--quiet-files", type=int, default=500, help="how many files lie quiet")
    return parser


def _add_speed_options(group: argparse._ArgumentGroup) -> None:
    limits = SpeedLimits()
    lines = int(os.environ.get("BENCH_LINES") or 2_000_000)
    yardstick = os.environ.get("YARDSTICK") or None
    group.add_argument("--lines", type=int, default=lines, help="default %(default)s")
    group.add_argument("--files", type=int, default=10, help="default %(default)s")
    group.add_argument(
        "--yardstick",
        type=Path,
        default=yardstick,
        help="a directory with a yardstick.py to compare with, in the same run",
    )
    group.add_argument(
        "--format",
        choices=LINE_FORMATS,
        help="lines of one runtime instead of each; the yardstick reads docker's",
    )
    group.add_argument("--min-ratio", type=float, default=limits.min_ratio)
    group.add_argument("--min-cri-ratio", type=float, default=limits.min_cri_ratio)
    group.add_argument("--min-pods-ratio", type=float, default=limits.min_pods_ratio)
    group.add_argument("--max-rss-mb", type=float, default=limits.max_rss_mb)
    group.add_argument("--max-startup-cpu", type=float, default=limits.max_startup_cpu_secs)


def _run(options: argparse.Namespace, workdir: Path) -> list[Check]:
    if options.profile:
        writes = LINE_FORMATS[options.format or "docker"]
        profile(SHIPPER_ARGS, workdir, lines=options.lines, files=options.files, line_format=writes)
        return []
    agent = Agent("shipper", options.command, cwd=REPOSITORY)
    checks: list[Check] = []
    for mode in [options.only] if options.only else _MODES:
        print(f"== {mode}", flush=True)
        checks += _run_mode(mode, agent, options=options, workdir=workdir)
    return checks


def _run_mode(
    mode: str, agent: Agent, *, options: argparse.Namespace, workdir: Path
) -> list[Check]:
    match mode:
        case "speed":
            return _speed(agent, options, workdir=workdir)
        case "quiet":
            percent = measure_quiet(agent, workdir, files=options.quiet_files)
            return report_quiet(percent, files=options.quiet_files)
        case _:
            return report_latency(measure_latency(agent, workdir, rounds=options.rounds))


def _speed(agent: Agent, options: argparse.Namespace, *, workdir: Path) -> list[Check]:
    formats = [options.format] if options.format else LINE_FORMATS
    entries = [Entry(agent, line_format) for line_format in formats]
    if "docker" in formats and agent.command == _COMMAND:
        knowing = Agent("shipper", f"{agent.command} --config {{config}}", cwd=agent.cwd)
        entries.append(Entry(knowing, pods=True))
    if options.yardstick and "docker" in formats:
        yardstick = _yardstick(options.yardstick)
        knowing = Agent(yardstick.name, f"{yardstick.command} {{metadata}}", port=yardstick.port)
        entries += [Entry(yardstick), Entry(knowing, pods=True)]
    results = measure_speed(
        entries, workdir, lines=options.lines, files=options.files, rounds=options.rounds
    )
    limits = SpeedLimits(
        options.min_ratio,
        options.min_cri_ratio,
        options.min_pods_ratio,
        options.max_rss_mb,
        options.max_startup_cpu,
    )
    return report_speed(results, limits)


def _yardstick(directory: Path) -> Agent:
    script = directory.resolve() / "yardstick.py"
    return Agent("yardstick", f"{sys.executable} {script} {{dir}}", port=_YARDSTICK_PORT)


if __name__ == "__main__":
    sys.exit(main())
