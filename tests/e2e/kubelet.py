"""A kubelet in small: pods in a real API, and the log files that a node has of them.

What it does it does in the order of the real one: a pod is in the API before its container runs, a
container's id is in the pod's status some time after that, and the files of a deleted pod are gone
in the moment of the DELETED event. Every line says which pod it is of and which change of that pod
came before it, so that a document can be held against its own pod's history.
"""

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from tests.servers.kubernetes import KubernetesApi

NODE = "test-node"
RUNTIMES = ("cri", "docker")
NONE: Mapping[str, str] = {}


@dataclass(slots=True)
class Life:
    """One pod, from its creation to its end.

    Attributes:
        serial: Its number; a pod that has its name again has another.
        namespace: Where it is.
        name: Its name.
        uid: As the API has it.
        directory: The part of a uid that its directory has: another one for a static pod.
        runtime: Which one writes its lines.
        version: Which change of its labels was the last.
        changed_at: For each version, when the API had it: before it, there was the one before.
        container_id: Of its container now.
        restarts: How often that was started again.
        lines: How many it has written.
        is_gone: It was deleted.
    """

    serial: int
    namespace: str
    name: str
    runtime: str
    uid: str = ""
    directory: str = ""
    version: int = 0
    changed_at: list[float] = field(default_factory=list)
    container_id: str = ""
    restarts: int = 0
    lines: int = 0
    is_gone: bool = False


class Kubelet:
    """Keeps pods on one node.

    Attributes:
        links: Where it has a link for each container.
        lives: Every pod that there was, by serial number.
        written: Every line's text, with the time before it was written.
    epoch: Whoever runs it may count something in this; lines say it.
    """

    def __init__(self, root: Path, api: KubernetesApi, *, rng: Random, prefix: str) -> None:
        """Make the directories, and two namespaces."""
        self.links = root / "containers"
        self.lives: list[Life] = []
        self.written: dict[str, float] = {}
        self.epoch = 0
        self._pods, self._docker = root / "pods", root / "docker"
        for directory in (self.links, self._pods, self._docker):
            directory.mkdir(parents=True)
        self._api, self._rng = api, rng
        self.namespaces = [f"{prefix}-{name}" for name in ("shop", "bank")]
        for name in self.namespaces:
            api.make_namespace(name, labels={"team": name})

    @property
    def running(self) -> list[Life]:
        """The pods that there are."""
        return [life for life in self.lives if not life.is_gone]

    def create(
        self,
        name: str,
        *,
        namespace: str,
        static: bool = False,
        labels: Mapping[str, str] = NONE,
        annotations: Mapping[str, str] = NONE,
    ) -> Life:
        """Make a pod, run its container, and let it write a line."""
        runtime = self._rng.choice(RUNTIMES)
        life = Life(len(self.lives), namespace, name, runtime)
        self.lives.append(life)
        noted = {**annotations, "history": f"{life.serial}"}
        if static:
            life.directory = hashlib.md5(f"{life.serial}".encode()).hexdigest()  # noqa: S324  # as kubelet
            noted |= dict.fromkeys(_STATIC, life.directory)
        made = self._api.make_pod(
            {
                "metadata": {
                    "name": name,
                    "namespace": namespace,
                    "labels": {**labels, **self._labels(life)},
                    "annotations": noted,
                },
                "spec": {
                    "nodeName": NODE,
                    "terminationGracePeriodSeconds": 0,
                    "containers": [{"name": "web", "image": f"web:{life.serial}"}],
                },
            }
        )
        life.uid = made["metadata"]["uid"]
        life.directory = life.directory or life.uid
        life.changed_at.append(time.monotonic())
        self._run_container(life)
        self.write(life)
        if self._rng.random() < 0.5:
            self.report(life)
        return life

    def write(self, life: Life, *, lines: int = 1) -> None:
        """Let a pod write lines."""
        for _ in range(lines):
            life.lines += 1
            text = json.dumps(
                {
                    "serial": life.serial,
                    "run": life.restarts,
                    "epoch": self.epoch,
                    "line": life.lines,
                }
            )
            now = (
                f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime())}.{time.time_ns() % 10**9:09d}Z"
            )
            if life.runtime == "cri":
                raw = f"{now} stdout F {text}\n"
            else:
                raw = json.dumps(
                    {"log": f"{text}\n", "stream": "stdout", "time": now}, separators=(",", ":")
                )
                raw += "\n"
            self.written[text] = time.monotonic()
            with self._log(life).open("a") as file:
                file.write(raw)

    def change(self, life: Life) -> None:
        """Change the labels of a pod."""
        life.version += 1
        labels = {"labels": self._labels(life)}
        self._api.patch(self._path(life), {"metadata": labels})
        life.changed_at.append(time.monotonic())

    def annotate(self, life: Life, annotations: dict[str, str | None]) -> None:
        """Change annotations of a pod; None takes one away."""
        self._api.patch(self._path(life), {"metadata": {"annotations": annotations}})

    def report(self, life: Life) -> None:
        """Write the status of a pod, as it comes some time after what it tells of."""
        status = {
            "name": "web",
            "image": f"docker.io/library/web:{life.serial}",
            "imageID": f"web@sha256:{life.serial}",
            "containerID": f"{life.runtime}://{life.container_id}",
            "restartCount": life.restarts,
            "ready": True,
            "state": {"running": {}},
        }
        pod = {"phase": "Running", "podIP": f"10.0.0.{life.serial % 250}"}
        self._api.patch(
            f"{self._path(life)}/status", {"status": {**pod, "containerStatuses": [status]}}
        )

    def restart(self, life: Life) -> None:
        """Run the container anew: another id, another file, another link."""
        life.restarts += 1
        self._run_container(life)

    def delete(self, life: Life) -> None:
        """Delete a pod, and its files in the same moment."""
        life.is_gone = True
        self._api.delete_pod(life.namespace, life.name)
        for link in self.links.glob(f"{life.name}_{life.namespace}_*"):
            link.unlink()
        for file in self._directory(life).iterdir():
            real = file.resolve()
            file.unlink()
            real.unlink(missing_ok=True)

    def lines_of_the_gone(self) -> list[str]:
        """Every line of the pods that are gone, whose files are, too."""
        return [text for text in self.written if self.lives[json.loads(text)["serial"]].is_gone]

    # -- files

    def _run_container(self, life: Life) -> None:
        life.container_id = f"{self._rng.getrandbits(256):064x}"
        directory = self._directory(life)
        directory.mkdir(parents=True, exist_ok=True)
        log = directory / f"{life.restarts}.log"
        if life.runtime == "docker":
            own = self._docker / life.container_id
            own.mkdir()
            file = own / f"{life.container_id}-json.log"
            file.touch()
            log.symlink_to(file)
        else:
            log.touch()
        name = f"{life.name}_{life.namespace}_web-{life.container_id}.log"
        (self.links / name).symlink_to(log)

    def _directory(self, life: Life) -> Path:
        return self._pods / f"{life.namespace}_{life.name}_{life.directory}" / "web"

    def _log(self, life: Life) -> Path:
        return self._directory(life) / f"{life.restarts}.log"

    # -- the API

    def _path(self, life: Life) -> str:
        return f"/api/v1/namespaces/{life.namespace}/pods/{life.name}"

    def _labels(self, life: Life) -> dict[str, Any]:
        return {
            "app.kubernetes.io/name": life.name,
            "serial": f"{life.serial}",
            "version": f"{life.version}",
        }


_STATIC = ("kubernetes.io/config.hash", "kubernetes.io/config.mirror")
