"""Every document ends in what is known of its container."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipper.kubernetes_config import FieldsConfig, PatternsConfig
from shipper.pipeline.dockerd import DockerContainer
from shipper.pipeline.enrich import MOST_BYTES, Known, pick, suffix_of
from shipper.pipeline.names import Names
from shipper.pipeline.pod import Container, Namespace, Pod, namespace_of, pod_of
from tests.pipeline.pods import ID, OLD_ID, UID, WEB, broken_pods

NAMES = Names(ID, "web-0", "shop", "web", UID, "3")
POD = pod_of(WEB)
SHOP = Namespace("n1", "shop", {"env": "prod"}, {"owner": "blue"})
ALL = FieldsConfig.model_validate(
    {
        "ownerrefs": True,
        "annotations": {"include": ["*"]},
        "namespace_annotations": {"include": ["*"]},
    }
)
EVERYTHING = PatternsConfig()
KEYS = st.text("ab._/", max_size=6)


def ends(
    names: Names | None = NAMES,
    *,
    settings: FieldsConfig | None = None,
    pod: Pod | None = None,
    namespace: Namespace | None = None,
    docker: DockerContainer | None = None,
    pending: bool = False,
) -> dict[str, Any]:
    """What a document ends with, as a reader sees it."""
    known = Known(pod, namespace, docker, pending=pending)
    suffix = suffix_of(names, "t", fields={}, known=known, settings=settings)
    assert suffix.startswith(b",")
    assert suffix.endswith(b"}\n")
    document: dict[str, Any] = json.loads(b"{" + suffix[1:])
    return document


# -- without an API


def test_a_document_ends_in_what_the_path_says() -> None:
    """The suffix has container, pod, tag and the static fields, in the order of the documents."""
    names = Names(ID, "web-0", "shop", "web")
    suffix = suffix_of(names, "kubernetes.x", fields={"cluster": "north", "site": {"n": 1}})
    document = json.loads(b'{"log":"a"' + suffix, object_pairs_hook=list)
    assert suffix.endswith(b"}\n")
    assert document == [
        ("log", "a"),
        ("docker", [("container_id", ID)]),
        (
            "kubernetes",
            [("container_name", "web"), ("namespace_name", "shop"), ("pod_name", "web-0")],
        ),
        ("tag", "kubernetes.x"),
        ("cluster", "north"),
        ("site", [("n", 1)]),
    ]


def test_a_host_file_has_a_tag_only() -> None:
    """A file without names adds neither docker nor kubernetes."""
    assert suffix_of(None, "t", fields={}) == b',"tag":"t"}\n'


def test_dockers_own_file_says_the_container_only() -> None:
    """The file that docker itself writes has the container's id and no pod."""
    assert ends(Names(ID)) == {"docker": {"container_id": ID}, "tag": "t"}


def test_an_unknown_pod_is_pending() -> None:
    """A document whose pod is not known has the names of its path, and says so."""
    assert ends(pending=True)["kubernetes"] == {
        "container_name": "web",
        "namespace_name": "shop",
        "pod_name": "web-0",
        "pod_id": UID,
        "metadata": "pending",
    }


def test_a_container_of_docker_says_who_it_is() -> None:
    """Without a cluster a document has the container's name, image, labels and compose project."""
    labels = {
        "com.docker.compose.project": "shop",
        "com.docker.compose.service": "web",
        "com.docker.compose.config-hash": "x",
        "tier.name": "front",
    }
    docker = DockerContainer("shop-web-1", "web:2", "sha256:1", labels)
    assert ends(Names(ID), docker=docker)["docker"] == {
        "container_id": ID,
        "container_name": "shop-web-1",
        "container_image": "web:2",
        "container_image_id": "sha256:1",
        "compose_project": "shop",
        "compose_service": "web",
        "labels": {"tier_name": "front"},
    }


