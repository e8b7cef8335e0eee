"""The agent on a real Kubernetes: image, manifests, kubelet, containerd, and pods of every kind.

The tests share one node and, in the order in which they stand here, one deployment of the agent.
A second one, which nothing disturbs, lives from the first test to the last: it takes ten minutes
until its first token is over.
"""

import base64
import json
import re
import shutil
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from shipper.buffer.schema import SCHEMA_VERSION
from tests.e2e import chatter
from tests.e2e.chatter import container, count, job, pod, pod_spec, until
from tests.e2e.cluster import CONFIG, ELASTICSEARCH_PORT, OVERLAY, Cluster, Deployment
from tests.e2e.witness import witnessing
from tests.servers.docker import IMAGE, PAUSE, DockerEngine
from tests.servers.elasticsearch import Elasticsearch
from tests.servers.kubectl import Kubectl
from tests.servers.node import Node
from tests.servers.node_files import SERVICE
from tests.servers.process import ServerError, wait_until

pytestmark = pytest.mark.timeout(900)  # the first one builds the image and waits for the node

SECONDS = 120.0
RUNS, ROTATED_LINES = 3, 20_000
"""A container that is started again, and what it prints each time: 3 MB, a mebibyte a file."""
JOB_PODS, JOB_LINES = 5, 10
LONG_LINES = 3
SECURED_PORT = 9201
PRIVILEGES = ["create_doc", "auto_configure"]
"""What docs/install.md says that the agent's user needs."""
LISTENS = "0A"
"""The state of a socket, in the kernel's table."""
STATES = Path(__file__).parents[1] / "states"
OLD_LINES = 50
MEMORY_LIMIT_BYTES = 256 << 20
FLOOD_PODS, FLOOD_LINES_PER_SEC, FLOOD_SECS = 2, 10_000, 20
LEAST_LINES_PER_SEC = 15_000
TOKEN_SECS, LEEWAY_SECS = 600, 75
"""The shortest life of a token that there is, and for how long the API takes it after its end."""
Record = Callable[[str, object], None]


@pytest.fixture(scope="module")
def cluster(
    docker: DockerEngine,
    image: str,
    servers: dict[str, Elasticsearch],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Cluster]:
    if "9.5.3" not in servers:
        servers["9.5.3"] = Elasticsearch.start("9.5.3")
    archive = tmp_path_factory.mktemp("images") / "images.tar"
    docker.save(archive, IMAGE, PAUSE, image, _next_image(docker, image))
    with Node.start([archive]) as node:
        archive.unlink()
        url = f"http://{node.let_in(servers['9.5.3'].port, at=ELASTICSEARCH_PORT)}"
        metadata = {"name": chatter.NAMESPACE, "labels": {"example.com/team": "a"}}
        node.kubectl.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
        yield Cluster(node, servers["9.5.3"], url)


def _next_image(docker: DockerEngine, image: str) -> str:
    """The same program in an image of another digest."""
    made = docker.call("create", image)
    docker.call("commit", "--change", "LABEL next=yes", made, f"{image}-next")
    docker.remove(made)
    return f"{image}-next"


@pytest.fixture(scope="module")
def deployment(
    cluster: Cluster, image: str, tmp_path_factory: pytest.TempPathFactory
) -> Deployment:
    folder = tmp_path_factory.mktemp("deployment")
    made = Deployment.copy(cluster.kubectl, folder, url=cluster.url, image=image)
    made.apply()
    return made


@pytest.fixture(scope="module")
def undisturbed(
    cluster: Cluster, image: str, tmp_path_factory: pytest.TempPathFactory
) -> Deployment:
    """An agent whose token is to be renewed; in a namespace of its own, in the node's network.

    It knows Elasticsearch by the name of a service; the others know it by its address.
    """
    folder, url = tmp_path_factory.mktemp("undisturbed"), f"http://{SERVICE}:{ELASTICSEARCH_PORT}"
    made = Deployment.copy(cluster.kubectl, folder, url=url, image=image, suffix="-undisturbed")
    made.patch(OWN_TOKEN)
    made.edit(CONFIG, {"    exclude: []": '    exclude: ["flood-*"]'})  # one agent is enough for it
    made.apply()
    return made


