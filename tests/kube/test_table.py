"""The pod table: equal to the list after any history, and never one pod's data for another."""

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from shipper.kube.table import PodTable
from shipper.pipeline.names import Names
from shipper.pipeline.pod import Pod
from tests.kube.pods import pod

NAMES = ("web-0", "web-1", "job")
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["create", "change", "delete", "list", "old list", "watch", "restore"]),
        st.sampled_from(NAMES),
        st.integers(0, 3),
    ),
    max_size=40,
)


@dataclass
class Server:
    """An API with its history: what there was at each version, and what happened there."""

    pods: dict[str, Pod] = field(default_factory=dict)
    events: list[tuple[str, Pod]] = field(default_factory=list)
    states: list[dict[str, Pod]] = field(default_factory=lambda: [{}])

    def happen(self, kind: str, changed: Pod) -> None:
        if kind == "DELETED":
            del self.pods[changed.name]
        else:
            self.pods[changed.name] = changed
        self.events.append((kind, changed))
        self.states.append({each.uid: each for each in self.pods.values()})

    def step(self, kind: str, name: str, number: int) -> None:
        there = self.pods.get(name)
        version = len(self.events)
        if kind == "create" and there is None:
            new = {"uid": f"{name}-{version}", "labels": {"n": "0"}}
            self.happen("ADDED", pod(name, containers={"main": ""}, **new))
        elif kind == "change" and there is not None:
            ids = {"main": f"{there.uid}-{number}"}
            changed = pod(name, uid=there.uid, labels={"n": str(number)}, containers=ids)
            self.happen("MODIFIED", changed)
        elif kind == "delete" and there is not None:
            self.happen("DELETED", there)


@dataclass
class Client:
    """A table, and up to which version of the server it has been told."""

    table: PodTable = field(default_factory=PodTable)
    version: int = 0

    def step(self, kind: str, server: Server, number: int) -> None:
        if kind == "list":
            self.take_list(server, len(server.events))
        elif kind == "old list":  # another server's cache, which is behind
            self.take_list(server, max(0, len(server.events) - number))
        elif kind == "watch":
            self.take_events(server, number + 1)
        elif kind == "restore":
            known = [*self.table.live.values(), *self.table.gone.values()]
            self.table = PodTable()
            self.table.restore(known)
            self.take_list(server, len(server.events))

    def take_list(self, server: Server, version: int) -> None:
        self.table.replace(server.states[version].values())
        self.version = version

    def take_events(self, server: Server, count: int) -> None:
        for kind, changed in server.events[self.version : self.version + count]:
            self.table.remove(changed) if kind == "DELETED" else self.table.put(changed)
            self.version += 1


@given(steps=STEPS)
def test_any_history_leaves_the_table_equal_to_the_list(
    steps: list[tuple[str, str, int]],
) -> None:
    """Whatever was listed and watched, in the end the table has what the list has."""
    server, client = Server(), Client()
    for kind, name, number in steps:
        server.step(kind, name, number)
        client.step(kind, server, number)
        assert not client.table.live.keys() & client.table.gone.keys()
    client.take_events(server, len(server.events))
    assert dict(client.table.live) == server.states[-1]


@given(steps=STEPS)
def test_no_file_gets_the_data_of_another_pod(steps: list[tuple[str, str, int]]) -> None:
    """Whatever names a file has, the pod found for them is the one that they are of, or none."""
    server, client = Server(), Client()
    for kind, name, number in steps:
        server.step(kind, name, number)
        client.step(kind, server, number)
        for uid in {each.uid for _, each in server.events}:
            own = uid.rpartition("-")[0]
            for container_id in ("", *(f"{uid}-{n}" for n in range(4))):
                names = Names(container_id, own, "shop", "main", uid)
                assert_own(client.table, names, uid)
                if container_id:
                    assert_own(client.table, Names(container_id, own, "shop", "main"), uid)


def assert_own(table: PodTable, names: Names, uid: str) -> None:
    found = table.find(names)
    assert found is None or found.uid == uid


@given(steps=STEPS)
def test_indices_lead_to_known_pods_alone(steps: list[tuple[str, str, int]]) -> None:
    """Once every pod is gone and forgotten, nothing is left of any."""
    server, client = Server(), Client()
    for kind, name, number in steps:
        server.step(kind, name, number)
        client.step(kind, server, number)
    client.table.replace([])
    for uid in list(client.table.gone):
        client.table.forget(uid)
    fresh = PodTable()
    kept = [vars(table) for table in (client.table, fresh)]
    for state in kept:
        for name in ("changed", "entered"):
            del state[name]
    assert kept[0] == kept[1]


def test_reused_name_gives_the_new_pod_to_new_files_alone() -> None:
    """A StatefulSet's pod that came back under its name is another, for each of the two's files."""
    table = PodTable()
    old = pod(uid="old", containers={"main": "a" * 64})
    table.put(old)
    table.remove(old)
    new = pod(uid="new", containers={"main": ""})
    table.put(new)
    assert table.find(Names("a" * 64, "web-0", "shop", "main")) is old
    assert table.find(Names("b" * 64, "web-0", "shop", "main")) is None
    assert table.find(Names("b" * 64, "web-0", "shop", "main", "new")) is new
    assert table.find(Names("", "web-0", "shop", "main")) is None
    table.forget("old")
    assert table.find(Names("a" * 64, "web-0", "shop", "main")) is None


