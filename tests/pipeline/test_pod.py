"""What is known of a pod is read from the API's JSON, whatever that is."""

from typing import Any

import msgspec
import pytest
from hypothesis import given

from shipper.pipeline.pod import (
    Container,
    Namespace,
    Owner,
    Pod,
    namespace_of,
    namespace_of_json,
    pod_of,
    pod_of_json,
    to_json,
)
from tests.pipeline.pods import ID, OLD_ID, UID, WEB, broken_pods, json_values


def test_a_pod_is_read() -> None:
    """All that documents may need is there, of each kind of container, without runtimes' names."""
    assert pod_of(WEB) == Pod(
        uid=UID,
        name="web-0",
        namespace="shop",
        node="node-1",
        ip="10.0.0.7",
        labels={"app": "web", "app.kubernetes.io/name": "web"},
        annotations={"team": "blue", "prometheus.io/scrape": "true"},
        owners=(Owner("StatefulSet", "web"),),
        containers={
            "web": Container(
                ID, "docker.io/library/web:2", "docker.io/library/web@sha256:1", OLD_ID, 3
            ),
            "init": Container("1" * 64, "init:1", "i1"),
            "debug": Container(image="debug:1"),
        },
    )


@pytest.mark.parametrize("key", ["kubernetes.io/config.mirror", "kubernetes.io/config.hash"])
def test_a_static_pod_says_what_its_directory_is_called(key: str) -> None:
    """Either annotation of a static pod is taken for what its directory has for a uid."""
    pod = pod_of({"metadata": {"uid": "u", "name": "n", "annotations": {key: "e276"}}})
    assert (pod.uid, pod.mirror) == ("u", "e276")


def test_a_namespace_is_read() -> None:
    """A namespace has its uid, its name, and what is written on it."""
    metadata = {"uid": "n1", "name": "shop", "labels": {"a": "b"}, "annotations": {"c": "d"}}
    assert namespace_of({"metadata": metadata}) == Namespace("n1", "shop", {"a": "b"}, {"c": "d"})


def test_halves_of_surrogate_pairs_are_replaced() -> None:
    """A text that no document can hold is read as one that a document can."""
    pod = pod_of({"metadata": {"uid": "u", "name": "n", "labels": {"\ud800k": "v\udfff"}}})
    assert pod.labels == {"?k": "v?"}


@given(broken_pods())
def test_nothing_that_is_sent_makes_it_fail(thing: Any) -> None:  # noqa: ANN401  # anything
    """A pod with wrong types anywhere is read, and comes back from what is kept of it."""
    pod = pod_of(thing)
    assert pod_of_json(to_json(pod)) == pod
    namespace = namespace_of(thing)
    assert namespace_of_json(to_json(namespace)) == namespace


@given(json_values)
def test_what_is_no_pod_is_an_empty_one(thing: Any) -> None:  # noqa: ANN401  # anything
    """Any other JSON is a pod without uid and name, and nothing that was kept."""
    pod, namespace = pod_of(thing), namespace_of(thing)
    assert (pod.uid, pod.name, namespace.name) == ("", "", "")
    raw = msgspec.json.encode(thing)
    assert pod_of_json(raw) is None
    assert namespace_of_json(raw) is None


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff", b'{"uid":"u"}', b"[" * 100_000])
def test_what_was_not_kept_is_nothing(raw: bytes) -> None:
    """What is no JSON of a pod, in state.db, is None."""
    assert pod_of_json(raw) is None
    assert namespace_of_json(raw) is None
