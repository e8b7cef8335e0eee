"""One node for all tests of this package, and two agents on it from the first test to the last.

To one of them things happen. Nothing happens to the other: it takes ten minutes until its first
token is over.
"""

from collections.abc import Iterator

import pytest

from tests.e2e.on_cluster import chatter
from tests.e2e.on_cluster.cluster import Cluster
from tests.e2e.on_cluster.deployment import CONFIG, ELASTICSEARCH_PORT, Deployment
from tests.servers.docker import IMAGE, PAUSE, DockerEngine
from tests.servers.elasticsearch import Elasticsearch
from tests.servers.node import Node
from tests.servers.node_files import SERVICE


@pytest.fixture(scope="package")
def cluster(
    docker: DockerEngine,
    image: str,
    servers: dict[str, Elasticsearch],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Cluster]:
    """A node that has the agent's image, its next one, and that of other pods; no pod runs yet."""
    if "9.5.3" not in servers:
        servers["9.5.3"] = Elasticsearch.start("9.5.3")
    archive = tmp_path_factory.mktemp("images") / "images.tar"
    docker.save(archive, IMAGE, PAUSE, image, _next_image(docker, image))
    with Node.start([archive]) as node:
        archive.unlink()
        url = f"http://{node.let_in(servers['9.5.3'].port, at=ELASTICSEARCH_PORT)}"
        metadata = {"name": chatter.NAMESPACE, "labels": {"example.com/team": "a"}}
        node.kubectl.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
        yield Cluster(node, servers["9.5.3"], url)


def _next_image(docker: DockerEngine, image: str) -> str:
    """The same program in an image of another digest."""
    made = docker.call("create", image)
    docker.call("commit", "--change", "LABEL next=yes", made, f"{image}-next")
    docker.remove(made)
    return f"{image}-next"


@pytest.fixture(scope="package")
def deployment(
    cluster: Cluster,
    undisturbed: Deployment,
    image: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Deployment:
    """The agent to which things happen; it comes after the other one, whose token must get old."""
    assert undisturbed.pod()
    folder = tmp_path_factory.mktemp("deployment")
    made = Deployment.copy(cluster.kubectl, folder, url=cluster.url, image=image)
    made.apply()
    return made


@pytest.fixture(scope="package")
def undisturbed(
    cluster: Cluster, image: str, tmp_path_factory: pytest.TempPathFactory
) -> Deployment:
    """An agent whose token is to be renewed; in a namespace of its own, in the node's network.

    It knows Elasticsearch by the name of a service; the others know it by its address.
    """
    folder, url = tmp_path_factory.mktemp("undisturbed"), f"http://{SERVICE}:{ELASTICSEARCH_PORT}"
    made = Deployment.copy(cluster.kubectl, folder, url=url, image=image, suffix="-undisturbed")
    made.patch(OWN_TOKEN)
    made.edit(CONFIG, {"    exclude: []": '    exclude: ["flood-*"]'})  # one agent is enough for it
    made.apply()
    return made


OWN_TOKEN = """\
  - patch: |
      apiVersion: apps/v1
      kind: DaemonSet
      metadata: {name: shipper}
      spec:
        template:
          spec:
            automountServiceAccountToken: false
            hostNetwork: true  # what dnsPolicy is made for
            containers:
              - name: shipper
                volumeMounts:
                  - mountPath: /var/run/secrets/kubernetes.io/serviceaccount
                    name: account
                    readOnly: true
            volumes:
              - name: account
                projected:
                  sources:
                    - serviceAccountToken: {path: token, expirationSeconds: 600}
                    - configMap: {name: kube-root-ca.crt}
"""
