"""The disk of the buffer fills up, on a file system of 24 MiB: reading stops, nothing is lost."""

import errno
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.agent import Agent, Setup, configure, running
from tests.e2e.numbered import Written, writing
from tests.servers.elasticsearch import Elasticsearch

SIZE_MIB = 24
PAUSED = "shipper_reading_paused"
DELIVERED = "shipper_delivered_documents_total"
LINES_PER_SEC = 4_000
ROOM_BYTES = 8 << 20
"""For state.db with its log, and for some chunks."""

SHARE = pytest.param({}, 2 << 20, "buffer.min_free_percent", id="share")
"""The default: reading stops while the disk has less than 15% free. 2 MiB are less."""
ERROR = pytest.param({"min_free_percent": 0}, 0, "the disk refuses writes", id="ENOSPC")
"""Reading stops when a write has failed."""
either_limit = pytest.mark.parametrize(("limit", "full_bytes", "why"), [SHARE, ERROR])

pytestmark = pytest.mark.timeout(300)


@dataclass(frozen=True, slots=True)
class Disk:
    """A file system of its own."""

    path: Path

    @property
    def filler(self) -> Path:
        """The file of somebody else."""
        return self.path / "filler"

    def fill(self, *, but_bytes: int) -> None:
        """Let somebody else take all the space but so many bytes; 0 is a disk without any."""
        with self.filler.open("ab", buffering=0) as file:
            try:
                while but_bytes < self.free_bytes or not but_bytes:
                    file.write(bytes(min(1 << 20, max(4096, self.free_bytes - but_bytes))))
            except OSError as error:
                assert error.errno == errno.ENOSPC  # noqa: PT017  # what is wanted

    @property
    def free_bytes(self) -> int:
        """Space that is left."""
        status = os.statvfs(self.path)
        return status.f_bavail * status.f_frsize


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """A small disk, mounted."""
    path = tmp_path / "disk"
    path.mkdir()
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SIZE_MIB}m", "tmpfs", str(path)], check=True
    )
    try:
        yield Disk(path)
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)


@dataclass(frozen=True, slots=True)
class Case:
    """An agent on a small disk."""

    setup: Setup
    logs: Path
    elasticsearch: Elasticsearch
    prefix: str

    def deliver_all(self, agent: Agent, written: Written) -> None:
        """Wait until everything is delivered, and hold it against what was written."""
        agent.until(lambda: agent.metric(DELIVERED) >= written.documents, "all documents")
        assert agent.stop() == 0
        indices = f"{self.prefix}-*"
        assert self.elasticsearch.count(indices) == written.documents
        assert written.faults(self.elasticsearch.documents(indices)) == []


@pytest.fixture
def case(
    disk: Disk,
    elasticsearch: Elasticsearch,
    prefix: str,
    tmp_path: Path,
    limit: dict[str, Any],
) -> Case:
    """An agent whose state is on the small disk, with small chunks."""
    setup = configure(
        tmp_path / "agent",
        paths=[tmp_path / "logs"],
        url=elasticsearch.url,
        prefix=prefix,
        state_dir=disk.path / "state",
        buffer={"chunk_bytes": 256 << 10, **limit},
        output={"retry_max_secs": 3},
    )
    return Case(setup, tmp_path / "logs", elasticsearch, prefix)


def assert_paused(agent: Agent, why: str) -> None:
    """The agent tells by every means that it reads no more, and lives."""
    agent.until(lambda: agent.get("/readyz")[0] == 503, "not to be ready")
    assert why in agent.get("/readyz")[1]
    assert "reading is paused: " in agent.said
    assert agent.get("/livez")[0] == 200


@either_limit
def test_full_disk_stops_reading_until_there_is_space(
    case: Case, disk: Disk, full_bytes: int, why: str
) -> None:
    """Others fill the disk: reading stops, what is buffered is shipped; then it goes on."""
    pace = {"lines_per_sec": LINES_PER_SEC, "rotate_bytes": 64 << 20}
    with writing(case.logs, **pace) as writer, running(case.setup) as agent:
        agent.until(lambda: agent.metric(DELIVERED) > 0, "a document")
        disk.fill(but_bytes=full_bytes)
        agent.until_metric(PAUSED, 1)
        assert_paused(agent, why)

        def is_shipped() -> bool:
            if full_bytes:
                disk.fill(but_bytes=full_bytes)  # what is shipped makes room, and others take it
            return agent.metric("shipper_buffered_documents") == 0

        agent.until(is_shipped, "what is buffered to be shipped")
        agent.until(lambda: agent.metric("shipper_lag_bytes") > 1e6, "to fall behind")
        assert agent.metric(PAUSED) == 1
        disk.filler.unlink()
        agent.until_metric(PAUSED, 0)
        agent.until(lambda: agent.get("/readyz")[0] == 200, "to be ready")
        case.deliver_all(agent, writer.stop())


@either_limit
def test_buffer_that_fills_the_disk_empties_it_again(
    case: Case, disk: Disk, full_bytes: int, why: str
) -> None:
    """Elasticsearch is away until the disk is full of chunks; when it is back, all are shipped."""
    with writing(case.logs, lines_per_sec=LINES_PER_SEC) as writer, running(case.setup) as agent:
        agent.until(lambda: agent.metric(DELIVERED) > 0, "a document")
        disk.fill(but_bytes=full_bytes + ROOM_BYTES)
        case.elasticsearch.stop()
        agent.until_metric(PAUSED, 1)
        assert "reading is paused: " in agent.said
        assert why in agent.said
        assert agent.metric("shipper_buffered_documents") > 0
        case.elasticsearch.restart()
        agent.until_metric(PAUSED, 0)
        case.deliver_all(agent, writer.stop())
        assert disk.filler.exists()


@pytest.mark.parametrize("limit", [{"min_free_percent": 0}])
def test_agent_starts_on_a_full_disk(case: Case, disk: Disk) -> None:
    """An agent that was killed on a full disk starts there, and ships what frees the space."""
    with writing(case.logs, lines_per_sec=LINES_PER_SEC) as writer:
        with running(case.setup) as agent:
            agent.until(lambda: agent.metric(DELIVERED) > 0, "a document")
            disk.fill(but_bytes=ROOM_BYTES)
            case.elasticsearch.stop()
            agent.until_metric(PAUSED, 1)
        disk.fill(but_bytes=0)
        case.elasticsearch.restart()
        with running(case.setup) as agent:
            agent.until(lambda: agent.metric(DELIVERED) > 0, "a document")
            case.deliver_all(agent, writer.stop())
            assert disk.filler.exists()
