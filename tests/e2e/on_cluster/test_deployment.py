"""The manifests, what the agent may do there, and what it makes of the state that it finds."""

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from shipper.buffer.schema import SCHEMA_VERSION
from tests.e2e.on_cluster.cluster import SECONDS, Cluster
from tests.e2e.on_cluster.deployment import Deployment
from tests.servers.elasticsearch import Elasticsearch

pytestmark = pytest.mark.timeout(900)  # the first test builds the image and waits for the node

SECURED_PORT = 9201
PRIVILEGES = ["create_doc", "auto_configure"]
"""What docs/install.md says that the agent's user needs."""
LISTENS = "0A"
"""The state of a socket, in the kernel's table."""
STATES = Path(__file__).parents[2] / "states"
OLD_LINES = 50
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
    cluster: Cluster, deployment: Deployment, schema: int
) -> None:
    """What an older version had read is delivered, and its log read on where it stopped."""
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
