"""A namespace with a pod, for tests."""

from typing import Any

from shipper.pipeline.names import Names

OF_WEB = Names(pod_uid="uid-of-web-0")


def namespace_json(uid: str = "n-1", **labels: str) -> dict[str, Any]:
    return {"kind": "Namespace", "metadata": {"name": "shop", "uid": uid, "labels": labels}}