OWN_TOKEN = """\
  - patch: |
      apiVersion: apps/v1
      kind: DaemonSet
      metadata: {name: shipper}
      spec:
        template:
          spec:
            automountServiceAccountToken: false
            hostNetwork: true  # what dnsPolicy is made for
            containers:
              - name: shipper
                volumeMounts:
                  - mountPath: /var/run/secrets/kubernetes.io/serviceaccount
                    name: account
                    readOnly: true
            volumes:
              - name: account
                projected:
                  sources:
                    - serviceAccountToken: {path: token, expirationSeconds: 600}
                    - configMap: {name: kube-root-ca.crt}
"""


WITHOUT_DOCKER = """\
resources: [../external]
components: [../../components/without-docker]
"""


# -- the manifests


def test_manifests_pass_a_strict_dry_run(cluster: Cluster, deployment: Deployment) -> None:
    """The API server takes every object as it is, and knows every field of it."""
    strict = ("--dry-run=server", "--validate=strict")
    own = deployment.folder / "deploy/overlays/own"
    own.mkdir()
    (own / "kustomization.yaml").write_text(WITHOUT_DOCKER)
    for place in ("deploy/base", "deploy/overlays/external", "deploy/overlays/own"):
        said = cluster.kubectl("apply", "--kustomize", str(deployment.folder / place), *strict)
        assert said.count("server dry run") == 5, said


def test_agent_is_confined(cluster: Cluster, deployment: Deployment) -> None:
    """It has one capability, writes to its state alone, and listens at its pod's address."""
    name = deployment.pod()["metadata"]["name"]
    inside = ("exec", name, "--namespace", deployment.namespace, "--", "cat")
    status = cluster.kubectl(*inside, "/proc/1/status")
    has = dict(line.split(":\t") for line in status.splitlines())
    assert {has[key] for key in ("CapEff", "CapPrm", "CapBnd")} == {"0000000000000004"}
    assert (has["NoNewPrivs"], has["Seccomp"]) == ("1", "2")
    listening = [
        socket.split()[1]
        for kind in ("tcp", "tcp6")
        for socket in cluster.kubectl(*inside, f"/proc/1/net/{kind}").splitlines()
        if socket.split()[3] == LISTENS
    ]
    address = bytes(map(int, deployment.pod()["status"]["podIP"].split("."))).hex().upper()
    assert [bytes.fromhex(each[:8])[::-1].hex().upper() for each in listening] == [address]
    assert [int(each.partition(":")[2], 16) for each in listening] == [9880]
    mounts = [line.split() for line in cluster.kubectl(*inside, "/proc/1/mounts").splitlines()]
    may = {each[1]: each[3].partition(",")[0] for each in mounts}
    assert {may[path] for path in ("/", "/var/log", "/var/lib/docker/containers")} == {"ro"}
    assert may["/var/lib/shipper"] == "rw"


@pytest.mark.parametrize("schema", [1, 2])
def test_state_of_an_older_shipper_is_upgraded(
    cluster: Cluster, deployment: Deployment, undisturbed: Deployment, schema: int
) -> None:
    """What an older version had read is delivered, and its log read on where it stopped."""
    assert undisturbed.pod()
    state = cluster.node.files.var_lib / "shipper"
    old = STATES / f"schema-{schema}"
    (log,) = old.glob("*.log")
    deployment.delete()
    cluster.elasticsearch.request("DELETE", "/logstash-2026.11.01")
    shutil.rmtree(state, ignore_errors=True)
    shutil.copytree(old / "state", state)
    live = cluster.node.files.var_log / "containers" / log.name
    shutil.copyfile(log, live)
    deployment.apply()
    wanted = sorted(f"line {number}\n" for number in range(OLD_LINES))
    assert _until_texts(cluster, "logstash-2026.11.01", len(wanted)) == wanted
    _, said = cluster.elasticsearch.request("GET", "/logstash-2026.11.01/_stats/indexing")
    indexing = json.loads(said)["_all"]["primaries"]["indexing"]
    assert indexing["index_failed"] == 0, "what had been read was read again, and refused as such"
    live.unlink()


