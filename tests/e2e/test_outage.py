"""Elasticsearch goes away, and comes back: the agent waits in a small memory, and loses nothing."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.agent import Agent, configure, running
from tests.e2e.numbered import writing
from tests.servers.elasticsearch import Elasticsearch

MAX_RSS_BYTES = 110e6
RETRY_SOON = {"retry_max_secs": 4}
"""A wait of up to 30 s, the default, would be most of these tests' time."""
WAITS = "shipper_retry_wait_seconds"
COMPLAINT = "the destination does not take documents"


def different_waits(agent: Agent) -> int:
    """How many of the histogram's classes the waits fall into: one, if nothing were random."""
    buckets = [n for name, n in agent.metrics().items() if name.startswith(f"{WAITS}_bucket")]
    return len(set(buckets) - {0.0})


@pytest.mark.parametrize(
    "down_secs",
    [
        pytest.param(10, marks=pytest.mark.timeout(300), id="10s"),
        pytest.param(600, marks=[pytest.mark.soak, pytest.mark.timeout(2400)], id="10min"),
    ],
)
def test_outage_under_load_loses_nothing(
    elasticsearch: Elasticsearch,
    prefix: str,
    tmp_path: Path,
    down_secs: float,
    record_property: Callable[[str, object], None],
) -> None:
    """While Elasticsearch is dead lines go to the buffer, in less than 110 MB; then all go out."""
    logs = tmp_path / "logs"
    setup = configure(
        tmp_path, paths=[logs], url=elasticsearch.url, prefix=prefix, output=RETRY_SOON
    )
    with writing(logs, lines_per_sec=2_000) as writer, running(setup) as agent:
        agent.until(lambda: agent.metric("shipper_delivered_documents_total") > 0, "a document")
        elasticsearch.kill()
        agent.until(lambda: agent.metric("shipper_sink_up") == 0, "to notice")
        up_again = time.monotonic() + down_secs
        while time.monotonic() < up_again:
            assert agent.get("/livez")[0] == 200
            status, why = agent.get("/readyz")
            assert (status, elasticsearch.url in why) == (503, True)
            assert agent.peak_rss_bytes < MAX_RSS_BYTES
            time.sleep(0.5)
        assert agent.metric("shipper_retries_total") >= 3
        assert agent.metric(f"{WAITS}_count") >= 3
        assert different_waits(agent) >= 2
        elasticsearch.restart()
        agent.until_metric("shipper_sink_up", 1)
        written = writer.stop()
        agent.until(
            lambda: agent.metric("shipper_delivered_documents_total") >= written.documents,
            "the buffer to drain",
            seconds=60 + down_secs,
        )
        agent.until_metric("shipper_buffered_chunks", 0)
        assert agent.get("/readyz")[0] == 200
        record_property("peak RSS", f"{agent.peak_rss_bytes / 1e6:.0f} MB")
        assert agent.peak_rss_bytes < MAX_RSS_BYTES
        assert agent.said.count(COMPLAINT) == 1
        assert agent.stop() == 0
    assert elasticsearch.count(f"{prefix}-*") == written.documents
    assert written.faults(elasticsearch.documents(f"{prefix}-*")) == []


@pytest.mark.timeout(240)
def test_agent_starts_without_elasticsearch(
    elasticsearch: Elasticsearch, prefix: str, tmp_path: Path
) -> None:
    """Without a server the agent is live, not ready, and says why once; it delivers all later."""
    logs = tmp_path / "logs"
    setup = configure(
        tmp_path, paths=[logs], url=elasticsearch.url, prefix=prefix, output=RETRY_SOON
    )
    elasticsearch.stop()
    with writing(logs, lines_per_sec=500) as writer, running(setup) as agent:
        agent.until(lambda: agent.get("/readyz")[0] == 503, "an answer that it is not ready")
        agent.until(lambda: elasticsearch.url in agent.get("/readyz")[1], "the reason")
        agent.until(lambda: agent.metric("shipper_retries_total") >= 5, "five tries")
        assert agent.get("/livez")[0] == 200
        assert agent.metric("shipper_sink_up") == 0
        (complaint,) = [line for line in agent.said.splitlines() if COMPLAINT in line]
        assert elasticsearch.url in complaint
        elasticsearch.restart()
        agent.until(lambda: agent.get("/readyz")[0] == 200, "to be ready")
        written = writer.stop()
        agent.until(
            lambda: agent.metric("shipper_delivered_documents_total") >= written.documents,
            "all documents",
        )
        assert agent.stop() == 0
    assert elasticsearch.count(f"{prefix}-*") == written.documents
    assert written.faults(elasticsearch.documents(f"{prefix}-*")) == []
