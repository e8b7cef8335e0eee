"""How late a line arrives, and how soon the first: the benchmark's own code, as a promise."""

import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks.bench import SHIPPER_ARGS
from benchmarks.latency import measure_latency, report_latency
from benchmarks.trial import REPOSITORY, Agent


def test_lines_are_not_late(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    """At 100 lines/s p99 from written to sent is below 2.5 s; the first document takes 1.5 s."""
    agent = Agent("shipper", f"{sys.executable} -m shipper {SHIPPER_ARGS}", cwd=REPOSITORY)
    latency = measure_latency(agent, tmp_path, rounds=3)
    checks = report_latency(latency)
    record_property("figures", latency)
    assert len(checks) == 2
    assert [str(check) for check in checks if not check.kept] == []
