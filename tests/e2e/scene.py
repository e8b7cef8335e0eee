"""An agent on a node of a real Kubernetes API, and the way between them, which may fail."""

import json
import secrets
import shutil
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from tests.e2e.agent import Agent, Setup, configure, running
from tests.fakes.elasticsearch import FakeElasticsearch
from tests.fakes.pipe import Pipe
from tests.servers.kubernetes import KubernetesApi

NODE = "test-node"
NAMESPACE = "faults"
FIRST_DOCUMENT_SECS = 3.0
"""From the start of the process, or from the writing of the line, to its document; without the time
for which other programs keep the processors from it."""
BACK_OFF_SECS = 40.0
"""One back-off, 30 s at most, and what a busy machine adds."""


@dataclass
class Scene:
    """An agent on a node of the real API, with a pipe on the way there.

    Attributes:
        pipe: The way there.
        folder: Its tokens and CA.
        logs: Where its pods' logs are.
        prefix: What its pods' names begin with.
        pods: Those that were made.
        name_server: Takes questions and never answers.
    """

    api: KubernetesApi
    elasticsearch: FakeElasticsearch
    pipe: Pipe
    folder: Path
    setup: Setup
    prefix: str
    pods: list[str] = field(default_factory=list)
    name_server: socket.socket | None = None
    _ids: dict[str, str] = field(default_factory=dict)

    @property
    def first(self) -> str:
        """The name of a pod."""
        return f"{self.prefix}-0"

    @property
    def second(self) -> str:
        """The name of another."""
        return f"{self.prefix}-1"

    @property
    def unknown(self) -> str:
        """The name of one that the API does not know."""
        return f"{self.prefix}-new"

    @property
    def logs(self) -> Path:
        return self.folder / "containers"

    @property
    def token_file(self) -> Path:
        return self.folder / "token"

    @property
    def ca_file(self) -> Path:
        return self.folder / "ca.crt"

    @property
    def hosts(self) -> Path:
        return self.folder / "hosts"

    @property
    def resolv_conf(self) -> Path:
        return self.folder / "resolv.conf"

    def make_pod(self, name: str, *, annotations: dict[str, str] | None = None) -> None:
        """A pod whose container runs."""
        container_id = self._ids[name] = secrets.token_hex(32)
        self.pods.append(name)
        self.api.make_pod(
            {
                "metadata": {
                    "name": name,
                    "namespace": NAMESPACE,
                    "labels": {"app": name},
                    "annotations": annotations or {},
                },
                "spec": {"nodeName": NODE, "containers": [{"name": "main", "image": "main:1"}]},
                "status": {
                    "containerStatuses": [
                        {
                            "name": "main",
                            "image": "main:1",
                            "imageID": "sha256:1",
                            "containerID": f"containerd://{container_id}",
                            "ready": True,
                            "restartCount": 0,
                        }
                    ]
                },
            }
        )

    def write(self, pod: str) -> str:
        """A line of a pod, known by what it says."""
        text = secrets.token_hex(8)
        container_id = self._ids.setdefault(pod, secrets.token_hex(32))
        line = {"log": f"{text}\n", "stream": "stdout", "time": "2026-11-23T10:11:12.123456789Z"}
        path = self.logs / f"{pod}_{NAMESPACE}_main-{container_id}.log"
        with path.open("a", encoding="utf-8") as log:
            log.write(json.dumps(line, separators=(",", ":")) + "\n")
        return text

    def document(self, text: str) -> dict[str, Any] | None:
        """The document of a line, when it is there."""
        for document in list(self.elasticsearch.documents.values()):
            if document["log"] == f"{text}\n":
                return document
        return None

    def soon(self, agent: Agent, pod: str, *, since: float | None = None) -> tuple[float, Any]:
        """Write a line, and return after how long its document was there, and the document.

        Args:
            agent: Reads it.
            pod: Writes it.
            since: When the agent was started, to count from there instead.
        """
        began, starved_secs = (since, 0.0) if since else (time.monotonic(), agent.starved_secs)
        text = self.write(pod)
        agent.until(lambda: self.document(text) is not None, "a document")
        secs = time.monotonic() - began - (agent.starved_secs - starved_secs)
        return secs, self.document(text)

    def check_known_goes_on(self, agent: Agent, pod: str) -> None:
        """Check that a line of a pod that is known is there soon, with its metadata."""
        secs, document = self.soon(agent, pod)
        assert document["kubernetes"]["labels"] == {"app": pod}
        assert secs < FIRST_DOCUMENT_SECS

    def until_enriched(self, agent: Agent, pod: str) -> float:
        """Write lines until one has its pod's metadata, and return how long that took."""
        began, texts = time.monotonic(), [self.write(pod)]

        def is_enriched() -> bool:
            document = self.document(texts[-1])
            if document is None:
                return False
            if "namespace_labels" in document["kubernetes"]:
                return True
            texts.append(self.write(pod))
            return False

        agent.until(is_enriched, f"metadata of {pod}", seconds=BACK_OFF_SECS)
        return time.monotonic() - began


@contextmanager
def scene(
    api: KubernetesApi,
    folder: Path,
    *,
    fake: FakeElasticsearch,
    prefix: str,
    host: str = "127.0.0.1",
    plain: bool = False,
    **settings: Any,  # noqa: ANN401  # those of the section
) -> Iterator[Scene]:
    """Set up an agent whose way to the API goes through a pipe."""
    context = ssl.create_default_context(cafile=str(api.pki.ca_file)) if plain else None
    with Pipe(api.port, context).open() as pipe:
        files = {"token_file": str(folder / "token"), "ca_file": str(folder / "ca.crt")}
        url = f"http{'' if plain else 's'}://{host}:{pipe.port}"
        setup = configure(
            folder,
            paths=[folder / "containers"],
            url=fake.url,
            prefix=prefix,
            kubernetes={"url": url, **files, **settings},
        )
        made = Scene(api, fake, pipe, folder, setup, prefix)
        made.logs.mkdir()
        made.token_file.write_text(api.token())
        shutil.copy(api.pki.ca_file, made.ca_file)
        made.hosts.write_text("127.0.0.1 localhost kubernetes.default.svc\n")
        made.resolv_conf.write_text("nameserver 127.9.9.9\noptions timeout:30\n")
        yield made
        for pod in made.pods:
            api.delete_pod(NAMESPACE, pod)


class SetUp(Protocol):
    """Sets a scene on a test's server, in its folder."""

    def __call__(
        self,
        *,
        host: str = ...,
        plain: bool = ...,
        **settings: Any,  # noqa: ANN401  # those of the section
    ) -> AbstractContextManager[Scene]:
        """As `scene` does."""


@contextmanager
def agent_in(scene: Scene) -> Iterator[Agent]:
    """Run the agent where its own files say what addresses names have, and whom to ask."""
    files = {scene.hosts: "/etc/hosts", scene.resolv_conf: "/etc/resolv.conf"}
    mount = " && ".join([*(f"mount --bind {own} {its}" for own, its in files.items()), 'exec "$@"'])
    before = ["unshare", "--mount", "sh", "-c", mount, "sh"]
    with running(scene.setup, before=before) as agent:
        yield agent