def _until_texts(cluster: Cluster, index: str, documents: int) -> list[str]:
    """Wait for so many documents, and return their texts."""

    def all_there() -> bool:
        return cluster.elasticsearch.count(index) >= documents

    cluster.kubectl.until(all_there, f"{documents} documents in {index}", seconds=SECONDS)
    found = cluster.elasticsearch.documents(index)
    return sorted(document["_source"]["log"] for document in found)


def test_state_of_a_newer_shipper_is_refused(cluster: Cluster, deployment: Deployment) -> None:
    """It is left as it is, and the pod says why it does not start."""
    state = cluster.node.files.var_lib / "shipper"
    deployment.delete()
    _set_schema(state, 99)

    def refused() -> bool:
        (status,) = deployment.pod()["status"].get("containerStatuses") or [NOT_YET]
        ended = status["state"].get("terminated") or status["lastState"].get("terminated", {})
        return ended.get("exitCode") == 3 and NEWER in deployment.said()

    try:
        deployment.begin()
        cluster.kubectl.until(refused, "exit status 3", seconds=SECONDS)
    finally:
        deployment.delete()
        before = _set_schema(state, SCHEMA_VERSION)
        deployment.apply()
    assert before == 99, "it was left as it is"


def test_second_agent_of_a_node_waits_for_the_first(
    cluster: Cluster, deployment: Deployment, image: str, tmp_path: Path
) -> None:
    """It is live and not ready, says who holds the state, and goes on when that one has ended."""
    second = Deployment.copy(
        cluster.kubectl,
        tmp_path / "second",
        url=cluster.url,
        image=image,
        suffix="-second",
        shares_state=True,
    )
    second.begin()

    def waits() -> bool:
        return any(message.startswith("waiting: /var/lib/shipper") for message in second.messages())

    cluster.kubectl.until(waits, "the second to wait", seconds=SECONDS)
    (status,) = second.pod()["status"]["containerStatuses"]
    assert (status["ready"], status["restartCount"]) == (False, 0)
    deployment.delete()
    second.until_rolled_out()
    (status,) = second.pod()["status"]["containerStatuses"]
    assert (status["ready"], status["restartCount"]) == (True, 0)
    second.delete()
    deployment.apply()


NEWER = "was written by a newer shipper (schema 99"
NOT_YET: dict[str, Any] = {"state": {}, "lastState": {}}


def _set_schema(state: Path, version: int) -> int:
    """Change the version of a state, and return the one before."""
    with closing(sqlite3.connect(state / "state.db")) as db:
        (before,) = db.execute("PRAGMA user_version").fetchone()
        db.execute(f"PRAGMA user_version = {version}")
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return int(before)


def test_elasticsearch_with_tls_and_a_login(cluster: Cluster, image: str, tmp_path: Path) -> None:
    """The overlay's three settings are all that it takes, and a user who may do but two things."""
    login = "agent:Secret-1"
    users = {login: {"indices": [{"names": ["logs-secured-*"], "privileges": PRIVILEGES}]}}
    with Elasticsearch.start("9.5.3", login="boss:Secret-2", users=users) as secured:
        url = f"https://{cluster.node.let_in(secured.port, at=SECURED_PORT, tls=True)}"
        made = Deployment.copy(
            cluster.kubectl, tmp_path / "manifests", url=url, image=image, suffix="-secured"
        )
        name, password = login.split(":")
        where, authority = ("--namespace", made.namespace), cluster.node.files.pki.ca_file
        given = (f"--from-literal=username={name}", f"--from-literal=password={password}")
        what = "shipper-elasticsearch"
        cluster.kubectl("create", "secret", "generic", what, *where, *given)
        cluster.kubectl("create", "configmap", what, *where, f"--from-file=ca.crt={authority}")
        made.apply()
        assert made.ask("/readyz").startswith("ready")
        cluster.kubectl.until(
            lambda: secured.count(f"{made.prefix}-*") > 0, "documents", seconds=SECONDS
        )
        assert password not in made.said()
        made.delete()