def test_a_pods_container_is_not_described_twice() -> None:
    """What docker says of a container is left out where Kubernetes says it."""
    docker = DockerContainer("k8s_web_web-0", "web:2", "sha256:1", {"a": "b"})
    assert ends(docker=docker)["docker"] == {"container_id": ID}


# -- with an API


def test_a_document_says_all_that_is_known_of_its_pod() -> None:
    """Each group of fields is there, under Fluentd's names, dots in keys replaced."""
    assert ends(pod=POD, namespace=SHOP, settings=ALL) == {
        "docker": {"container_id": ID},
        "kubernetes": {
            "container_name": "web",
            "namespace_name": "shop",
            "pod_name": "web-0",
            "pod_id": UID,
            "pod_ip": "10.0.0.7",
            "host": "node-1",
            "labels": {"app": "web", "app_kubernetes_io/name": "web"},
            "annotations": {"prometheus_io/scrape": "true", "team": "blue"},
            "ownerrefs": [{"kind": "StatefulSet", "name": "web"}],
            "container_image": "docker.io/library/web:2",
            "container_image_id": "docker.io/library/web@sha256:1",
            "namespace_id": "n1",
            "namespace_labels": {"env": "prod"},
            "namespace_annotations": {"owner": "blue"},
        },
        "tag": "t",
    }


def test_annotations_and_owners_are_left_out_unless_asked_for() -> None:
    """The default is what the design's document shows."""
    about = ends(pod=POD, namespace=SHOP)["kubernetes"]
    assert not about.keys() & {"annotations", "ownerrefs", "namespace_annotations", "metadata"}


@pytest.mark.parametrize(
    "group",
    [
        *("pod_id", "pod_ip", "host", "container_image", "container_image_id", "namespace_id"),
        *("ownerrefs", "labels", "annotations", "namespace_labels", "namespace_annotations"),
    ],
)
def test_each_group_can_be_switched_off(group: str) -> None:
    """A group that is switched off is missing, and all others are there."""
    off = False if isinstance(getattr(ALL, group), bool) else PatternsConfig(include=[])
    fewer = ALL.model_copy(update={group: off})
    every = ends(pod=POD, namespace=SHOP, settings=ALL)["kubernetes"]
    del every[group]
    assert ends(pod=POD, namespace=SHOP, settings=fewer)["kubernetes"] == every


@pytest.mark.parametrize(
    ("names", "name", "image"),
    [
        (Names(ID), "web", "docker.io/library/web:2"),
        (Names(OLD_ID), "web", "docker.io/library/web:2"),
        (Names("1" * 64), "init", "init:1"),
        (Names("", "web-0", "shop", "init"), "init", "init:1"),
        (Names("", "web-0", "shop", "debug"), "debug", "debug:1"),
    ],
)
def test_every_kind_of_container_has_its_image(names: Names, name: str, image: str) -> None:
    """Init and ephemeral containers, and one by its id alone, get their own name and image."""
    about = ends(names, pod=POD)["kubernetes"]
    assert (about["container_name"], about["container_image"]) == (name, image)


@pytest.mark.parametrize(("restart", "id_"), [("3", ID), ("2", OLD_ID), ("1", None), ("4", None)])
def test_a_file_of_the_pods_directory_has_its_own_containers_id(
    restart: str, id_: str | None
) -> None:
    """The id is that of the run whose number the file has; where it is not known, none is given."""
    names = Names("", "web-0", "shop", "web", UID, restart)
    assert ends(names, pod=POD).get("docker", {}).get("container_id") == id_


def test_a_static_pod_has_the_uid_of_the_api() -> None:
    """What a static pod's directory has for a uid is given neither before nor after it is known."""
    names = Names(ID, "etcd-a", "kube-system", "etcd", "e276ee5c0123456789abcdef01234567", "0")
    assert "pod_id" not in ends(names, pending=True)["kubernetes"]
    assert ends(names, pod=Pod(UID, "etcd-a", "kube-system"))["kubernetes"]["pod_id"] == UID


