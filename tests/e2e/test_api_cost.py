"""What a full node costs the API, by a real server's own account: an hour of it, and its memory."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from random import Random

import pytest

from shipper.kube import namespaces
from shipper.kube.metadata import KubeMetadata
from shipper.kube.watch import Timing
from shipper.kubernetes_config import KubernetesConfig
from shipper.metrics import Metrics
from shipper.pipeline.names import Names
from tests.e2e import scene
from tests.e2e.agent import Agent, running
from tests.e2e.kubelet import NODE, Kubelet, Life
from tests.e2e.record import Record
from tests.e2e.scene import SetUp
from tests.kube.running import Rows, until
from tests.servers.kubernetes import KubernetesApi

PODS, MINUTES, CHANGES, CUTS = 110, 60, 3, 4
FASTER = 100
MINUTE_SECS = 60 / FASTER
FAST = Timing(watch_secs=(300 // FASTER, 600 // FASTER), steady_secs=10 / FASTER)


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
    await asyncio.sleep(0.25)  # as aiohttp says: until what was being connected is closed


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


def begun_watches(api: KubernetesApi) -> int:
    """How many watches the server has begun to answer."""
    begun = ("watch", "ResponseStarted")
    return sum((each["verb"], each["stage"]) == begun for each in api.asked())


def until_begun(agent: Agent, api: KubernetesApi, watches: int) -> None:
    """Wait until the server has begun to answer so many."""
    agent.until(lambda: begun_watches(api) >= watches, f"{watches} watches")


@pytest.mark.timeout(300)
def test_full_node_costs_one_list_and_one_watch(set_up: SetUp, record_property: Record) -> None:
    """110 pods with 50 KB of labels and annotations each: a watch per connection, 130 MB."""
    text = {f"note-{number}": "x" * 1_000 for number in range(50)}
    with set_up() as here:
        api, names = here.api, [f"{here.prefix}-{number}" for number in range(PODS)]
        for name in names:
            here.make_pod(name, annotations=text)
        before = len(list(api.asked()))
        with running(here.setup) as agent:
            for name in names:
                here.write(name)
            here.until_enriched(agent, names[0])
            for name in names:
                path = f"/api/v1/namespaces/{scene.NAMESPACE}/pods/{name}"
                api.patch(path, {"metadata": {"labels": {"changed": "yes"}}})
            changed = "shipper_kube_events_total"
            agent.until(lambda: agent.metric(changed) >= PODS, "all changes are known")
            agent.until(lambda: len(here.elasticsearch.documents) > PODS, "all documents")
            agent.pass_time(8)
            for _ in range(CUTS):
                watches = begun_watches(api)
                here.pipe.cut()
                until_begun(agent, api, watches + 1)
            record_property("peak RSS", f"{agent.peak_rss_bytes / 1e6:.0f} MB")
            assert agent.peak_rss_bytes <= 130e6
            assert agent.stop() == 0
        asked = list(api.asked())[before:]
    stages = Counter((each["verb"], each["stage"]) for each in asked)
    record_property("asked", dict(stages))
    assert stages["list", "ResponseComplete"] == 1
    assert stages["watch", "ResponseStarted"] == 1 + CUTS
    assert stages["get", "ResponseComplete"] == 1
    assert {each["userAgent"].partition("/")[0] for each in asked} == {"shipper"}
    of_pods = [each for each in asked if each["objectRef"]["resource"] == "pods"]
    assert all(
        f"fieldSelector=spec.nodeName%3D{scene.NODE}" in each["requestURI"] for each in of_pods
    )