# -- lines


def test_every_line_of_every_kind_of_pod(
    cluster: Cluster, deployment: Deployment, tmp_path: Path, record_property: Record
) -> None:
    """Rotated, restarted, short, deleted at full speed: each line is there once, with its pod."""
    kubectl = cluster.kubectl
    _begin_every_kind(cluster)
    printed = [_delete_at_full_speed(cluster, name, tmp_path) for name in ("fast-0", "fast-1")]
    kubectl.until(lambda: _said_hello(cluster) == JOB_PODS, "farewell", seconds=SECONDS)
    cluster.note_pods()
    kubectl("delete", "job", "farewell", "--namespace", chatter.NAMESPACE)
    for name in ("restarted", "long", "init"):
        _until_phase(kubectl, name, "Succeeded")
    _until_phase(kubectl, "oom", "Failed")
    (oom,) = kubectl.get("pod", "oom", "--namespace", chatter.NAMESPACE)["status"][
        "containerStatuses"
    ]
    assert oom["state"]["terminated"]["reason"] == "OOMKilled"
    rotated = [*cluster.node.files.var_log.glob("pods/*_restarted_*/main/*.log.*")]
    assert rotated, "kubelet has rotated it"
    cluster.note_pods()
    ended = {
        "restarted": RUNS,
        "job": JOB_PODS,
        "init": 3,
        "oom": 1,
        "farewell": JOB_PODS,
        "static": 1,
    }

    wanted = {"fast-0": printed[0], "fast-1": printed[1], "long": LONG_LINES}

    def lacking() -> list[str]:
        heard = cluster.heard(deployment)
        lives = [f"{name}: {heard.ends(name)}" for name in ended if heard.ends(name) != ended[name]]
        lasts = {name: max(heard.last(name).values(), default=0) for name in wanted}
        lines = [f"{name}: {lasts[name]}" for name in wanted if lasts[name] != wanted[name]]
        return [*lives, *lines, *(() if heard.others else ("no newline",))]

    _until_none(cluster, lacking)
    heard = cluster.heard(deployment)
    record_property("lines", heard.lines)
    record_property("of pods deleted at full speed", printed)
    assert heard.wrong() == []
    lasts = {name: sorted(heard.last(name).values()) for name in ended}
    assert lasts == {
        "restarted": [ROTATED_LINES] * RUNS,
        "job": [JOB_LINES] * JOB_PODS,
        "init": [20] * 3,
        "oom": [20],
        "farewell": [2] * JOB_PODS,
        "static": [20],
    }
    assert list(heard.last("long").values()) == [LONG_LINES]
    (other,) = heard.others
    assert (other["log"], other["shipper"]["flags"]) == ("no newline", ["unfinished"])


def _begin_every_kind(cluster: Cluster) -> None:
    """Let pods begin to print, one of each kind but of those that are deleted at full speed."""
    runs = {"name": "runs", "mountPath": "/runs"}
    again = f"{count(ROTATED_LINES, pause='usleep 40000')}; echo >> /runs/n; "
    again += f"[ $(wc -l < /runs/n) -ge {RUNS} ]"
    long = f"text=$(head -c {len(chatter.LONG)} /dev/zero | tr '\\0' x); "
    long += "say $text; " * LONG_LINES + "printf 'no newline'"
    cluster.kubectl.apply(
        pod(
            "restarted",
            pod_spec(
                container(again, mounts=[runs]),
                restart="OnFailure",
                volumes=[{"name": "runs", "emptyDir": {}}],
            ),
        ),
        job("job", pod_spec(container(count(JOB_LINES))), pods=JOB_PODS),
        pod(
            "init",
            pod_spec(
                container(count(20)),
                init=[container(count(20), name="init-a"), container(count(20), name="init-b")],
            ),
        ),
        pod("long", pod_spec(container(long))),
        pod("oom", pod_spec(container(f"{count(20)}; tail /dev/zero", memory="20Mi"))),
        job("farewell", pod_spec(container(FAREWELL), grace_secs=20), pods=JOB_PODS),
    )
    static = pod("static", pod_spec(container(count(20))))
    (cluster.node.files.static_pods / "static.json").write_text(json.dumps(static))


