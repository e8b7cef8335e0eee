"""A real Docker engine rotates, compresses, deletes at full speed; the agent is killed meanwhile.

Theory of operation: five containers print a line each, which the agent delivers. Then they print
files that were made before, both streams at once, in bursts as fast as they can. A witness
(`witness.py`) copies every generation before the engine deletes it; the copies are held against
what was printed, so that nothing has escaped it. Documents are then held against the copies, part
by part.

What is proven where the engine deletes (`max-file=3`), with M = bytes of lines that are in no
document, A = what the agent says of them (`shipper_abandoned_bytes_total`; for parts that were read
and whose line ended in a deleted file `shipper_dropped_bytes_total`), G = `shipper_gaps_total`, all
over all the agent's lives: no document holds anything but what was printed, and nothing is in
two; the bytes that the agent says to be in chunks are exactly those of the parts in documents; A <=
M, so nothing is called lost that was delivered; without a gap A = M. Of the holes, which are
generations with missing bytes side by side, A can explain some at most; G is not less than the
number of the others, so none goes unreported. Where nothing is deleted M = A = G = 0. Where no
agent is killed the same holds of each container alone, by what the agents said of it.
"""

import hashlib
import json
import random
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import accumulate, islice
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.agent import Agent, Setup, configure, running
from tests.e2e.dockerlines import Printed, all_faults
from tests.e2e.record import Record
from tests.e2e.witness import witnessing
from tests.fakes.elasticsearch import FakeElasticsearch, says
from tests.servers.docker import IMAGE, DockerEngine
from tests.servers.elasticsearch import Elasticsearch

CONTAINERS = 5
STREAMS = ("stdout", "stderr")
KEEPS_ALL = 1000
KILL_SECS = (0.3, 2.0)
"""The agent lives for a random time between these; it takes some 0.4 s to start."""
QUIET_SECS = 6.0
"""Longer than a compressed file that cannot be read yet waits for the next try, the first times."""
LINE_CHARS = {40: 30, 200: 50, 2_000: 15, 40_000: 5}
"""How long lines are, at most, and how often; the longest are split by docker."""
BURST_BYTES = (200_000, 2_000_000)
"""Of each stream; up to four rotations at once."""
PAUSE_SECS = (0.1, 1.5)
SCRIPT = """
cat /in/stdout.0
until [ -e /in/go ]; do usleep 10000; done
for burst in $(seq {bursts}); do
    cat /in/stdout.$burst & cat /in/stderr.$burst >&2; wait
    usleep $(cat /in/pause.$burst)
done
touch /in/done
"""


@dataclass(frozen=True, slots=True)
class Container:
    """A container, and the folder with what it prints."""

    folder: Path
    id: str
    log: Path
    bursts: int

    @property
    def done(self) -> bool:
        """Whether it has printed all."""
        return (self.folder / "done").exists()

    def input(self, stream: str) -> str:
        """What a stream prints."""
        every = (self.folder / f"{stream}.{burst}" for burst in range(self.bursts + 1))
        return "".join(path.read_text() for path in every if path.exists())


def lines_of(name: str) -> Iterator[str]:
    """Lines without end, each unlike all others in all its parts, numbered."""
    chance, number = random.Random(name), 0
    while True:
        (longest,) = chance.choices([*LINE_CHARS], [*LINE_CHARS.values()])
        digest = hashlib.shake_256(f"{name} {number}".encode())
        yield f"{number} {digest.hexdigest(chance.randint(longest // 2, longest) // 2)}\n"
        number += 1


def write_input(folder: Path, *, bursts: int) -> None:
    """Write what a container prints, burst by burst."""
    folder.mkdir(parents=True)
    chance = random.Random(folder.name)
    streams = {stream: lines_of(f"{folder.name} {stream}") for stream in STREAMS}
    (folder / "stdout.0").write_text(next(streams["stdout"]))
    for burst in range(1, bursts + 1):
        (folder / f"pause.{burst}").write_text(f"{chance.uniform(*PAUSE_SECS) * 1e6:.0f}")
        for stream, lines in streams.items():
            count = chance.randint(*BURST_BYTES) // _mean_chars()
            (folder / f"{stream}.{burst}").write_text("".join(islice(lines, count)))


