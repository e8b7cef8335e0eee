"""What an hour of a full node costs the API, by a real server's own account."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from random import Random

import pytest

from shipper.kube import namespaces
from shipper.kube.metadata import KubeMetadata
from shipper.kube.watch import Timing
from shipper.kubernetes_config import KubernetesConfig
from shipper.metrics import Metrics
from shipper.pipeline.names import Names
from tests.e2e.kubelet import NODE, Kubelet, Life
from tests.kube.running import Rows, until
from tests.servers.kubernetes import KubernetesApi

PODS, MINUTES, CHANGES = 110, 60, 3
FASTER = 100
MINUTE_SECS = 60 / FASTER
FAST = Timing(watch_secs=(300 // FASTER, 600 // FASTER), steady_secs=10 / FASTER)
Record = Callable[[str, object], None]


def test_hour_of_a_full_node_costs_one_list_and_a_watch_every_few_minutes(
    tmp_path: Path,
    kubernetes: KubernetesApi,
    prefix: str,
    record_property: Record,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """110 busy pods, all asked about all the time, an hour a hundred times as fast."""
    monkeypatch.setattr(namespaces, "_FRESH_SECS", 3_600 / FASTER)
    kubelet = Kubelet(tmp_path / "node", kubernetes, rng=Random(5), prefix=prefix)
    for number in range(PODS):
        kubelet.create(f"web-{number}", namespace=kubelet.namespaces[number % 2])
    token = tmp_path / "token"
    token.write_text(kubernetes.token())
    settings = KubernetesConfig(
        url=kubernetes.url, ca_file=kubernetes.pki.ca_file, token_file=token
    )
    before = len(list(kubernetes.asked()))
    asyncio.run(_hour(kubelet, settings))
    asked = list(kubernetes.asked())[before:]
    for life in kubelet.running:
        kubelet.delete(life)
    begun = Counter(each["verb"] for each in asked if each["stage"] != "ResponseComplete")
    done = Counter(each["verb"] for each in asked if each["stage"] == "ResponseComplete")
    record_property("asked", dict(done))
    assert done["list"] == 1
    # Asked again after 45 to 60 minutes, if it is needed then.
    assert len(kubelet.namespaces) <= done["get"] <= 2 * len(kubelet.namespaces)
    assert MINUTES // 10 <= begun["watch"] <= MINUTES // 5 + 1
    assert done.keys() == {"list", "watch", "get"}


async def _hour(kubelet: Kubelet, settings: KubernetesConfig) -> None:
    pods = KubeMetadata(settings, Rows(), node=NODE, environ={}, metrics=Metrics(), timing=FAST)
    async with asyncio.TaskGroup() as tasks:
        following = tasks.create_task(pods.run())
        await until(lambda: pods.synced)
        for _ in range(MINUTES):
            due = time.monotonic() + MINUTE_SECS
            await asyncio.to_thread(_happens, kubelet)
            await _ask(pods, kubelet.running)
            await asyncio.sleep(max(0.0, due - time.monotonic()))
        await until(lambda: pods.pods == PODS)
        assert pods.concern == ""
        following.cancel()


def _happens(kubelet: Kubelet) -> None:
    """Let one pod go and another come, and some change."""
    gone = kubelet.running[0]
    kubelet.delete(gone)
    kubelet.create(gone.name, namespace=gone.namespace)
    for life in kubelet.running[:CHANGES]:
        kubelet.change(life)


async def _ask(pods: KubeMetadata, lives: Iterable[Life]) -> None:
    """Ask as the first lines of each container do, and as every block of lines does."""
    for life in lives:
        names = Names(container_id=life.container_id, pod_uid=life.directory)
        async with asyncio.timeout(10):
            await pods.wait(names)
        found = pods.find(names)
        assert found is not None
        assert found.uid == life.uid
        assert pods.namespace(life.namespace) is not None
