"""More lines than this Elasticsearch takes."""

import time

import pytest

from tests.e2e.on_cluster import chatter
from tests.e2e.on_cluster.chatter import container, pod, pod_spec
from tests.e2e.on_cluster.cluster import SECONDS, Cluster
from tests.e2e.on_cluster.deployment import Deployment
from tests.e2e.record import Record

MEMORY_LIMIT_BYTES = 256 << 20
FLOOD_PODS, FLOOD_LINES_PER_SEC, FLOOD_SECS = 2, 10_000, 20
LEAST_LINES_PER_SEC = 15_000


@pytest.mark.timeout(1_500)
def test_memory_stays_within_its_limit(
    cluster: Cluster, deployment: Deployment, record_property: Record
) -> None:
    """20,000 lines a second on the node, faster than this Elasticsearch takes them."""
    script = chatter.flood(FLOOD_LINES_PER_SEC, seconds=FLOOD_SECS)
    names = [f"flood-{number}" for number in range(FLOOD_PODS)]
    deployment.replace()  # the peaks are of its whole life
    before, started = deployment.pod(), time.monotonic()
    cluster.kubectl.apply(*(pod(name, pod_spec(container(script))) for name in names))
    each = FLOOD_LINES_PER_SEC * FLOOD_SECS + 1

    def all_there() -> bool:
        return [cluster.count(deployment, name) for name in names] == [each] * FLOOD_PODS

    cluster.kubectl.until(all_there, "all lines", seconds=6 * SECONDS)
    after = deployment.pod()
    (status,) = after["status"]["containerStatuses"]
    assert (after["metadata"]["uid"], status["restartCount"]) == (before["metadata"]["uid"], 0)
    memory = cluster.node.memory(status["containerID"].rpartition("/")[2])
    per_sec = each * FLOOD_PODS / _written_secs(cluster, deployment, names)
    record_property("lines a second", round(per_sec))
    record_property("delivered after s", round(time.monotonic() - started))
    record_property("peak of its resident memory MB", round(memory.peak_rss_bytes / 1e6))
    record_property("peak of its control group MB", round(memory.peak_bytes / 1e6))
    assert per_sec > LEAST_LINES_PER_SEC, "this machine is too busy to tell"
    assert memory.peak_rss_bytes < MEMORY_LIMIT_BYTES / 2
    assert memory.limit_bytes == MEMORY_LIMIT_BYTES


def _written_secs(cluster: Cluster, deployment: Deployment, names: list[str]) -> float:
    """From the first to the last of the lines of these pods."""
    ends = {how: {how: {"field": "@timestamp"}} for how in ("min", "max")}
    found = cluster.search(deployment, {"size": 0, "aggs": ends}, names)["aggregations"]
    return float(found["max"]["value"] - found["min"]["value"]) / 1000
