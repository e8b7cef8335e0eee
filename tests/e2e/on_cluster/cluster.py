"""A node, and the Elasticsearch in which its lines are looked up."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.e2e.on_cluster import chatter
from tests.e2e.on_cluster.chatter import Heard
from tests.e2e.on_cluster.deployment import Deployment
from tests.servers.elasticsearch import Elasticsearch
from tests.servers.kubectl import Kubectl
from tests.servers.node import Node
from tests.servers.process import ServerError

SECONDS = 120.0
"""How long lines may take that take some seconds on an idle machine."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """A node, and an Elasticsearch that its pods reach.

    Attributes:
        uids: Of the pods that have been noted, by name: nobody knows a deleted one's later.
    """

    node: Node
    elasticsearch: Elasticsearch
    url: str
    uids: dict[str, str] = field(default_factory=dict)

    @property
    def kubectl(self) -> Kubectl:
        """The administrator's command line."""
        return self.node.kubectl

    def documents(self, deployment: Deployment) -> list[dict[str, Any]]:
        """All that a deployment has delivered."""
        return list(self.elasticsearch.documents(f"{deployment.prefix}-*"))

    def heard(self, deployment: Deployment) -> Heard:
        """The numbered lines that it has delivered, held against the pods that were noted."""
        return Heard.of(self.documents(deployment), self.uids)

    def note_pods(self) -> None:
        """Note the uids of the pods that there are now."""
        pods = self.kubectl.items("pods", "--namespace", chatter.NAMESPACE)
        self.uids.update((pod["metadata"]["name"], pod["metadata"]["uid"]) for pod in pods)

    def until_none(self, lacking: Callable[[], list[str]]) -> None:
        """Wait until nothing is lacking; what still is, if that takes too long, is the message."""
        found: list[str] = []

        def nothing() -> bool:
            found[:] = lacking()
            return not found

        try:
            self.kubectl.until(nothing, "all lines", seconds=SECONDS)
        except ServerError as error:
            raise AssertionError(f"{found}; {error}") from error

    def until_phase(self, name: str, phase: str) -> None:
        """Wait until a pod is that far."""

        def has_come() -> bool:
            pod = self.kubectl.get("pod", name, "--namespace", chatter.NAMESPACE)
            return bool(pod["status"]["phase"] == phase)

        self.kubectl.until(has_come, f"{name}: {phase}", seconds=SECONDS)

    def count(self, deployment: Deployment, pod_name: str) -> int:
        """How many documents there are of a pod."""
        query = {"size": 0, "track_total_hits": True}
        found = self.search(deployment, query, [pod_name])["hits"]["total"]
        return int(found["value"])

    def search(
        self, deployment: Deployment, query: dict[str, Any], pod_names: list[str]
    ) -> dict[str, Any]:
        """What Elasticsearch says of the documents of pods.

        Raises:
            ServerError: nothing, as for a moment when an index is new.
        """
        whose = {"terms": {"kubernetes.pod_name.keyword": pod_names}}
        path = f"/{deployment.prefix}-*/_search"
        status, said = self.elasticsearch.request("POST", path, {**query, "query": whose})
        if status != 200:
            raise ServerError(f"{path}: {status} {said[:500].decode()}")
        answer: dict[str, Any] = json.loads(said)
        return answer
