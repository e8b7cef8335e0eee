"""Pods as the API describes them, for tests."""

from typing import Any

from shipper.pipeline.pod import Pod, pod_of


def pod_json(
    name: str = "web-0",
    *,
    uid: str = "",
    namespace: str = "shop",
    labels: dict[str, str] | None = None,
    containers: dict[str, str] | None = None,
    mirror: str = "",
    version: str = "1",
    node: str = "node-1",
) -> dict[str, Any]:
    """A pod's JSON; containers are ids by name."""
    ids = {"main": ""} if containers is None else containers
    annotations = {"kubernetes.io/config.mirror": mirror} if mirror else {}
    return {
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "uid": uid or f"uid-of-{name}",
            "resourceVersion": version,
            "labels": labels or {},
            "annotations": annotations,
        },
        "spec": {
            "nodeName": node,
            "containers": [{"name": each, "image": f"{each}:1"} for each in ids],
        },
        "status": {
            "containerStatuses": [
                {"name": each, "image": f"{each}:1", "containerID": f"containerd://{container_id}"}
                for each, container_id in ids.items()
                if container_id
            ]
        },
    }


def pod(name: str = "web-0", **fields: Any) -> Pod:  # noqa: ANN401  # those of pod_json
    """A pod as it is known."""
    return pod_of(pod_json(name, **fields))
