"""Metadata: every line says what is known of its own pod, and no line waits for that for long."""

import asyncio
import json
import os
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipper.buffer.audit import audit, read_books
from shipper.config import Config, validate
from shipper.kube.table import PodTable
from shipper.pipeline.names import Names
from shipper.pipeline.pod import Container, Namespace, Pod
from shipper.source.discover import Series
from shipper.source.metadata import Metadata, NoPods, Pods, PodsInUse
from tests.source.cluster import Cluster, Machine, pod
from tests.source.logs import append
from tests.source.running import (
    Delivered,
    Running,
    config_of,
    cri_line,
    docker_line,
    running,
    until,
)

FOR_EVER = 60.0
HINTS = {name: ["shop"] for name in ("exclude", "exclude_containers", "index")}


class Node:
    """A machine of a cluster, an agent on it, and what that delivered."""

    def __init__(self, root: Path, *, wait_secs: float = FOR_EVER, **kubernetes: Any) -> None:  # noqa: ANN401
        self.machine = Machine(root)
        self.cluster = Cluster()
        self.delivered = Delivered()
        tree = config_of(root / "state", self.machine.links / "*.log").model_dump(mode="json")
        tree["sources"].append({"paths": [str(self.machine.docker / "*/*-json.log")]})
        tree["kubernetes"] |= {"metadata_wait_secs": wait_secs, **kubernetes}
        self.config = validate(tree)

    def agent(self) -> AbstractAsyncContextManager[Running]:
        return running(self.config, self.delivered, pods=self.cluster)

    async def has(self, *logs: str) -> None:
        await until(lambda: self.delivered.logs == sorted(logs))

    def said(self, log: str, part: str = "kubernetes") -> dict[str, Any]:
        """What the document of a line says of its pod."""
        (document,) = (d for d in self.delivered.by_id.values() if d["log"] == log)
        said: dict[str, Any] = document.get(part, {})
        return said

    def dropped(self) -> dict[str, int]:
        """What was dropped, by reason, in an account that adds up."""
        assert audit(self.config.state_dir) == []
        totals = read_books(self.config.state_dir).totals
        return {name[1]: count for name, count in totals.items() if name[0] == "dropped_bytes"}


def follow(node: Node, steps: Callable[[Running], Awaitable[None]]) -> None:
    """Run an agent for as long as some steps take."""

    async def run() -> None:
        async with node.agent() as agent:
            await steps(agent)

    asyncio.run(run())


# -- waiting


def test_the_first_lines_wait_for_their_pod(tmp_path: Path) -> None:
    """Lines that are there before the API knows their pod are delivered with its metadata."""
    node, web = Node(tmp_path), pod(labels={"app": "web"})
    append(node.machine.container(web), cri_line("a"))

    async def steps(_: Running) -> None:
        await until(lambda: node.cluster.waited == 1)
        node.cluster.put(web)
        await node.has("a")

    follow(node, steps)
    assert node.said("a")["labels"] == {"app": "web"}
    assert "metadata" not in node.said("a")


def test_they_do_not_wait_for_long(tmp_path: Path) -> None:
    """After `metadata_wait_secs` they go as pending; when the pod is known, later ones say it."""
    node, web = Node(tmp_path, wait_secs=0.05), pod(labels={"app": "web"})
    log = node.machine.container(web)
    append(log, cri_line("a"))

    async def steps(agent: Running) -> None:
        await node.has("a")
        node.cluster.put(web)
        append(log, cri_line("b", number=1))
        await node.has("a", "b")
        pending = agent.metrics.marked.labels("metadata_pending")
        assert pending._value.get() == 1  # noqa: SLF001  # the library has no other way

    follow(node, steps)
    assert node.said("a") == {
        "container_name": "web",
        "namespace_name": "shop",
        "pod_name": "web-1",
        "pod_id": web.uid,
        "metadata": "pending",
    }
    assert node.said("b")["labels"] == {"app": "web"}


def test_lines_that_have_waited_for_their_pod_wait_for_nothing_else(tmp_path: Path) -> None:
    """Where the pod does not show up in time, their chunk is sealed at once."""
    node = Node(tmp_path, wait_secs=0.05)
    tree = node.config.model_dump(mode="json")
    tree["buffer"]["flush_secs"] = 60.0
    node.config = validate(tree)
    append(node.machine.container(pod()), cri_line("a"))
    follow(node, lambda _: node.has("a"))