def test_static_pod_is_found_by_its_directory() -> None:
    """A mirror pod's log directory has the hash of its manifest for a uid."""
    table = PodTable()
    static = pod("etcd-node-1", uid="api", namespace="kube-system", mirror="5c0ffee")
    table.put(static)
    assert table.find(Names(pod_uid="5c0ffee")) is static
    again = pod("etcd-node-1", uid="api-2", namespace="kube-system", mirror="5c0ffee")
    table.put(again)
    table.remove(static)
    table.forget("api")
    assert table.find(Names(pod_uid="5c0ffee")) is again


def test_annotation_of_another_pod_takes_no_directory() -> None:
    """Who gives a pod the annotation of a static one gets none of its lines: the names differ."""
    table = PodTable()
    names = Names("", "etcd-node-1", "kube-system", "etcd", "5c0ffee")
    static = pod("etcd-node-1", uid="api", namespace="kube-system", mirror="5c0ffee")
    table.put(static)
    table.put(pod("web-0", uid="other", namespace="shop", mirror="5c0ffee"))
    assert table.find(names) is static
    table.remove(static)
    table.forget("api")
    assert table.find(names) is None


def test_annotation_that_a_pod_has_no_more_leads_nowhere() -> None:
    """What led to a pod leads there as long as the pod says so."""
    table = PodTable()
    table.put(pod("web-0", mirror="5c0ffee"))
    table.put(pod("web-0"))
    assert table.find(Names(pod_uid="5c0ffee")) is None


def test_name_alone_finds_the_one_pod_that_has_it() -> None:
    """Where a path says neither uid nor container, its name does."""
    table = PodTable()
    table.put(pod())
    assert table.find(Names("", "web-0", "shop", "main")) == pod()
    assert table.find(Names("", "web-0", "other", "main")) is None


def test_earlier_containers_stay_known() -> None:
    """A file of a container that was replaced, and replaced again, still leads to its pod."""
    table = PodTable()
    for number in range(5):
        table.put(pod(containers={"main": f"id-{number}"}))
    assert table.find(Names("id-0")) == pod(containers={"main": "id-4"})


def test_crash_loop_does_not_fill_the_memory() -> None:
    """Of a container that is replaced without end, the last ids are known."""
    table = PodTable()
    for number in range(1_000):
        table.put(pod(containers={"main": f"id-{number}"}))
    assert table.find(Names("id-0")) is None
    assert table.find(Names("id-990")) is not None
    assert len(table._by_container) <= 65  # noqa: SLF001  # nothing else shows it


def test_heartbeat_changes_nothing() -> None:
    """A pod that comes again as it was stays the same object, and nothing is to be saved."""
    table = PodTable()
    first = pod()
    table.put(first)
    table.changed.clear()
    table.put(pod(version="7"))
    assert table.find(Names(pod_uid=first.uid)) is first
    assert table.changed == set()


def test_deleted_pods_are_bounded_in_number_and_in_bytes() -> None:
    """Of pods that are gone and were not forgotten, the last ones are kept."""
    table = PodTable()
    for number in range(1_200):
        table.remove(pod(f"job-{number}"))
    assert next(iter(table.gone)) == "uid-of-job-200"
    large = {f"key-{n}": "x" * 1_000 for n in range(500)}
    for number in range(100):
        table.remove(pod(f"large-{number}", labels=large))
    assert len(table.gone) < 40
    assert "uid-of-large-99" in table.gone


def test_forgetting_a_live_pod_changes_nothing() -> None:
    """A pod whose files have come to an end may write another."""
    table = PodTable()
    table.put(pod())
    table.forget("uid-of-web-0")
    assert table.find(Names(pod_uid="uid-of-web-0")) is not None


def test_namespace_is_entered_by_its_first_pod() -> None:
    """A namespace counts as entered when it had no pod, not with every change of one."""
    table = PodTable()
    table.put(pod())
    assert table.entered == {"shop"}
    table.entered.clear()
    table.put(pod(labels={"a": "b"}))
    table.put(pod("web-1"))
    table.remove(pod())
    assert table.entered == set()
    table.remove(pod("web-1"))
    table.put(pod("web-2"))
    assert table.entered == {"shop"}


def test_changes_are_told_for_whoever_saves_them() -> None:
    """What was added, changed or forgotten is told, what was restored is not."""
    table = PodTable()
    table.restore([pod(), pod("web-1")])
    assert table.changed == set()
    table.replace([pod(labels={"a": "b"})])
    assert table.changed == {"uid-of-web-0"}
    table.forget("uid-of-web-1")
    assert table.changed == {"uid-of-web-0", "uid-of-web-1"}
    assert table.get("uid-of-web-1") is None