FAREWELL = f"""
trap 'say {chatter.LAST}; sleep 0.3; exit 0' TERM
say hello
while :; do usleep 10000; done
"""
"""Ends when its pod is deleted: 0.3 s after its last line, whose file goes with the pod."""


def _until_none(cluster: Cluster, lacking: Callable[[], list[str]]) -> None:
    """Wait until nothing is lacking; what still is, if that takes too long, is the message."""
    found: list[str] = []

    def nothing() -> bool:
        found[:] = lacking()
        return not found

    try:
        cluster.kubectl.until(nothing, "all lines", seconds=SECONDS)
    except ServerError as error:
        raise AssertionError(f"{found}; {error}") from error


def _until_phase(kubectl: Kubectl, name: str, phase: str) -> None:
    def has_come() -> bool:
        pod = kubectl.get("pod", name, "--namespace", chatter.NAMESPACE)
        return bool(pod["status"]["phase"] == phase)

    kubectl.until(has_come, f"{name}: {phase}", seconds=SECONDS)


def _said_hello(cluster: Cluster) -> int:
    """How many pods of the job that says farewell have begun to print."""
    logs = cluster.node.files.var_log.glob(f"pods/{chatter.NAMESPACE}_farewell-*/main/0.log")
    return sum("hello" in log.read_text() for log in logs)


def _log_of(cluster: Cluster, name: str) -> Path:
    """The log of a pod, as soon as there is one."""
    pods, pattern = cluster.node.files.var_log / "pods", f"{chatter.NAMESPACE}_{name}_*/main/0.log"
    wait_until(lambda: any(pods.glob(pattern)), seconds=SECONDS, what=f"the log of {name}")
    return next(pods.glob(pattern))


def _size(log: Path) -> int:
    with suppress(FileNotFoundError):  # it is being rotated
        return log.stat().st_size
    return 0


def _delete_at_full_speed(cluster: Cluster, name: str, folder: Path) -> int:
    """Delete a pod while it prints as fast as it can; return how many whole lines its log had."""
    spec = pod_spec(container(f'sleep 1; while :; do say "{chatter.FILLER}"; done'))
    cluster.kubectl.apply(pod(name, spec))
    log = _log_of(cluster, name)
    cluster.note_pods()
    with witnessing(folder / name, [log]) as witness:
        wait_until(lambda: _size(log) > 2 << 20, seconds=SECONDS, what="some lines")
        where = ("--namespace", chatter.NAMESPACE)
        cluster.kubectl("delete", "pod", name, *where, "--grace-period=0", "--force")
        wait_until(lambda: not any(log.parent.glob("*")), seconds=SECONDS, what="its end")
        witness.stop()
        printed = b"".join(witness.generations(log))
    return int(printed.splitlines()[-1].split()[6])


# -- what happens to a node