def test_nothing_waits_while_the_api_is_away(tmp_path: Path) -> None:
    """Where nobody answers, or stops answering, lines go at once with the names of the path."""
    node = Node(tmp_path)
    append(node.machine.container(pod(1)), cri_line("a"))

    async def steps(_: Running) -> None:
        await until(lambda: node.cluster.waited == 1)
        node.cluster.go_away()
        append(node.machine.container(pod(2)), cri_line("b"))
        await node.has("a", "b")

    follow(node, steps)
    assert node.said("a")["metadata"] == node.said("b")["metadata"] == "pending"


def test_without_an_api_nothing_is_pending(tmp_path: Path) -> None:
    """Where no API is asked, documents have the names of the path and promise nothing."""
    node = Node(tmp_path)
    node.cluster.enabled = False
    append(node.machine.container(pod(1)), cri_line("a"))
    follow(node, lambda _: node.has("a"))
    assert "metadata" not in node.said("a")
    assert node.cluster.waited == 0


def test_waiting_keeps_no_other_series_waiting(tmp_path: Path) -> None:
    """While the lines of one pod wait, those of others are read and delivered."""
    node = Node(tmp_path)
    for number in range(1, 8):
        append(node.machine.container(pod(number)), cri_line(f"{number}"))
    node.cluster.put(pod(5))
    follow(node, lambda _: node.has("5"))


def test_what_is_rotated_while_its_first_lines_wait_is_read(tmp_path: Path) -> None:
    """A file that is renamed during the wait, and the one after it, are both delivered."""
    node, web = Node(tmp_path), pod()
    log = node.machine.container(web)
    append(log, cri_line("a"))

    async def steps(_: Running) -> None:
        await until(lambda: node.cluster.waited == 1)
        log.rename(log.with_name("0.log.20261123-101112"))
        append(log, cri_line("b", number=1))
        node.cluster.put(web)
        await node.has("a", "b")

    follow(node, steps)


# -- changes


def test_a_changed_pod_is_seen_at_the_next_line(tmp_path: Path) -> None:
    """Each line says what was true when it was read, of the pod and of its namespace."""
    node, web = Node(tmp_path), pod(labels={"v": "1"})
    log = node.machine.container(web)
    node.cluster.put(web)

    async def steps(_: Running) -> None:
        append(log, cri_line("a"))
        await node.has("a")
        node.cluster.change(web.uid, labels={"v": "2"})
        append(log, cri_line("b", number=1))
        await node.has("a", "b")
        node.cluster.put_namespace(Namespace("n1", "shop", {"env": "prod"}))
        append(log, cri_line("c", number=2))
        await node.has("a", "b", "c")

    follow(node, steps)
    assert [node.said(line)["labels"]["v"] for line in "abc"] == ["1", "2", "2"]
    assert [node.said(line).get("namespace_labels") for line in "abc"] == [
        None,
        None,
        {"env": "prod"},
    ]


def test_a_name_that_is_used_again_has_the_new_pods_metadata(tmp_path: Path) -> None:
    """Two pods of one name, one after the other, never say what is the other's."""
    node = Node(tmp_path)
    old = pod(1, name="db-0", labels={"v": "old"})
    new = pod(2, name="db-0", labels={"v": "new"})
    log = node.machine.container(old)
    node.cluster.put(old)

    async def steps(_: Running) -> None:
        append(log, cri_line("a"))
        await node.has("a")
        node.cluster.delete(old.uid)
        node.cluster.put(new)
        append(node.machine.container(new), cri_line("b", number=1))
        append(log, cri_line("c", number=2))
        await node.has("a", "b", "c")

    follow(node, steps)
    assert [node.said(line)["labels"]["v"] for line in "abc"] == ["old", "new", "old"]
    assert node.said("a")["pod_id"] == node.said("c")["pod_id"] == old.uid


def test_a_namespace_that_is_made_again_is_another(tmp_path: Path) -> None:
    """A pod's lines say what is true of its own namespace, not of a later one of that name."""
    node, web = Node(tmp_path), pod()
    log = node.machine.container(web)
    node.cluster.put_namespace(Namespace("n1", "shop", {"env": "test"}))
    node.cluster.put(web)

    async def steps(_: Running) -> None:
        append(log, cri_line("a"))
        await node.has("a")
        node.cluster.put_namespace(Namespace("n2", "shop", {"env": "prod"}))
        node.cluster.put(pod(2))
        append(log, cri_line("b", number=1))
        append(node.machine.container(pod(2)), cri_line("c", number=2))
        await node.has("a", "b", "c")

    follow(node, steps)
    assert [node.said(line)["namespace_id"] for line in "abc"] == ["n1", "n1", "n2"]


