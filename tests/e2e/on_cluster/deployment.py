"""The agent as its user has it on a cluster: the manifests of this checkout on a real node.

Theory of operation: a deployment is a copy of config/ and deploy/ in which the overlay for an
existing Elasticsearch is edited, as its user would. Its Elasticsearch is on this machine's
loopback; a forwarder lets it into the node's network.
"""

import json
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shipper import __version__
from tests.servers.kubectl import Kubectl
from tests.servers.process import ServerError

ROOT = Path(__file__).parents[3]
OVERLAY = Path("deploy/overlays/external/kustomization.yaml")
CONFIG = Path("config/shipper.yaml")
DAEMONSET = Path("deploy/base/daemonset.yaml")
ELASTICSEARCH_PORT = 9200
SECONDS = 150.0
"""How long anything may take that takes some seconds on an idle machine."""


PATIENCE = {
    "metadata_wait_secs: 2.0": "metadata_wait_secs: 20.0",
    "min_free_percent: 15.0": "min_free_percent: 0.0",
}
"""A busy machine may take longer than the defaults until a pod is known, and have a full disk."""
OWN_STATE = """\
  - patch: |
      apiVersion: apps/v1
      kind: DaemonSet
      metadata: {{name: shipper}}
      spec:
        template:
          spec:
            volumes:
              - name: state
                hostPath: {{path: /var/lib/shipper{suffix}}}
"""
"""An agent beside another one of a node waits for that one's end, unless its state is elsewhere."""


@dataclass(frozen=True, slots=True)
class Deployment:
    """A copy of the manifests, and where it is deployed.

    Attributes:
        folder: Holds the copy.
        namespace: Of the DaemonSet.
        name: Of the DaemonSet.
        prefix: What its indices begin with.
    """

    kubectl: Kubectl
    folder: Path
    namespace: str
    name: str
    prefix: str

    @classmethod
    def copy(
        cls,
        kubectl: Kubectl,
        folder: Path,
        *,
        url: str,
        image: str,
        suffix: str = "",
        shares_state: bool = False,
    ) -> "Deployment":
        """Edit the overlay: which Elasticsearch, which image; with a suffix, beside another.

        Such a one has a state and indices of its own, unless it shares those of the other.
        """
        for name in ("config", "deploy"):
            shutil.copytree(ROOT / name, folder / name)
        namespace = f"logging{suffix}" if suffix else "kube-system"
        prefix = f"logs{suffix}" if suffix and not shares_state else "logstash"
        made = cls(kubectl, folder, namespace, f"shipper{suffix}", prefix)
        image_name, _, tag = image.rpartition(":")
        edits = {
            "value: https://elasticsearch.example.com:9200": f"value: {url}",
            "newName: registry.example.com/shipper": f"newName: {image_name}",
            f"newTag: {__version__}": f"newTag: {tag}",
        }
        if suffix:
            kubectl("create", "namespace", namespace)
            edits["namespace: kube-system"] = f"namespace: {namespace}\nnameSuffix: {suffix}"
            made.edit(CONFIG, {"index_prefix: logstash": f"index_prefix: {prefix}"})
        made.edit(OVERLAY, edits)
        made.edit(CONFIG, PATIENCE)
        made.edit(DAEMONSET, {"minReadySeconds: 30": "minReadySeconds: 1"})  # it is one node
        if suffix and not shares_state:
            made.patch(OWN_STATE.format(suffix=suffix))
        return made

    def edit(self, path: Path, edits: Mapping[str, str]) -> None:
        """Replace texts in a file, each of which must be there."""
        file = self.folder / path
        text = file.read_text(encoding="utf-8")
        for old, new in edits.items():
            assert old in text, f"{path} lacks {old!r}"
            text = text.replace(old, new)
        file.write_text(text, encoding="utf-8")

    def patch(self, change: str) -> None:
        """Add to the overlay's patches."""
        with (self.folder / OVERLAY).open("a", encoding="utf-8") as file:
            file.write(change)

    def begin(self) -> None:
        """Apply it."""
        self.kubectl("apply", "--kustomize", str((self.folder / OVERLAY).parent))

    def apply(self) -> None:
        """Apply it, and wait until its pods are the new ones, and ready."""
        self.begin()
        self.until_rolled_out()

    def change(self, path: Path, edits: Mapping[str, str]) -> None:
        """Edit a file, and apply what comes of it."""
        self.edit(path, edits)
        self.apply()

    def until_rolled_out(self, *, instead_of: str = "") -> None:
        """Wait until every pod is as it should be, and another one than the one of this uid.

        Raises:
            ServerError: not in time; with what the pods say.
        """
        where = ("--namespace", self.namespace)
        timeout = f"--timeout={SECONDS:.0f}s"
        try:
            name = f"daemonset/{self.name}"
            self.kubectl("rollout", "status", name, *where, timeout, seconds=SECONDS + 10)
        except ServerError as error:
            told = self.kubectl("describe", "pods", *where)[-3000:]
            with suppress(ServerError):  # it may not have run yet
                told += self.said()[-3000:]
            raise ServerError(f"{error}\n{told}") from error

        def is_ready() -> bool:
            pod = self.pod()
            conditions = pod["status"].get("conditions", [])
            ready = any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
            return ready and pod["metadata"]["uid"] != instead_of

        self.kubectl.until(is_ready, "another agent to be ready", seconds=SECONDS)

    def until_synced(self) -> None:
        """Wait until it knows what pods there are: while the API is away, no line waits for that.

        Raises:
            ServerError: not in time.
        """

        def is_synced() -> bool:
            return "\nshipper_kube_synced 1" in self.ask("/metrics")

        self.kubectl.until(is_synced, "the agent to know the pods", seconds=SECONDS)

    def replace(self, *how: str) -> None:
        """Delete its pod, in this way; returns when another is ready."""
        pod = self.pod()["metadata"]
        self.kubectl("delete", "pod", pod["name"], "--namespace", self.namespace, *how)
        self.until_rolled_out(instead_of=pod["uid"])

    def delete(self) -> None:
        """Delete it, but not what it keeps on the node; returns when its pods are gone."""
        overlay = str((self.folder / OVERLAY).parent)
        self.kubectl("delete", "--kustomize", overlay, "--ignore-not-found", "--wait")
        what = "the agent's pods to be gone"
        self.kubectl.until(lambda: not self.pods(), what, seconds=SECONDS)

    def pods(self) -> list[dict[str, Any]]:
        """The agent's pods."""
        label = ("--selector", "app.kubernetes.io/name=shipper")
        return self.kubectl.items("pods", "--namespace", self.namespace, *label)

    def pod(self) -> dict[str, Any]:
        """The one that there is, and that is to stay.

        Raises:
            ServerError: there is none, or more.
        """
        found = [pod for pod in self.pods() if "deletionTimestamp" not in pod["metadata"]]
        if len(found) != 1:
            raise ServerError(f"{len(found)} pods of {self.name}")
        return found[0]

    def said(self) -> str:
        """Its log."""
        return self.kubectl("logs", f"daemonset/{self.name}", "--namespace", self.namespace)

    def messages(self) -> list[str]:
        """The messages of its log."""
        return [json.loads(line)["message"] for line in self.said().splitlines()]

    def ask(self, path: str) -> str:
        """What its server answers, through the API's proxy."""
        name = self.pod()["metadata"]["name"]
        pods = f"/api/v1/namespaces/{self.namespace}/pods"
        return self.kubectl("get", "--raw", f"{pods}/{name}:9880/proxy{path}")