def test_disruptions_lose_nothing_and_double_nothing(
    cluster: Cluster, deployment: Deployment, image: str, record_property: Record
) -> None:
    """The agent is deleted, evicted, rolled; kubelet and API restarted: all lines, each once."""
    kubectl, node = cluster.kubectl, cluster.node
    flags = {"name": "flags", "mountPath": "/flags"}
    host = {"name": "flags", "hostPath": {"path": "/var/log/flags", "type": "DirectoryOrCreate"}}
    steady = container(until("/flags/stop", pause="usleep 200000"), mounts=[flags])
    kubectl.apply(
        *(pod(f"steady-{number}", pod_spec(steady, volumes=[host])) for number in range(3))
    )
    next_image = {f"newTag: {image.rpartition(':')[2]}": f"newTag: {image.rpartition(':')[2]}-next"}
    disturb: dict[str, Callable[[], object]] = {
        "deleted": deployment.replace,
        "killed": lambda: deployment.replace("--grace-period=0", "--force"),
        "evicted": lambda: _evict(deployment),
        "image": lambda: deployment.change(OVERLAY, next_image),
        "config": lambda: deployment.change(CONFIG, {"  fields: {}": "  fields: {cluster: test}"}),
        "kubelet": lambda: node.restart("kubelet", how=signal.SIGKILL),
        "api": lambda: node.restart("kube-apiserver", how=signal.SIGKILL),
    }
    seen = {deployment.pod()["metadata"]["name"]}
    for name, happens in disturb.items():
        happens()
        deployment.until_rolled_out()
        deployment.until_synced()
        seen.add(deployment.pod()["metadata"]["name"])
        kubectl.apply(pod(f"after-{name}", pod_spec(container(count(20)))))
        _until_phase(kubectl, f"after-{name}", "Succeeded")
        cluster.note_pods()
    (node.files.var_log / "flags" / "stop").touch()
    names = [*(f"steady-{number}" for number in range(3)), *(f"after-{name}" for name in disturb)]

    def lacking() -> list[str]:
        heard = cluster.heard(deployment)
        return [name for name in names if not heard.ends(name)]

    _until_none(cluster, lacking)
    heard = cluster.heard(deployment)
    record_property("agents", len(seen))
    record_property("lines", sum(max(heard.last(name).values()) for name in names))
    assert heard.wrong() == []
    assert len(seen) == 6, "each but the last two made another agent"
    last = [each["_source"] for each in cluster.documents(deployment)]
    assert any(document.get("cluster") == "test" for document in last), "the new configuration acts"
    assert f"{image}-next" in json.dumps(deployment.pod()["status"])


def _evict(deployment: Deployment) -> None:
    """As `kubectl drain` does it with what is no DaemonSet's."""
    pod = deployment.pod()["metadata"]
    metadata = {"name": pod["name"], "namespace": deployment.namespace}
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": metadata}
    path = deployment.folder / "eviction.json"
    path.write_text(json.dumps(eviction))
    where = f"/api/v1/namespaces/{deployment.namespace}/pods/{pod['name']}/eviction"
    deployment.kubectl("create", "--raw", where, "--filename", str(path))
    deployment.until_rolled_out(instead_of=pod["uid"])


RIGHTS = {
    "list": ("verbs: [list, watch]", "verbs: [watch]"),
    "watch": ("verbs: [list, watch]", "verbs: [list]"),
    "get": ("verbs: [get]", "verbs: [list]"),
}
"""Each verb that the agent's role has, and the role without it."""


@pytest.mark.parametrize("verb", RIGHTS)
def test_each_right_is_needed(cluster: Cluster, deployment: Deployment, verb: str) -> None:
    """Without it the agent says which rule is missing, and what it would have told is not told."""
    kubectl, namespace = cluster.kubectl, f"lacks-{verb}"
    resource = "namespaces" if verb == "get" else "pods"
    lonely = pod("lonely", pod_spec(container(count(20))))
    lonely["metadata"]["namespace"] = namespace
    with _without(deployment, verb):
        kubectl("create", "namespace", namespace)
        kubectl.apply(lonely)

        def delivered() -> list[dict[str, Any]]:
            documents = [each["_source"]["kubernetes"] for each in cluster.documents(deployment)]
            return [each for each in documents if each["namespace_name"] == namespace]

        kubectl.until(lambda: len(delivered()) == 20, "its lines", seconds=SECONDS)
        (said,) = [each for each in deployment.messages() if re.search(r"\b403\b", each)]
        assert f'"{resource}"' in said
        assert f'"{verb}"' in said
        assert resource in deployment.ask("/readyz")
        told = {key for document in delivered() for key in document}
        assert not told & LACKING[verb]
    kubectl.until(lambda: resource not in deployment.ask("/readyz"), "its mend", seconds=SECONDS)


LACKING = {"list": {"labels"}, "watch": set[str](), "get": {"namespace_labels"}}
"""What documents lack without a right; where watching is refused pods are listed now and then."""


