"""A file's path names its pod and container, and its tag is Fluentd's."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipper.pipeline.names import CONTAINER_TAG, PATH_TAG, Names, names_of, tag_of

ID = "0123456789abcdef" * 4
UID = "71021f38-0d3c-4ae5-8b07-7f1e50f1a111"
HASH = "e276ee5c0123456789abcdef01234567"
LABELS = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,20}[a-z0-9])?", fullmatch=True)
PODS = st.lists(LABELS, min_size=1, max_size=3).map(".".join)
IDS = st.text("0123456789abcdef", min_size=64, max_size=64)


@given(PODS, LABELS, LABELS, IDS)
def test_names_come_back_from_the_link(pod: str, namespace: str, container: str, id_: str) -> None:
    """Every name that Kubernetes allows is read from the link that the kubelet makes of it."""
    path = f"/var/log/containers/{pod}_{namespace}_{container}-{id_}.log"
    assert names_of(path) == Names(id_, pod, namespace, container)


@given(PODS, LABELS, LABELS, st.uuids().map(str), st.integers(0, 10**6))
def test_names_come_back_from_the_pods_directory(
    pod: str, namespace: str, container: str, uid: str, restart: int
) -> None:
    """Every name is read from the directory that the kubelet makes for a pod, and its uid, too."""
    path = f"/var/log/pods/{namespace}_{pod}_{uid}/{container}/{restart}.log"
    assert names_of(path) == Names("", pod, namespace, container, uid, str(restart))


@pytest.mark.parametrize(
    ("path", "names"),
    [
        (f"/var/log/pods/{UID}/web/3.log", Names("", "", "", "web", UID, "3")),
        (f"/var/log/pods/{UID}/web_3.log", Names("", "", "", "web", UID, "3")),
        (
            f"/var/log/pods/kube-system_etcd-a_{HASH}/etcd/0.log",
            Names("", "etcd-a", "kube-system", "etcd", HASH, "0"),
        ),
        (f"/var/lib/docker/containers/{ID}/{ID}-json.log", Names(ID)),
        (f"/host/var/log/pods/a_b_{UID}/c/0.log", Names("", "b", "a", "c", UID, "0")),
    ],
)
def test_every_kind_of_path_is_read(path: str, names: Names) -> None:
    """Directories of older kubelets and of static pods, and docker's own, say what they can."""
    assert names_of(path) == names


def test_a_static_pods_directory_does_not_say_its_uid() -> None:
    """The hash that a static pod's directory has for a uid is not taken for that of the API."""
    assert Names(pod_uid=UID).api_uid == UID
    assert not Names(pod_uid=HASH).api_uid


@pytest.mark.parametrize(
    "name",
    [
        *("kubelet.log", "", f"{ID}.log", f"web_shop_web-{ID[1:]}.log", f"web_shop_web-{ID}.log.1"),
        *(f"Web_shop_web-{ID}.log", f"web_shop-{ID}.log", f"web_shop_web-{ID.upper()}.log"),
        *(f"pods/a_b_{UID}/0.log", f"pods/a_b_{UID}/c/x.log", f"pods/a_b_c_{UID}/c/0.log"),
        *(f"pods/a_b_{UID}/c/0.log.20261123-101112", f"pods/a_b_{UID[1:]}g/c/0.log"),
    ],
)
def test_other_files_have_no_names(name: str) -> None:
    """A path that is not exactly a container's has no names."""
    assert names_of(f"/var/log/containers/{name}") is None


def test_what_one_path_does_not_say_another_does() -> None:
    """Names of a link and of what it leads to are joined, those of the link first."""
    link, target = Names(ID, "a", "b", "c"), Names("", "x", "y", "z", UID, "3")
    assert link.or_else(target) == Names(ID, "a", "b", "c", UID, "3")


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