def _mean_chars() -> int:
    total = sum(longest * 3 // 4 * weight for longest, weight in LINE_CHARS.items())
    return total // sum(LINE_CHARS.values())


@contextmanager
def container(
    docker: DockerEngine, folder: Path, *, bursts: int, max_file: int
) -> Iterator[Container]:
    """Start a container that waits for the word to print."""
    write_input(folder, bursts=bursts)
    options = {"max-size": "1m", "max-file": str(max_file), "compress": "true"}
    script = SCRIPT.format(bursts=bursts)
    identity = docker.run(IMAGE, "sh", "-c", script, volumes={str(folder): "/in"}, log_opts=options)
    try:
        yield Container(folder, identity, docker.log_path(identity), bursts)
    finally:
        docker.remove(identity)


@dataclass(frozen=True, slots=True)
class Case:
    """Five containers and an agent's configuration.

    Attributes:
        documents: Asks the server for all that it has.
        told: What agents that ended in good order have said of each container, by its log.
    """

    setup: Setup
    containers: Sequence[Container]
    documents: Callable[[], Iterable[dict[str, Any]]]
    told: Counter[tuple[str, str]] = field(default_factory=Counter)

    @property
    def printing(self) -> bool:
        """Whether any container still prints."""
        return not all(container.done for container in self.containers)

    def print_while(self, run: Callable[[], None], docker: DockerEngine) -> list[Printed]:
        """Let all containers print while `run` runs; returns what they printed."""
        lives = [container.log for container in self.containers]
        with witnessing(self.setup.folder / "seen", lives) as witness:
            self._show_first_lines()
            for container in self.containers:
                (container.folder / "go").touch()
            run()
            for container in self.containers:
                docker.wait(container.id)
            witness.stop()
            printed = [Printed.read(witness.generations(live)) for live in lives]
        for container, all_of_it in zip(self.containers, printed, strict=True):
            for stream in STREAMS:
                same = all_of_it.text[stream] == container.input(stream)
                assert same, "the witness has missed a generation: this run proves nothing"
        return printed

    def kill_again_and_again(self) -> None:
        """Start the agent and kill it, as long as anything is printed."""
        while self.printing:
            with running(self.setup) as agent:
                agent.pass_time(random.uniform(*KILL_SECS))

    def run_through(self) -> None:
        """Run the agent as long as anything is printed."""
        with running(self.setup) as agent:
            agent.until(lambda: not self.printing, "all to be printed", seconds=600)
            until_quiet(agent)
            self.end(agent)

    def end(self, agent: Agent) -> None:
        """End an agent, and note what it has said of each container."""
        for row in json.loads(agent.get("/status")[1])["series"]:
            for key in ("abandoned_bytes", "gaps"):
                self.told[row["path"], key] += row[key]
        assert agent.stop() == 0

    def assert_each_accounted(self, printed: Sequence[Printed], metrics: dict[str, float]) -> None:
        """What is said of each container alone is right, if no agent was killed."""
        dropped = metrics.get("shipper_dropped_bytes_total", 0)  # nobody says of which container
        for container, one in zip(self.containers, printed, strict=True):
            lost = sum(one.missing_bytes.values())
            abandoned, gaps = (
                self.told[str(container.log), key] for key in ("abandoned_bytes", "gaps")
            )
            assert abandoned <= lost, (container, abandoned, lost)
            assert gaps or lost <= abandoned + dropped, (container, abandoned, lost)

    def finish(self, printed: Sequence[Printed]) -> dict[str, float]:
        """Let the agent read and deliver what is left, and hold all documents against the print."""
        with running(self.setup) as agent:
            metrics = until_quiet(agent)
            self.end(agent)
        by_id = {c.id: p for c, p in zip(self.containers, printed, strict=True)}
        for source in self.documents():
            by_id[source["docker"]["container_id"]].take(source)
        return metrics

    def _show_first_lines(self) -> None:
        """Let the agent know every container: of what was before that nobody can speak."""
        with running(self.setup) as agent:
            agent.until_metric("shipper_delivered_documents_total", CONTAINERS)
            assert agent.stop() == 0


@pytest.fixture
def max_file() -> int:
    """Of the containers of a test that does not choose one."""
    return 3


@pytest.fixture
def bursts() -> int:
    """Of the containers of a test that does not choose another number."""
    return 8


@pytest.fixture
def containers(
    docker: DockerEngine, tmp_path: Path, max_file: int, bursts: int
) -> Iterator[list[Container]]:
    """Five containers that have not begun to print."""
    with ExitStack() as stack:
        yield [
            stack.enter_context(
                container(docker, tmp_path / f"in{n}", bursts=bursts, max_file=max_file)
            )
            for n in range(CONTAINERS)
        ]


@pytest.fixture
def case(
    containers: list[Container], elasticsearch: Elasticsearch, prefix: str, tmp_path: Path
) -> Case:
    """Five containers, and an agent that ships to a real server."""
    setup = configure(
        tmp_path / "agent",
        paths=[one.log.parent / "*-json.log" for one in containers],
        url=elasticsearch.url,
        prefix=prefix,
        follow={"settle_secs": 1},
        buffer={"flush_secs": 0.2, "min_free_percent": 0},
    )
    every = f"{prefix}-*"
    return Case(setup, containers, lambda: (d["_source"] for d in elasticsearch.documents(every)))


def until_quiet(agent: Agent) -> dict[str, float]:
    """Wait until nothing is left to read and to deliver; returns the metrics then."""
    names = ("read_bytes_total", "abandoned_bytes_total", "gaps_total", "delivered_documents_total")
    seen: list[tuple[list[float], float]] = [([], 0.0)]

    def quiet() -> bool:
        metrics = agent.metrics()
        now = [metrics.get(f"shipper_{name}", -1) for name in names]
        left = metrics.get("shipper_lag_bytes", 1) + metrics.get("shipper_buffered_chunks", 1)
        if now != seen[0][0] or left:
            seen[0] = now, time.monotonic()
        return time.monotonic() > seen[0][1] + QUIET_SECS

    agent.until(quiet, "nothing to be left", seconds=180)
    return agent.metrics()


def assert_accounted(printed: Sequence[Printed], metrics: dict[str, float]) -> str:
    """The agent's account is right; returns it in words."""
    missing = [one.missing_bytes for one in printed]
    lost = sum(sum(by_generation.values()) for by_generation in missing)
    chunked, covered = metrics["shipper_chunked_bytes_total"], sum(p.covered_bytes for p in printed)
    dropped = metrics.get("shipper_dropped_bytes_total", 0)
    abandoned = metrics.get("shipper_abandoned_bytes_total", 0) + dropped
    gaps = metrics.get("shipper_gaps_total", 0)
    account = (
        f"{sum(p.file_bytes for p in printed)} bytes printed in"
        f" {sum(len(p.generation_bytes) for p in printed)} generations; {lost} missing in"
        f" {sum(map(len, missing))}, {len(holes(missing))} holes; {abandoned:.0f} abandoned"
        f" ({dropped:.0f} of them parts),"
        f" {gaps:.0f} gaps"
    )
    assert all_faults(printed, gaps=gaps > 0) == [], account
    assert abandoned <= lost, (account, missing)
    assert gaps > 0 or abandoned == lost, (account, missing)
    assert gaps >= unexplained(holes(missing), abandoned), (account, missing)
    assert chunked == covered, (account, f"{chunked:.0f} bytes in chunks, {covered} in documents")
    return account


def holes(missing: Sequence[dict[int, int]]) -> list[int]:
    """How many bytes each hole has."""
    found: list[int] = []
    for by_generation in missing:
        for number in sorted(by_generation):
            if number - 1 in by_generation:
                found[-1] += by_generation[number]
            else:
                found.append(by_generation[number])
    return found


def unexplained(found: Sequence[int], abandoned: float) -> int:
    """How many holes there are at least that these abandoned bytes are not the reason of."""
    smallest = accumulate(sorted(found))
    return len(found) - sum(size <= abandoned for size in smallest)


short_and_long = pytest.mark.parametrize(
    "bursts",
    [
        pytest.param(8, marks=pytest.mark.timeout(300), id="short"),
        pytest.param(100, marks=[pytest.mark.soak, pytest.mark.timeout(3600)], id="long"),
    ],
)


@short_and_long
@pytest.mark.parametrize("max_file", [KEEPS_ALL])
def test_kills_during_rotation_lose_nothing(
    case: Case, docker: DockerEngine, record_property: Record
) -> None:
    """Where docker deletes nothing every line is one document, byte by byte (I1, I5, I7)."""
    printed = case.print_while(case.kill_again_and_again, docker)
    metrics = case.finish(printed)
    record_property("account", assert_accounted(printed, metrics))
    assert [one.missing_bytes for one in printed] == [{}] * CONTAINERS
    assert metrics["shipper_delivered_documents_total"] == sum(one.count for one in printed)
    assert metrics["shipper_gaps_total"] == 0


@short_and_long
def test_only_what_docker_deleted_unread_is_missing(
    case: Case, docker: DockerEngine, record_property: Record
) -> None:
    """Killed again and again, the agent accounts for what docker deletes, or reports a gap (I9)."""
    printed = case.print_while(case.kill_again_and_again, docker)
    record_property("account", assert_accounted(printed, case.finish(printed)))
    assert any(one.missing_bytes for one in printed), "docker deleted nothing unread"


@pytest.mark.timeout(300)
def test_running_agent_keeps_up_or_accounts(
    case: Case, docker: DockerEngine, record_property: Record
) -> None:
    """An agent that is left alone accounts for each byte that docker deletes before it (I9)."""
    printed = case.print_while(case.run_through, docker)
    metrics = case.finish(printed)
    record_property("account", assert_accounted(printed, metrics))
    case.assert_each_accounted(printed, metrics)


@pytest.mark.timeout(300)
def test_what_cannot_be_held_is_accounted(
    containers: list[Container],
    fake: FakeElasticsearch,
    docker: DockerEngine,
    tmp_path: Path,
    record_property: Record,
) -> None:
    """While no server takes anything, what goes for the limits of buffer and handles is counted."""
    setup = configure(
        tmp_path / "agent",
        paths=[one.log.parent / "*-json.log" for one in containers],
        url=fake.url,
        prefix="test",
        follow={"settle_secs": 1, "held_bytes": 8 << 20},
        buffer={"flush_secs": 0.2, "min_free_percent": 0, "max_bytes": 4 << 20},
        output={"retry_max_secs": 1},
    )
    case = Case(setup, containers, lambda: list(fake.documents.values()))

    def run() -> None:
        fake.script += [says(429)] * 100_000
        with running(setup) as agent:
            agent.until(lambda: not case.printing, "all to be printed", seconds=200)
            abandoned = "shipper_abandoned_bytes_total"
            agent.until(lambda: agent.metric(abandoned) > 0, "a loss to be told soon", seconds=10)
            assert agent.metric("shipper_reading_paused") == 1
            fake.script.clear()
            until_quiet(agent)
            case.end(agent)

    printed = case.print_while(run, docker)
    metrics = case.finish(printed)
    record_property("account", assert_accounted(printed, metrics))
    case.assert_each_accounted(printed, metrics)
    assert metrics["shipper_abandoned_bytes_total"] > 0
