"""A pod that writes 200 MB/s and a hundred quiet ones: the quiet ones' lines are not late."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.agent import Agent, configure, running
from tests.e2e.crowd import writing
from tests.e2e.throttled import Server, serving

QUIET_FILES = 100
NOISE_BYTES_PER_SEC = 200e6
LEAST_NOISE = 60e6
SECS = 30
MAX_P99_SECS = 2.0
"""On a machine of its own; with half of one everything takes twice as long."""
THROTTLE = ("--bytes-per-sec=5e6", "--pressure-bytes=12000000", "--partial-every=10")
SMALL_BUFFER = {"max_bytes": 32 << 20}
"""The noisy pod fills it in a few seconds, and stops before its reserve."""
HELD = {"held_bytes": 128 << 20}


@dataclass(frozen=True, slots=True)
class Moment:
    """The machine at a moment.

    Attributes:
        at: Monotonic time.
        busy_secs: The time that its processors were at work, in all.
        own_secs: That of this process, and of those that it has started and that have ended.
    """

    at: float
    busy_secs: float
    own_secs: float

    @classmethod
    def now(cls) -> "Moment":
        """Look."""
        line = Path("/proc/stat").read_text(encoding="ascii").splitlines()[0]
        user, nice, system, _idle, _iowait, *others = map(int, line.split()[1:9])
        ticks = user + nice + system + sum(others)  # of interrupts, and stolen by other machines
        return cls(time.monotonic(), ticks / os.sysconf("SC_CLK_TCK"), sum(os.times()[:4]))

    def share_of_others(self, then: "Moment") -> float:
        """Return which share of the machine others had from then on."""
        others_secs = (self.busy_secs - then.busy_secs) - (self.own_secs - then.own_secs)
        return max(0.0, others_secs / ((self.at - then.at) * (os.cpu_count() or 1)))


@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    ("throttle", "buffer"),
    [pytest.param((), {}, id="fast"), pytest.param(THROTTLE, SMALL_BUFFER, id="throttled")],
)
def test_quiet_pods_are_sent_within_two_seconds(
    tmp_path: Path,
    throttle: tuple[str, ...],
    buffer: dict[str, int],
    record_property: Callable[[str, object], None],
) -> None:
    """From a line's writing until it is indexed: p99 2 s, also while the server is throttled."""
    logs = tmp_path / "logs"
    logs.mkdir()
    began = Moment.now()
    with serving(*throttle) as server:
        setup = configure(
            tmp_path, paths=[logs], url=server.url, prefix="crowd", follow=HELD, buffer=buffer
        )
        with running(setup) as agent, writing(logs, f"--quiet-files={QUIET_FILES}") as quiet:
            agent.until_ready()
            with writing(logs, f"--noise-bytes-per-sec={NOISE_BYTES_PER_SEC}") as noisy:
                started, cpu_secs = time.monotonic(), agent.cpu_secs
                paused = _paused_within(agent, SECS)
                lines = quiet.stop()
                _until_all_came(agent, server, lines)
                secs = time.monotonic() - started
                noise = noisy.stop() / secs
                record_property("noise", f"{noise / 1e6:.0f} MB/s")
            figures = server.figures()
            record_property("agent", f"{(agent.cpu_secs - cpu_secs) / secs:.2f} cores")
            record_property("peak RSS", f"{agent.peak_rss_bytes / 1e6:.0f} MB")
    others = Moment.now().share_of_others(began)
    ages = sorted(figures.ages_secs)
    p50, p99, worst = (ages[int(len(ages) * share) - 1] for share in (0.5, 0.99, 1))
    record_property("p50, p99, max", f"{p50:.2f} s, {p99:.2f} s, {worst:.2f} s")
    record_property("indexed", f"{figures.bytes / secs / 1e6:.1f} MB/s")
    record_property("429s", (figures.turned_away_requests, figures.turned_away_items))
    assert noise > LEAST_NOISE, "this machine is too busy to tell"
    assert len(ages) == lines
    assert bool(throttle) == paused == bool(figures.turned_away_requests)
    record_property("others had", f"{others:.0%} of the machine")
    assert p99 * (1 - others) <= MAX_P99_SECS


def _paused_within(agent: Agent, secs: int) -> bool:
    """Let it run for so long; tells whether reading was paused at any of the looks."""
    looks = []
    for _ in range(secs):
        agent.pass_time(1)
        looks.append(agent.metric("shipper_reading_paused"))
    return max(looks) == 1


def _until_all_came(agent: Agent, server: Server, lines: int) -> None:
    agent.until(
        lambda: len(server.figures().ages_secs) >= lines, f"all {lines} quiet lines to arrive"
    )
