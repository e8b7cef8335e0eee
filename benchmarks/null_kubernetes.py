"""A null Kubernetes API: it knows the pods whose logs lie in a directory, and nothing changes.

Promises to answer a list of pods, a watch of them and a namespace as a real one does; the watch
never says anything. Every pod has ten labels, as those of a chart have.
"""

import argparse
import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import NAMESPACE_OID, uuid5

from benchmarks.http_messages import Head, answer
from benchmarks.null_elasticsearch import serve

NODE = "node-1"
LABELS = {
    "app": "web",
    "app.kubernetes.io/component": "frontend",
    "app.kubernetes.io/instance": "shop-web",
    "app.kubernetes.io/managed-by": "Helm",
    "app.kubernetes.io/name": "web",
    "app.kubernetes.io/part-of": "shop",
    "app.kubernetes.io/version": "1.2.3",
    "helm.sh/chart": "web-4.5.6",
    "pod-template-hash": "7d4f8c9b6",
    "tier": "front",
}
_IMAGE = "registry.local/shop/web"
_DIGEST = "sha256:7f25b9c1d0e84a63" + "0" * 48
_NAMESPACE_ID = "0c9b2a41-6d52-4f0e-9d0c-2b1f9c6e0001"
_STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"


def metadata_of(file_name: str) -> dict[str, Any]:
    """Return what documents of a file say of its pod, besides names: what a yardstick adds."""
    return {
        "pod_id": _uid(file_name),
        "pod_ip": "10.244.0.17",
        "host": NODE,
        "labels": {key.replace(".", "_"): text for key, text in LABELS.items()},
        "container_image": f"{_IMAGE}:1.2.3",
        "container_image_id": f"{_IMAGE}@{_DIGEST}",
        "namespace_id": _NAMESPACE_ID,
        "namespace_labels": {"kubernetes_io/metadata_name": "shop"},
    }


class NullKubernetes:
    """Answers requests about the pods of some log files."""

    def __init__(self, file_names: Sequence[str]) -> None:
        """Know the pods that these names are of."""
        self._list = _json(
            kind="PodList", metadata={"resourceVersion": "1"}, items=[_pod(n) for n in file_names]
        )

    def respond(self, head: Head, body: bytes) -> bytes:  # noqa: ARG002  # nothing has one
        """Return the response to one request; a watch stays open."""
        url = urlsplit(head.target)
        if url.path == "/api/v1/pods":
            return _STREAM if "watch" in parse_qs(url.query) else answer(head, self._list)
        if url.path.startswith("/api/v1/namespaces/"):
            name = url.path.rpartition("/")[2]
            labels = {"kubernetes.io/metadata.name": name}
            about = {"name": name, "uid": _NAMESPACE_ID, "labels": labels}
            return answer(head, _json(kind="Namespace", metadata=about))
        return answer(head, _json(kind="Status", code=404), status="404 Not Found")


def _pod(file_name: str) -> dict[str, Any]:
    pod, namespace, rest = file_name.removesuffix(".log").split("_")
    container, _, container_id = rest.rpartition("-")
    status = {
        "name": container,
        "image": f"{_IMAGE}:1.2.3",
        "imageID": f"{_IMAGE}@{_DIGEST}",
        "containerID": f"containerd://{container_id}",
    }
    about = {"name": pod, "namespace": namespace, "uid": _uid(file_name), "labels": LABELS}
    return {
        "metadata": {**about, "resourceVersion": "1"},
        "spec": {"nodeName": NODE, "containers": [{"name": container, "image": status["image"]}]},
        "status": {"podIP": "10.244.0.17", "containerStatuses": [status]},
    }


def _uid(file_name: str) -> str:
    return str(uuid5(NAMESPACE_OID, file_name))


def _json(*, kind: str, **content: object) -> bytes:
    return json.dumps({"kind": kind, "apiVersion": "v1", **content}).encode()


def main() -> None:
    """Run a null Kubernetes API on 127.0.0.1."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.null_kubernetes", description=main.__doc__
    )
    parser.add_argument("directory", type=Path, help="where the pods' logs lie")
    parser.add_argument("--port", type=int, default=0, help="0 (the default) takes any free one")
    options = parser.parse_args()
    names = sorted(path.name for path in options.directory.glob("*.log"))
    asyncio.run(serve(NullKubernetes(names), options.port))


if __name__ == "__main__":
    main()
