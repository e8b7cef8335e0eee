"""What the agent may do is what it needs: without a right it says which, and goes on."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.on_cluster.chatter import container, count, pod, pod_spec
from tests.e2e.on_cluster.cluster import SECONDS, Cluster
from tests.e2e.on_cluster.deployment import Deployment

pytestmark = pytest.mark.timeout(900)  # the first test builds the image and waits for the node


RIGHTS = {
    "list": ("verbs: [list, watch]", "verbs: [watch]"),
    "watch": ("verbs: [list, watch]", "verbs: [list]"),
    "get": ("verbs: [get]", "verbs: [list]"),
}
"""Each verb that the agent's role has, and the role without it."""


@pytest.mark.parametrize("verb", RIGHTS)
def test_each_right_is_needed(cluster: Cluster, deployment: Deployment, verb: str) -> None:
    """Without it the agent says which rule is missing, and what it would have told is not told."""
    kubectl, namespace = cluster.kubectl, f"lacks-{verb}"
    resource = "namespaces" if verb == "get" else "pods"
    lonely = pod("lonely", pod_spec(container(count(20))))
    lonely["metadata"]["namespace"] = namespace
    with _without(deployment, verb):
        kubectl("create", "namespace", namespace)
        kubectl.apply(lonely)

        def delivered() -> list[dict[str, Any]]:
            documents = [each["_source"]["kubernetes"] for each in cluster.documents(deployment)]
            return [each for each in documents if each["namespace_name"] == namespace]

        kubectl.until(lambda: len(delivered()) == 20, "its lines", seconds=SECONDS)
        (said,) = [each for each in deployment.messages() if re.search(r"\b403\b", each)]
        assert f'"{resource}"' in said
        assert f'"{verb}"' in said
        assert resource in deployment.ask("/readyz")
        told = {key for document in delivered() for key in document}
        assert not told & LACKING[verb]
    kubectl.until(lambda: resource not in deployment.ask("/readyz"), "its mend", seconds=SECONDS)


LACKING = {"list": {"labels"}, "watch": set[str](), "get": {"namespace_labels"}}
"""What documents lack without a right; where watching is refused pods are listed now and then."""


@contextmanager
def _without(deployment: Deployment, verb: str) -> Iterator[None]:
    """Take a right from an agent that starts; give it back while it runs."""
    account, (whole, less) = Path("deploy/base/account.yaml"), RIGHTS[verb]
    deployment.change(account, {whole: less})
    deployment.replace()
    try:
        yield
    finally:
        deployment.change(account, {less: whole})
