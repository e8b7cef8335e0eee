"""What dockerd wrote down of a container is read, whatever it is."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipper.pipeline.dockerd import DockerContainer, docker_container_of
from shipper.pipeline.names import Names
from tests.pipeline.pods import UID, json_values

COMPOSED: dict[str, Any] = {
    "Name": "/shop-web-1",
    "Image": "sha256:1",
    "Config": {
        "Image": "web:2",
        "Labels": {
            "com.docker.compose.project": "shop",
            "com.docker.compose.service": "web",
            "tier": "front",
        },
    },
}


def test_a_container_of_compose_is_read() -> None:
    """Name, image, labels and the project and service of compose are there."""
    docker = docker_container_of(orjson.dumps(COMPOSED))
    assert (docker.name, docker.image, docker.image_id) == ("shop-web-1", "web:2", "sha256:1")
    assert (docker.compose_project, docker.compose_service) == ("shop", "web")
    assert docker.own_labels == {"tier": "front"}
    assert docker.names == Names()


def test_a_container_of_a_pod_says_which() -> None:
    """Kubelet's labels are the names of pod, namespace and container, and the uid."""
    labels = {
        "io.kubernetes.pod.name": "web-0",
        "io.kubernetes.pod.namespace": "shop",
        "io.kubernetes.container.name": "web",
        "io.kubernetes.pod.uid": UID,
    }
    docker = docker_container_of(orjson.dumps({"Config": {"Labels": labels}}))
    assert docker.names == Names("", "web-0", "shop", "web", UID)


@given(st.binary() | json_values.map(orjson.dumps))
def test_what_is_no_container_is_an_empty_one(raw: bytes) -> None:
    """Anything else in the file says nothing, and does no harm."""
    assert docker_container_of(raw) == DockerContainer()


@given(
    json_values,
    st.dictionaries(st.sampled_from(["Image", "Labels"]), json_values, min_size=1),
)
def test_what_has_another_type_is_left_out(name: Any, config: dict[str, Any]) -> None:  # noqa: ANN401
    """Wrong types inside are read as nothing."""
    docker = docker_container_of(orjson.dumps({"Name": name, "Config": config, "Image": name}))
    texts = [docker.name, docker.image, docker.image_id, *docker.labels, *docker.labels.values()]
    assert all(isinstance(text, str) for text in texts)


@pytest.mark.parametrize("raw", [b'{"a":' * 5000, b"[" * 100_000])
def test_deep_nesting_does_no_harm(raw: bytes) -> None:
    """A file that nests without end says nothing."""
    assert docker_container_of(raw) == DockerContainer()


def test_labels_of_an_image_are_not_repeated_without_end() -> None:
    """What is too long for a name is none: an image's author may write any label."""
    long = "x" * 1_025
    labels = {
        "io.kubernetes.pod.name": long,
        "com.docker.compose.project": long,
        "com.docker.compose.service": long,
    }
    raw = {"Name": f"/{long}", "Image": long, "Config": {"Image": long, "Labels": labels}}
    docker = docker_container_of(orjson.dumps(raw))
    assert docker.names == Names()
    assert not docker.name + docker.image + docker.image_id
    assert not docker.compose_project + docker.compose_service
    labels["io.kubernetes.pod.name"] = "web-0"
    labels["io.kubernetes.pod.uid"] = long
    assert docker_container_of(orjson.dumps(raw)).names == Names(pod_name="web-0")