@contextmanager
def _without(deployment: Deployment, verb: str) -> Iterator[None]:
    """Take a right from an agent that starts; give it back while it runs."""
    account, (whole, less) = Path("deploy/base/account.yaml"), RIGHTS[verb]
    deployment.change(account, {whole: less})
    deployment.replace()
    try:
        yield
    finally:
        deployment.change(account, {less: whole})


# -- under load


@pytest.mark.timeout(1_500)
def test_memory_stays_within_its_limit(
    cluster: Cluster, deployment: Deployment, record_property: Record
) -> None:
    """20,000 lines a second on the node, faster than this Elasticsearch takes them."""
    script = chatter.flood(FLOOD_LINES_PER_SEC, seconds=FLOOD_SECS)
    names = [f"flood-{number}" for number in range(FLOOD_PODS)]
    before, started = deployment.pod(), time.monotonic()
    cluster.kubectl.apply(*(pod(name, pod_spec(container(script))) for name in names))
    each = FLOOD_LINES_PER_SEC * FLOOD_SECS + 1

    def all_there() -> bool:
        return [_count(cluster, deployment, name) for name in names] == [each] * FLOOD_PODS

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
    found = _search(cluster, deployment, {"size": 0, "aggs": ends}, names)["aggregations"]
    return float(found["max"]["value"] - found["min"]["value"]) / 1000


def _count(cluster: Cluster, deployment: Deployment, pod_name: str) -> int:
    """How many documents there are of a pod."""
    query = {"size": 0, "track_total_hits": True}
    found = _search(cluster, deployment, query, [pod_name])["hits"]["total"]
    return int(found["value"])


def _search(
    cluster: Cluster, deployment: Deployment, query: dict[str, Any], pod_names: list[str]
) -> dict[str, Any]:
    """What Elasticsearch says of the documents of pods.

    Raises:
        ServerError: nothing, as for a moment when an index is new.
    """
    whose = {"terms": {"kubernetes.pod_name.keyword": pod_names}}
    path = f"/{deployment.prefix}-*/_search"
    status, said = cluster.elasticsearch.request("POST", path, {**query, "query": whose})
    if status != 200:
        raise ServerError(f"{path}: {status} {said[:500].decode()}")
    answer: dict[str, Any] = json.loads(said)
    return answer


@pytest.mark.timeout(1_500)
def test_token_is_renewed_without_a_gap(
    cluster: Cluster, undisturbed: Deployment, record_property: Record
) -> None:
    """Its first token is over, the API is asked anew, and what it says is there as before."""
    born = undisturbed.pod()
    first_over = _time_of(born["status"]["startTime"]) + TOKEN_SECS + LEEWAY_SECS
    token = ("cat", "/var/run/secrets/kubernetes.io/serviceaccount/token")
    where = ("--namespace", undisturbed.namespace, born["metadata"]["name"], "--")
    most = TOKEN_SECS + LEEWAY_SECS + SECONDS
    wait_until(lambda: time.time() > first_over, seconds=most, what="the token's end")
    claims = json.loads(_base64(cluster.kubectl("exec", *where, *token).split(".")[1]))
    renewed_secs = claims["iat"] - _time_of(born["status"]["startTime"])
    record_property("this token is the pod's since s", renewed_secs)
    assert renewed_secs > LEEWAY_SECS, "it is still the first one"
    cluster.node.restart("kube-apiserver", how=signal.SIGKILL)
    undisturbed.until_synced()
    cluster.kubectl.apply(pod("late", pod_spec(container(count(20)))))
    _until_phase(cluster.kubectl, "late", "Succeeded")
    cluster.kubectl.until(
        lambda: _count(cluster, undisturbed, "late") == 20, "its lines", seconds=SECONDS
    )
    cluster.note_pods()
    heard = cluster.heard(undisturbed)
    record_property("lines", heard.lines)
    assert heard.wrong() == []
    assert undisturbed.pod()["metadata"]["uid"] == born["metadata"]["uid"]
    assert undisturbed.pod()["status"]["containerStatuses"][0]["restartCount"] == 0
    assert not [each for each in undisturbed.messages() if re.search(r"\b401\b", each)]


def _time_of(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def _base64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