def test_a_line_that_is_read_again_is_the_document_that_it_was(tmp_path: Path) -> None:
    """I5: What metadata says does not change the id: after lost state nothing is there twice."""
    node, web = Node(tmp_path), pod(labels={"v": "1"})
    append(node.machine.container(web), cri_line("a"))
    node.cluster.put(web)
    follow(node, lambda _: node.has("a"))
    (node.config.state_dir / "state.db").unlink()
    node.cluster.change(web.uid, labels={"v": "2"})

    async def again(_: Running) -> None:
        append(next(node.machine.pods.glob("*/*/0.log")), cri_line("b", number=1))
        await node.has("a", "b")

    follow(node, again)
    assert (node.said("a")["labels"], node.said("b")["labels"]) == ({"v": "1"}, {"v": "2"})


def test_a_deleted_pod_is_kept_until_its_files_are_read(tmp_path: Path) -> None:
    """What is read after a pod is gone says what was known of it, and then it is given up, once."""
    containers = {name: Container(f"{i:064x}") for i, name in enumerate(("web", "side"), 1)}
    node, web = Node(tmp_path), pod(labels={"v": "1"}, containers=containers)
    logs = [node.machine.container(web, name) for name in containers]
    node.cluster.put(web)

    async def steps(_: Running) -> None:
        append(logs[0], cri_line("a"))
        append(logs[1], cri_line("b"))
        await node.has("a", "b")
        node.cluster.delete(web.uid)
        append(logs[0], cri_line("c", number=1))
        await node.has("a", "b", "c")
        logs[0].unlink()
        append(logs[1], cri_line("d", number=1))
        await node.has("a", "b", "c", "d")
        assert node.cluster.forgotten == []
        logs[1].unlink()
        await until(lambda: node.cluster.forgotten == [web.uid])

    follow(node, steps)
    assert node.said("d")["labels"] == {"v": "1"}
    assert node.said("d")["container_name"] == "side"


@pytest.mark.parametrize("once", [False, True], ids=["stopped", "once"])
def test_a_stop_gives_up_no_pod(tmp_path: Path, *, once: bool) -> None:
    """What is known of a pod that is gone is there after a restart, as long as its files are."""
    node, web = Node(tmp_path), pod()
    append(node.machine.container(web), cri_line("a"))
    node.cluster.put(web)

    async def run() -> None:
        async with running(node.config, node.delivered, pods=node.cluster, once=once) as agent:
            await node.has("a")
            if once:
                await agent.task

    asyncio.run(run())
    assert node.cluster.forgotten == []


# -- wishes


def test_a_pod_may_be_left_out_and_come_back(tmp_path: Path) -> None:
    """I9: While a pod asks for it its bytes are dropped and counted, and positions advance."""
    node, web = Node(tmp_path, hints=HINTS), pod()
    log = node.machine.container(web)
    node.cluster.put(web)
    left_out = cri_line("left out", number=1)

    async def steps(agent: Running) -> None:
        append(log, cri_line("a"))
        await node.has("a")
        node.cluster.change(web.uid, annotations={"shipper.io/exclude": "true"})
        append(log, left_out)
        await until(lambda: agent.sources.read_bytes == log.stat().st_size)
        node.cluster.change(web.uid, annotations={})
        append(log, cri_line("b", number=2))
        await node.has("a", "b")

    follow(node, steps)
    assert node.dropped() == {"excluded": len(left_out)}


def test_one_container_of_a_pod_may_be_left_out(tmp_path: Path) -> None:
    """`exclude-containers` leaves the others of the pod where they are."""
    containers = {name: Container(f"{i:064x}") for i, name in enumerate(("web", "proxy"), 1)}
    said = {"shipper.io/exclude-containers": "proxy"}
    node, web = Node(tmp_path, hints=HINTS), pod(containers=containers, annotations=said)
    node.cluster.put(web)
    append(node.machine.container(web, "web"), cri_line("a"))
    append(node.machine.container(web, "proxy"), cri_line("b"))

    async def steps(agent: Running) -> None:
        await until(lambda: agent.sources.read_bytes == 2 * len(cri_line("a")))

    follow(node, steps)
    assert node.delivered.logs == ["a"]
    assert node.dropped() == {"excluded": len(cri_line("b"))}


