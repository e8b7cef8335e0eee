"""A file's path names its pod and container, and its tag is Fluentd's."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipper.pipeline.enrich import CONTAINER_TAG, PATH_TAG, Names, names_of, suffix_of, tag_of

ID = "0123456789abcdef" * 4
LABELS = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,20}[a-z0-9])?", fullmatch=True)
PODS = st.lists(LABELS, min_size=1, max_size=3).map(".".join)
IDS = st.text("0123456789abcdef", min_size=64, max_size=64)


@given(PODS, LABELS, LABELS, IDS)
def test_names_come_back_from_the_path(pod: str, namespace: str, container: str, id_: str) -> None:
    """Every name that Kubernetes allows is read from the link that the kubelet makes of it."""
    path = f"/var/log/containers/{pod}_{namespace}_{container}-{id_}.log"
    assert names_of(path) == Names(id_, pod, namespace, container)


def test_dockers_own_file_names_the_container_only() -> None:
    """The file that docker itself writes has the container's id and no pod."""
    path = f"/var/lib/docker/containers/{ID}/{ID}-json.log"
    assert names_of(path) == Names(ID)
    assert json.loads(b"{" + suffix_of(Names(ID), "t", fields={})[1:]) == {
        "docker": {"container_id": ID},
        "tag": "t",
    }


@pytest.mark.parametrize(
    "name",
    [
        *("kubelet.log", "", f"{ID}.log", f"web_shop_web-{ID[1:]}.log", f"web_shop_web-{ID}.log.1"),
        *(f"Web_shop_web-{ID}.log", f"web_shop-{ID}.log", f"web_shop_web-{ID.upper()}.log"),
    ],
)
def test_other_files_have_no_names(name: str) -> None:
    """A path that is not exactly a container's has no names."""
    assert names_of(f"/var/log/containers/{name}") is None


@pytest.mark.parametrize(
    ("path", "pattern", "tag"),
    [
        (f"/var/log/a_b_c-{ID}.log", CONTAINER_TAG, f"kubernetes.var.log.a_b_c-{ID}.log"),
        ("/var/log/kubelet.log", PATH_TAG, "var.log.kubelet.log"),
        ("//srv//..app/x..log", "*", "srv.app.x.log"),
        ("/var/log/kubelet.log", "kubelet", "kubelet"),
        ("/a/b*.log", "x.*.y.*", "x.a.b*.log.y.*"),
    ],
)
def test_the_tag_is_fluentds(path: str, pattern: str, tag: str) -> None:
    """Slashes become dots, runs of dots one, and the result stands for the pattern's star."""
    assert tag_of(path, pattern) == tag


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