@given(broken_pods(), broken_pods())
def test_whatever_is_known_makes_a_document(pod: Any, namespace: Any) -> None:  # noqa: ANN401
    """Any pod and namespace that the API sends end a document in valid JSON with the path's tag."""
    made = ends(pod=pod_of(pod), namespace=namespace_of(namespace), settings=ALL)
    assert made["tag"] == "t"
    assert made["docker"] == {"container_id": ID}


# -- labels


@given(st.dictionaries(KEYS, st.text(max_size=3), max_size=12), st.randoms())
def test_keys_without_dots_are_the_same_in_any_order(labels: dict[str, str], rng: Any) -> None:  # noqa: ANN401  # random.Random
    """Dots are replaced, no key is there twice or empty, and the order of labels is all one."""
    picked, is_all = pick(labels, EVERYTHING, dedot=True)
    shuffled = list(labels.items())
    rng.shuffle(shuffled)
    assert pick(dict(shuffled), EVERYTHING, dedot=True) == (picked, is_all)
    assert list(picked) == sorted(picked)
    assert picked.keys() == {key.replace(".", "_") for key in labels if key.strip()}
    for key, text in picked.items():
        assert text in {labels[k] for k in labels if k.replace(".", "_") == key}
        assert key not in labels or text == labels[key]


def test_of_keys_that_become_the_same_the_unchanged_one_is_taken() -> None:
    """`a_b` is not replaced by what `a.b` says, and `app` stands beside `app.x`."""
    labels = {"a.b": "1", "a_b": "2", "app": "3", "app.x": "4", "c.d_e": "5", "c_d.e": "6"}
    assert pick(labels, EVERYTHING, dedot=True)[0] == {
        "a_b": "2",
        "app": "3",
        "app_x": "4",
        "c_d_e": "5",
    }


def test_dots_stay_if_they_should() -> None:
    """Without `dedot` keys are as Kubernetes has them."""
    assert pick({"a.b": "1"}, EVERYTHING, dedot=False) == ({"a.b": "1"}, True)


@pytest.mark.parametrize(
    ("include", "exclude", "keys"),
    [
        (["*"], [], ["app", "app_io/name", "team"]),
        (["app*"], [], ["app", "app_io/name"]),
        (["*"], ["app.io/*"], ["app", "team"]),
        ([], [], []),
        (["team", "app"], ["*"], []),
        (["APP"], [], []),
    ],
)
def test_patterns_choose_the_keys(include: list[str], exclude: list[str], keys: list[str]) -> None:
    """A key is taken if one of `include` matches it as it was, case and all, and no `exclude`."""
    labels = {"app": "1", "app.io/name": "2", "team": "3"}
    patterns = PatternsConfig(include=include, exclude=exclude)
    assert list(pick(labels, patterns, dedot=True)[0]) == keys


def test_a_pod_cannot_make_documents_of_any_size() -> None:
    """Labels beyond a bound are left out, the first ones are kept, and the document says so."""
    labels = {f"k{i:04d}": "v" * 1000 for i in range(1000)}
    about = ends(pod=Pod(UID, "web-0", "shop", labels=labels))["kubernetes"]
    assert about["metadata"] == "incomplete"
    assert list(about["labels"]) == [f"k{i:04d}" for i in range(MOST_BYTES // 1005)]


def test_a_key_that_elasticsearch_cannot_index_is_left_out() -> None:
    """One of more than a kilobyte, as Docker allows it, does not take its document along."""
    assert pick({"k" * 1025: "v", "a": "b"}, EVERYTHING, dedot=True) == ({"a": "b"}, False)


def test_the_container_that_is_unknown_has_no_image() -> None:
    """A pod that does not know a container says nothing of its image, and all else."""
    pod = Pod(UID, "web-0", "shop", node="n", containers={"other": Container(image="x")})
    about = ends(pod=pod)["kubernetes"]
    assert about["host"] == "n"
    assert "container_image" not in about