def test_an_unheard_wish_changes_nothing(tmp_path: Path) -> None:
    """Where no hint is granted, a pod's lines are delivered into the index of all."""
    said = {"shipper.io/exclude": "true", "shipper.io/index": "mine"}
    node, web = Node(tmp_path), pod(annotations=said)
    append(node.machine.container(web), cri_line("a"))
    node.cluster.put(web)
    follow(node, lambda _: node.has("a"))
    assert node.delivered.indices == {"logstash-2026.11.23"}


def test_an_index_may_be_asked_for(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A pod's lines go where it asks, a change of that acts at once, a wrong name is refused."""
    node, web = Node(tmp_path, hints=HINTS), pod(annotations={"shipper.io/index": "payments"})
    log = node.machine.container(web)
    node.cluster.put(web)

    async def steps(_: Running) -> None:
        append(log, cri_line("a"))
        await node.has("a")
        assert node.delivered.indices == {"payments-2026.11.23"}
        for number, name in enumerate((".kibana", "UPPER", ".kibana"), 1):
            node.cluster.change(web.uid, annotations={"shipper.io/index": name})
            append(log, cri_line(f"{number}", number=number))
            await until(lambda wanted=number: len(node.delivered.logs) == wanted + 1)  # type: ignore[misc]

    follow(node, steps)
    assert node.delivered.indices == {"payments-2026.11.23", "logstash-2026.11.23"}
    assert "the index that its pod asks for must be lower case" in caplog.text


# -- paths


def test_the_links_of_dockershim_say_all_names(tmp_path: Path) -> None:
    """A link to a link to docker's own file says the pod's uid, which only the middle one has."""
    node, web = Node(tmp_path), pod(labels={"v": "1"})
    file = node.machine.docker_container(web.containers["web"].id)
    directory = node.machine.pods / f"shop_{web.name}_{web.uid}" / "web"
    directory.mkdir(parents=True)
    (directory / "0.log").symlink_to(file)
    node.machine.link(web, "web", directory / "0.log")
    node.cluster.put(web)
    append(file, docker_line("a\n"))
    follow(node, lambda _: node.has("a\n"))
    assert node.said("a\n")["labels"] == {"v": "1"}
    (document,) = node.delivered.by_id.values()
    assert document["tag"].startswith("kubernetes.")
    assert "_shop_web-" in document["tag"]


def test_dockers_own_file_is_known_by_its_containers_id(tmp_path: Path) -> None:
    """A file that names no pod gets its names from the API, by the id, also without a config."""
    node, web = Node(tmp_path), pod(labels={"v": "1"})
    append(node.machine.docker_container(web.containers["web"].id), docker_line("a\n"))
    node.cluster.put(web)
    follow(node, lambda _: node.has("a\n"))
    said = node.said("a\n")
    names = [said[name] for name in ("container_name", "namespace_name", "pod_name", "labels")]
    assert names == ["web", "shop", web.name, {"v": "1"}]


def test_a_plain_docker_host_says_who_its_containers_are(tmp_path: Path) -> None:
    """A container that is no pod's is described by dockerd, and nobody waits for its pod."""
    node = Node(tmp_path)
    config = {"Name": "/shop-web-1", "Config": {"Image": "web:2", "Labels": {"tier": "front"}}}
    append(node.machine.docker_container("ab" * 32, config), docker_line("a\n"))
    follow(node, lambda _: node.has("a\n"))
    assert node.said("a\n") == {}
    assert node.said("a\n", "docker") == {
        "container_id": "ab" * 32,
        "container_name": "shop-web-1",
        "container_image": "web:2",
        "labels": {"tier": "front"},
    }
    assert node.cluster.waited == 0


def test_docker_says_which_pod_it_is_without_the_api(tmp_path: Path) -> None:
    """The labels that kubelet gives to a container of docker are names enough."""
    node, web = Node(tmp_path), pod()
    node.cluster.go_away()
    labels = {
        "io.kubernetes.pod.name": web.name,
        "io.kubernetes.pod.namespace": "shop",
        "io.kubernetes.pod.uid": web.uid,
        "io.kubernetes.container.name": "web",
    }
    config = {"Name": "/k8s_web", "Config": {"Image": "web:2", "Labels": labels}}
    append(node.machine.docker_container("ab" * 32, config), docker_line("a\n"))
    follow(node, lambda _: node.has("a\n"))
    assert node.said("a\n") == {
        "container_name": "web",
        "namespace_name": "shop",
        "pod_name": web.name,
        "pod_id": web.uid,
        "metadata": "pending",
    }


def test_a_container_is_read_once_under_two_paths(tmp_path: Path) -> None:
    """Where links and pods' directories are both followed, each line comes once, by its link."""
    node, web = Node(tmp_path), pod()
    tree = node.config.model_dump(mode="json")
    tree["sources"][1]["paths"] = [str(node.machine.pods / "*/*/*.log")]
    node.config = validate(tree)
    append(node.machine.container(web), cri_line("a"))
    node.cluster.put(web)
    follow(node, lambda _: node.has("a"))
    (document,) = node.delivered.by_id.values()
    assert f"{web.name}_shop_web-" in document["tag"]


def test_a_link_whose_name_was_cut_off_leads_to_all_names(tmp_path: Path) -> None:
    """Kubelet cuts a link's name at 255 letters, its id first: the directory has the names."""
    node, web = Node(tmp_path), pod(name="web-" + "x" * 59)
    node.cluster.put(web)
    log = node.machine.container(web)
    (link,) = node.machine.links.iterdir()
    link.rename(link.with_name(f"{link.name[:100]}.log"))
    append(log, cri_line("a"))
    follow(node, lambda _: node.has("a"))
    (document,) = node.delivered.by_id.values()
    assert node.said("a")["pod_id"] == web.uid
    assert node.said("a", "docker") == {"container_id": web.containers["web"].id}
    assert document["tag"].startswith("kubernetes.")


@pytest.mark.parametrize("restart", [0, 1])
def test_the_directory_of_a_pod_is_enough(tmp_path: Path, restart: int) -> None:
    """A file of a pod's directory, followed without its link, has the id of its container."""
    now = Container("b" * 64, "web:1", previous_id="a" * 64, restarts=1)
    node, web = Node(tmp_path), pod(containers={"web": now})
    tree = node.config.model_dump(mode="json")
    tree["sources"] = [{"paths": [str(node.machine.pods / "*/*/*.log")]}]
    node.config = validate(tree)
    append(node.machine.container(web, restart=restart), cri_line("a"))
    node.cluster.put(web)
    follow(node, lambda _: node.has("a"))
    assert node.said("a", "docker") == {"container_id": "ab"[restart] * 64}
    assert node.said("a")["container_image"] == "web:1"


# -- alone


def metadata(path: Path | str, *, pods: Pods | None = None, **fields: Any) -> Metadata:  # noqa: ANN401
    tree = {"kubernetes": {"fields": fields}}
    config: Config = validate(tree)
    return Metadata(Series(str(path), str(path)), config, in_use=PodsInUse(pods or NoPods()))


@dataclass
class Table:
    """The agent's own table of pods, without the API that fills it."""

    table: PodTable = field(default_factory=PodTable)
    enabled: bool = True
    away: bool = False

    def find(self, names: Names) -> Pod | None:
        return self.table.find(names)

    def namespace(self, _name: str) -> Namespace | None:
        return None

    async def wait(self, names: Names) -> None:
        """Nobody waits here."""

    def forget(self, uid: str) -> None:
        self.table.forget(uid)


def _path_of(web: Pod, kind: str) -> str:
    id_ = web.containers["web"].id
    return {
        "directory": f"/var/log/pods/shop_{web.name}_{web.uid}/web/0.log",
        "docker": f"/nowhere/{id_}-json.log",
    }[kind]


LIVES = {number: pod(number, name="db-0") for number in (1, 2)}
"""Pods of one name."""
SERIES = [(number, kind) for number in LIVES for kind in ("directory", "docker")]
STEPS = st.tuples(
    st.sampled_from(("change", "change", "delete", "end")), st.sampled_from(sorted(LIVES))
)


class History:
    """What happens to some pods, and what each of their series has to say."""

    def __init__(self) -> None:
        self._pods = Table()
        self._in_use, self._config = PodsInUse(self._pods), validate({})
        self._begun: dict[tuple[int, str], Metadata] = {}
        self._labels: dict[int, dict[str, str]] = {}
        self._gone: set[int] = set()

    def change(self, number: int, step: int) -> None:
        if number not in self._gone:
            self._labels[number] = {"v": f"{step}"}
            self._pods.table.put(self._now(number))

    def delete(self, number: int, _step: int) -> None:
        if number in self._labels:
            self._gone.add(number)
            self._pods.table.remove(self._now(number))

    def end(self, number: int, _step: int) -> None:
        """Let all series of a pod end; where it is gone, it is forgotten."""
        for one in [each for each in self._begun if each[0] == number]:
            self._begun.pop(one).close()
        if number in self._gone:
            self._labels.pop(number, None)

    def look(self) -> None:
        """Let every series say what it says, and check that."""
        for number, kind in SERIES:
            if (number, kind) not in self._begun:
                path = _path_of(LIVES[number], kind)
                made = Metadata(Series(path, path), self._config, in_use=self._in_use)
                self._begun[number, kind] = made
            said = json.loads(b"{" + self._begun[number, kind].now().suffix[1:])["kubernetes"]
            assert said.get("labels") == self._labels.get(number)
            assert (said.get("metadata") == "pending") is (number not in self._labels)
            assert said.get("pod_id", LIVES[number].uid) == LIVES[number].uid

    def _now(self, number: int) -> Pod:
        return replace(LIVES[number], labels=self._labels[number])


@given(st.lists(STEPS, max_size=30))
def test_a_series_says_what_was_known_last_of_its_own_pod(
    steps: list[tuple[str, int]],
) -> None:
    """Whatever happens to pods of one name, a series says the last of its own, gone or not."""
    history = History()
    for step, (what, number) in enumerate(steps):
        getattr(history, what)(number, step)
        history.look()


def _huge(path: Path) -> None:
    path.write_bytes(json.dumps({"Config": {"Image": "x" * (1 << 20)}}).encode())


@pytest.mark.parametrize(
    "make",
    [Path.mkdir, os.mkfifo, _huge, lambda path: path.write_bytes(b"\xff{"), lambda _: None],
    ids=["directory", "fifo", "huge", "garbage", "missing"],
)
def test_a_hostile_config_of_docker_says_nothing(
    tmp_path: Path, make: Callable[[Path], object]
) -> None:
    """Whatever stands where `config.v2.json` should be, the id is known, and nothing hangs."""
    log = tmp_path / f"{'ab' * 32}-json.log"
    make(tmp_path / "config.v2.json")
    started = time.monotonic()
    made = metadata(log)
    assert time.monotonic() - started < 10
    assert made.names == Names("ab" * 32)


def test_links_that_go_round_in_circles_end(tmp_path: Path) -> None:
    """A link to itself is followed a few times, and says what its own name says."""
    link = tmp_path / f"a_b_c-{'ab' * 32}.log"
    link.symlink_to(link)
    assert metadata(link).names == Names("ab" * 32, "a", "b", "c")


def test_a_hosts_file_asks_nobody() -> None:
    """A file that is no container's has its tag and the static fields, and never waits."""
    made = metadata("/var/log/kubelet.log", pods=Cluster())
    asyncio.run(made.arrive())
    assert made.now().suffix == b',"tag":"var.log.kubelet.log"}\n'
    assert not made.now().pending


def test_nothing_is_made_anew_while_nothing_changes() -> None:
    """The same object closes all documents until pod or namespace is another one."""
    cluster = Cluster()
    web = cluster.put(pod())
    made = metadata(f"/var/log/pods/shop_web-1_{web.uid}/web/0.log", pods=cluster)
    first = made.now()
    assert made.now() is first
    cluster.change(web.uid, labels={"a": "b"})
    second = made.now()
    assert second is not first
    assert made.now() is second


@pytest.mark.parametrize("labels", [0, 8, 10_000])
def test_large_metadata_makes_small_blocks(labels: int) -> None:
    """The more closes each document, the less is read at once: what comes of a block is bounded."""
    cluster = Cluster()
    texts = {f"k{i}": "x" * 1000 for i in range(labels)}
    web: Pod = cluster.put(pod(labels=texts))
    made = metadata(f"/var/log/pods/shop_web-1_{web.uid}/web/0.log", pods=cluster)
    assert made.most_block_bytes == 256 << 10
    suffix_bytes = len(made.now().suffix)
    assert suffix_bytes < 70_000
    assert (made.most_block_bytes == 256 << 10) is (suffix_bytes <= 512)
    assert made.most_block_bytes * suffix_bytes <= 1 << 27
