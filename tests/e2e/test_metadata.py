"""Documents say what is true of their own pod: a real kube-apiserver, a real Docker engine."""

import json
import math
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count, islice
from pathlib import Path
from random import Random
from typing import Any

import pytest

from benchmarks.trial import NullServer
from tests.e2e.agent import Agent, Setup, configure, running
from tests.e2e.kubelet import Kubelet, Life
from tests.e2e.record import Record
from tests.fakes.elasticsearch import FakeElasticsearch
from tests.servers.docker import IMAGE, DockerEngine
from tests.servers.elasticsearch import Elasticsearch
from tests.servers.kubernetes import KubernetesApi

LIVES = 300
MOST_RUNNING = 60
KILLS, STEPS = 3, 600
"""How often the agent is killed meanwhile, and what happens between."""
LATE_SECS = 1.0
"""How long after a change a line may still say what was before it; the figure is printed."""
PODS_OF_A_NODE, LINES_OF_LARGE = 110, 100
MAX_RSS_BYTES = 130e6
Runs = set[tuple[int, int, int]]
"""Containers: which pod's, which of its lives, and of which life of the agent something came."""


@pytest.fixture
def kubelet(tmp_path: Path, kubernetes: KubernetesApi, prefix: str) -> Kubelet:
    return Kubelet(tmp_path / "node", kubernetes, rng=Random(5), prefix=prefix)


def about_pods(root: Path, api: KubernetesApi, **more: Any) -> dict[str, Any]:  # noqa: ANN401
    """A configuration that asks this API as the agent's own account."""
    token = root / "token"
    token.write_text(api.token())
    return {
        "url": api.url,
        "ca_file": str(api.pki.ca_file),
        "token_file": str(token),
        "fields": {"annotations": {"include": ["history"]}},
        **more,
    }


def set_up(
    root: Path, fake: FakeElasticsearch, *paths: str | Path, kubernetes: dict[str, Any]
) -> Setup:
    return configure(
        root,
        paths=paths,
        url=fake.url,
        prefix="logs",
        buffer={"flush_secs": 0.1},
        kubernetes=kubernetes,
    )


def documents(fake: FakeElasticsearch) -> list[dict[str, Any]]:
    return list(fake.documents.values())


def texts(fake: FakeElasticsearch) -> set[str]:
    return {document["log"].rstrip("\n") for document in documents(fake)}


def _has(fake: FakeElasticsearch, wanted: set[str]) -> bool:
    return texts(fake) >= wanted


# -- Kubernetes


@pytest.mark.timeout(600)
def test_every_line_says_what_is_true_of_its_own_pod(
    tmp_path: Path,
    kubernetes: KubernetesApi,
    kubelet: Kubelet,
    fake: FakeElasticsearch,
    record_property: Record,
) -> None:
    """Hundreds of pods come, change, go and come again under their names: none is mixed up."""
    setup = set_up(
        tmp_path / "agent",
        fake,
        kubelet.links / "*.log",
        kubernetes=about_pods(tmp_path, kubernetes),
    )
    history = _history(kubelet, Random(7), seen=lambda: _seen(fake))
    for kubelet.epoch in range(KILLS):
        with running(setup) as agent:
            agent.until_ready()
            for _ in islice(history, STEPS):
                assert agent.process.poll() is None
            gone = set(kubelet.lines_of_the_gone())
            agent.until(partial(_has, fake, gone), "what nobody could read later")
    kubelet.epoch = KILLS
    with running(setup) as agent:
        for _ in history:
            assert agent.process.poll() is None
        wanted = set(kubelet.written)
        agent.until(lambda: texts(fake) == wanted, f"all of {len(wanted)} lines are delivered")
        made = agent.metric("shipper_chunked_documents_total")
    assert made == len(wanted), "a line came twice"
    late_secs = max(_late_secs(document, kubelet) for document in documents(fake))
    record_property("pods", len(kubelet.lives))
    record_property("lines", len(wanted))
    record_property("late_secs", round(late_secs, 3))
    assert late_secs < LATE_SECS


