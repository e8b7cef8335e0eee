"""What happens to a node: agents, kubelet and API come and go."""

import json
import signal
from collections.abc import Callable

import pytest

from tests.e2e.on_cluster.chatter import container, count, pod, pod_spec, until
from tests.e2e.on_cluster.cluster import Cluster
from tests.e2e.on_cluster.deployment import CONFIG, OVERLAY, Deployment
from tests.e2e.record import Record

pytestmark = pytest.mark.timeout(900)  # the first test builds the image and waits for the node


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
        cluster.until_phase(f"after-{name}", "Succeeded")
        cluster.note_pods()
    (node.files.var_log / "flags" / "stop").touch()
    names = [*(f"steady-{number}" for number in range(3)), *(f"after-{name}" for name in disturb)]

    def lacking() -> list[str]:
        heard = cluster.heard(deployment)
        return [name for name in names if not heard.ends(name)]

    cluster.until_none(lacking)
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
