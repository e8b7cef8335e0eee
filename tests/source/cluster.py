"""A cluster in small: who knows its pods, and the directories that kubelet and dockerd make."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

from shipper.pipeline.names import Names
from shipper.pipeline.pod import Container, Namespace, Pod


class Cluster:
    """An API that knows the pods that are there, can be away, and takes note of who asks.

    Attributes:
        enabled: There is somebody to ask.
        away: Nobody answers, and that is known.
        forgotten: The uids that were given up.
        waited: How often anybody waited.
    """

    def __init__(self) -> None:
        self.enabled = True
        self.forgotten: list[str] = []
        self.waited = 0
        self.away = False
        self._pods: dict[str, Pod] = {}
        self._namespaces: dict[str, Namespace] = {}
        self._changed = asyncio.Event()

    def put(self, pod: Pod) -> Pod:
        """Create or change a pod."""
        self._pods[pod.uid] = pod
        self._tell()
        return pod

    def change(self, uid: str, **fields: Any) -> Pod:  # noqa: ANN401  # fields of a pod
        """Change some of a pod."""
        return self.put(replace(self._pods[uid], **fields))

    def delete(self, uid: str) -> None:
        """Delete a pod; nothing is known of it from now on."""
        del self._pods[uid]

    def put_namespace(self, namespace: Namespace) -> None:
        """Create or change a namespace."""
        self._namespaces[namespace.name] = namespace
        self._tell()

    def go_away(self) -> None:
        """Answer no more, and let that be known."""
        self.away = True
        self._tell()

    def find(self, names: Names) -> Pod | None:
        for pod in self._pods.values():
            if names.pod_uid and names.pod_uid in {pod.uid, pod.mirror}:
                return pod
            ids = {each.id for each in pod.containers.values()}
            if not names.pod_uid and names.container_id in ids - {""}:
                return pod
        return None

    def namespace(self, name: str) -> Namespace | None:
        return self._namespaces.get(name)

    async def wait(self, names: Names) -> None:
        self.waited += 1
        while not (self.away or self.find(names)):
            await self._changed.wait()

    def forget(self, uid: str) -> None:
        self.forgotten.append(uid)

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


class Machine:
    """The directories of a node: links, what they lead to, and what dockerd writes beside it.

    Attributes:
        links: Where kubelet has a link for each container.
        pods: Where it has a directory for each pod.
        docker: Where dockerd has one for each container.
    """

    def __init__(self, root: Path) -> None:
        self.links = root / "log" / "containers"
        self.pods = root / "log" / "pods"
        self.docker = root / "docker" / "containers"
        for directory in (self.links, self.pods, self.docker):
            directory.mkdir(parents=True)

    def container(self, pod: Pod, name: str = "web", *, restart: int = 0) -> Path:
        """Make the files of a container of a pod, as containerd and kubelet do; returns its log."""
        directory = self.pods / f"{pod.namespace}_{pod.name}_{pod.mirror or pod.uid}" / name
        directory.mkdir(parents=True, exist_ok=True)
        log = directory / f"{restart}.log"
        log.touch()
        self.link(pod, name, log)
        return log

    def docker_container(self, id_: str, config: object = None) -> Path:
        """Make the files of a container of Docker; returns its log."""
        directory = self.docker / id_
        directory.mkdir()
        if config is not None:
            (directory / "config.v2.json").write_text(json.dumps(config))
        log = directory / f"{id_}-json.log"
        log.touch()
        return log

    def link(self, pod: Pod, name: str, target: Path) -> Path:
        """Make kubelet's link to the log of a container."""
        id_ = pod.containers[name].id
        link = self.links / f"{pod.name}_{pod.namespace}_{name}-{id_}.log"
        link.symlink_to(target)
        return link


def pod(number: int = 1, **fields: Any) -> Pod:  # noqa: ANN401  # fields of a pod
    """A pod of its own, with a container `web`."""
    containers = {"web": Container(f"{number:064x}", "web:1", "web@sha256:1")}
    made = Pod(str(UUID(int=number)), f"web-{number}", "shop", containers=containers)
    return replace(made, **fields)