def _history(kubelet: Kubelet, rng: Random, *, seen: Callable[[], Runs]) -> Iterator[None]:
    """Let pods live; each step is one thing that happens to one of them."""
    names = (f"web-{number}" for number in count())
    free: list[tuple[str, str]] = []  # StatefulSets: the names of pods that are gone
    while len(kubelet.lives) < LIVES or kubelet.running:
        lives = kubelet.running
        wants_more = len(kubelet.lives) < LIVES
        if wants_more and (len(lives) < MOST_RUNNING // 2 or rng.random() < 0.3):
            namespace, name = rng.choice(kubelet.namespaces), next(names)
            if free and rng.random() < 0.6:
                namespace, name = free.pop(rng.randrange(len(free)))
            kubelet.create(name, namespace=namespace, static=rng.random() < 0.1)
        elif lives:
            gone = _happens(kubelet, rng.choice(lives), rng=rng, seen=seen)
            free += [gone] if gone else []
        yield


def _happens(
    kubelet: Kubelet, life: Life, *, rng: Random, seen: Callable[[], Runs]
) -> tuple[str, str] | None:
    """Let something happen to a pod; returns its name if that was its end."""
    what = rng.choice(("write", "write", "change", "report", "restart", "delete"))
    run = life.serial, life.restarts, kubelet.epoch
    if what == "delete" and run in seen():  # its file is open: nothing of it can be lost
        kubelet.write(life)
        kubelet.delete(life)
        return life.namespace, life.name
    if what == "write":
        kubelet.write(life, lines=rng.randint(1, 20))
    elif what == "change":
        kubelet.change(life)
        kubelet.write(life)
    elif what == "report":
        kubelet.report(life)
    elif what == "restart" and life.restarts == 0 and run in seen():
        kubelet.restart(life)
        kubelet.write(life)
    return None


def _seen(fake: FakeElasticsearch) -> Runs:
    """The containers of which a line has arrived, so that their files are open."""
    lines = (json.loads(document["log"]) for document in documents(fake))
    return {(line["serial"], line["run"], line["epoch"]) for line in lines}


def _late_secs(document: dict[str, Any], kubelet: Kubelet) -> float:
    """Check a document against its own pod; returns for how long it had been out of date."""
    text = document["log"].rstrip("\n")
    life, said = kubelet.lives[json.loads(text)["serial"]], document["kubernetes"]
    assert "metadata" not in said, f"{life} was not known: {document}"
    assert (said["pod_id"], said["pod_name"]) == (life.uid, life.name)
    assert said["namespace_labels"]["team"] == said["namespace_name"] == life.namespace
    assert said["labels"]["serial"] == said["annotations"]["history"] == f"{life.serial}"
    assert said["container_image"].rpartition("/")[2] == f"web:{life.serial}"
    assert document["docker"]["container_id"] in document["tag"]
    version = int(said["labels"]["version"])
    until = life.changed_at[version + 1] if version < life.version else math.inf
    return max(0.0, kubelet.written[text] - until)


def test_a_wish_is_granted_and_taken_back_without_a_restart(
    tmp_path: Path, kubernetes: KubernetesApi, kubelet: Kubelet, fake: FakeElasticsearch
) -> None:
    """I9: What a pod writes while it asks to be left out is counted to the byte."""
    hints = {"exclude": kubelet.namespaces, "index": kubelet.namespaces}
    setup = set_up(
        tmp_path / "agent",
        fake,
        kubelet.links / "*.log",
        kubernetes=about_pods(tmp_path, kubernetes, hints=hints),
    )
    with running(setup) as agent:
        life = kubelet.create("web-0", namespace=kubelet.namespaces[0])
        agent.until(lambda: len(texts(fake)) == 1, "its first line is delivered")
        kubelet.annotate(life, {"shipper.io/exclude": "true"})
        agent.until(lambda: "lines are dropped" in _after_line(kubelet, life, agent), "it is heard")
        kubelet.annotate(life, {"shipper.io/exclude": None, "shipper.io/index": "mine"})
        agent.until(lambda: "not dropped any more" in _after_line(kubelet, life, agent), "again")
        files = kubelet.links.glob("*.log")
        size = sum(file.stat().st_size for file in files)
        agent.until_metric("shipper_read_bytes_total", size)
        agent.until_metric("shipper_buffered_documents", 0)
        metrics = agent.metrics()
    dropped = metrics["shipper_dropped_bytes_total"]
    assert dropped > 0
    assert dropped + metrics["shipper_chunked_bytes_total"] == size
    assert len(texts(fake)) < life.lines
    indices = {index.rpartition("-")[0] for index, _ in fake.documents}
    assert indices == {"logs", "mine"}


def _after_line(kubelet: Kubelet, life: Life, agent: Agent) -> str:
    kubelet.write(life)
    return agent.said


@pytest.mark.timeout(200)
def test_a_node_of_pods_with_much_metadata_fits_into_memory(
    tmp_path: Path, kubernetes: KubernetesApi, kubelet: Kubelet, record_property: Record
) -> None:
    """110 pods with 50 KB of labels and annotations each, all on each line: at most 130 MB."""
    labels = {f"example.com/label-{number:04}": "x" * 60 for number in range(300)}
    annotations = {f"example.com/note-{number:02}": "x" * 1000 for number in range(25)}
    for number in range(PODS_OF_A_NODE):
        life = kubelet.create(
            f"large-{number}",
            namespace=kubelet.namespaces[0],
            labels=labels,
            annotations=annotations,
        )
        kubelet.write(life, lines=LINES_OF_LARGE)
    all_of_them = {"fields": {"annotations": {"include": ["*"]}}}
    with NullServer("benchmarks.null_elasticsearch") as elasticsearch:
        setup = configure(
            tmp_path / "agent",
            paths=[kubelet.links / "*.log"],
            url=elasticsearch.url,
            prefix="logs",
            kubernetes=about_pods(tmp_path, kubernetes, **all_of_them),
        )
        with running(setup) as agent:
            agent.until_metric("shipper_delivered_documents_total", len(kubelet.written))
            chunks_bytes = agent.metric("shipper_chunk_bytes_sum")
            peak_bytes = agent.peak_rss_bytes
    for life in kubelet.running:
        kubelet.delete(life)
    record_property("peak_rss_mb", round(peak_bytes / 1e6, 1))
    record_property("chunks_mb", round(chunks_bytes / 1e6, 1))
    assert peak_bytes <= MAX_RSS_BYTES


@pytest.mark.parametrize("version", ["9.5.3", "2.4.1"])
def test_labels_that_elasticsearch_would_refuse_are_delivered(
    tmp_path: Path,
    kubernetes: KubernetesApi,
    kubelet: Kubelet,
    elasticsearch: Elasticsearch,
    prefix: str,
) -> None:
    """Pods with `app`, with `app.x` and with both share an index, in old and new servers."""
    keys = [("app",), ("app.x/y", "app.x"), ("app", "app.x", "app_x"), ("a.b.c", "a.b", "a")]
    for number, labels in enumerate(keys):
        kubelet.create(
            f"dotted-{number}",
            namespace=kubelet.namespaces[0],
            labels=dict.fromkeys(labels, "v"),
        )
    setup = configure(
        tmp_path / "agent",
        paths=[kubelet.links / "*.log"],
        url=elasticsearch.url,
        prefix=prefix,
        kubernetes=about_pods(tmp_path, kubernetes),
    )
    with running(setup) as agent:
        agent.until_metric("shipper_delivered_documents_total", len(keys))
        assert agent.metric("shipper_dead_documents_total") == 0
    for life in kubelet.running:
        kubelet.delete(life)
    stored = [each["_source"]["kubernetes"] for each in elasticsearch.documents(f"{prefix}-*")]
    made = {said["pod_name"]: said["labels"] for said in stored}
    for number, labels in enumerate(keys):
        assert {key.replace(".", "_") for key in labels} <= made[f"dotted-{number}"].keys()


# -- Docker without Kubernetes


def test_a_plain_docker_host_needs_no_api(
    tmp_path: Path, docker: DockerEngine, fake: FakeElasticsearch
) -> None:
    """Documents have the container's name, image, labels and compose project from Docker."""
    labels = {
        "com.docker.compose.project": "shop",
        "com.docker.compose.service": "web",
        "tier.name": "front",
    }
    container = docker.run(IMAGE, "echo", "hello", name="shop-web-1", labels=labels, detach=False)
    try:
        logs = docker.log_path(container).parents[1] / "*" / "*-json.log"
        with running(set_up(tmp_path / "agent", fake, logs, kubernetes={})) as agent:
            agent.until(lambda: "hello" in texts(fake), "its line is delivered")
    finally:
        docker.remove(container)
    (document,) = (each for each in documents(fake) if each["log"] == "hello\n")
    said = document["docker"]
    assert said.pop("container_image_id").startswith("sha256:")
    assert said == {
        "container_id": container,
        "container_name": "shop-web-1",
        "container_image": IMAGE,
        "compose_project": "shop",
        "compose_service": "web",
        "labels": {"tier_name": "front"},
    }
    assert "kubernetes" not in document
