"""Where the API is and how to log in: found where it is configured, and read anew."""

import asyncio
from pathlib import Path

import pytest

from shipper.kube.access import AccessReader, is_configured
from shipper.kubernetes_config import KubernetesConfig
from tests.fakes.certificates import Authority
from tests.fakes.kubernetes import FakeKubernetes, refuse
from tests.kube.attempts import attempt


def test_plain_url_needs_nothing_else() -> None:
    """An insecure port, or a `kubectl proxy`, is asked without credentials."""
    told = attempt()
    assert told.concern == ""
    assert told.api.asked[0].authorization == ""


def test_pod_finds_its_api_in_the_environment(authority: Authority, token_file: Path) -> None:
    """In a cluster, the environment says where the API is."""
    told = attempt(
        tls=authority.server_context(),
        environ=lambda api: {
            "KUBERNETES_SERVICE_HOST": "127.0.0.1",
            "KUBERNETES_SERVICE_PORT": api.url.rpartition(":")[2],
        },
        token_file=token_file,
        ca_file=authority.ca_file,
    )
    assert told.concern == ""
    assert told.api.asked[0].authorization == "Bearer first"


def test_api_is_asked_where_there_is_one() -> None:
    """By default the API is asked if one is named, or if this is a pod."""
    inside = {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}
    assert not is_configured(KubernetesConfig(), {})
    assert is_configured(KubernetesConfig(), inside)
    assert is_configured(KubernetesConfig(url="http://127.0.0.1:8001"), {})
    assert is_configured(KubernetesConfig(kubeconfig=Path("/k")), {})
    assert not is_configured(KubernetesConfig(enabled=False), inside)
    assert is_configured(KubernetesConfig(enabled=True), {})


def test_api_that_is_nowhere_is_a_trouble_not_an_end() -> None:
    """`enabled: true` outside of a cluster, with no API named, says so and goes on."""
    told = attempt(environ=lambda _: {"HOME": "/"}, enabled=True)
    assert "KUBERNETES_SERVICE_HOST" in told.concern
    assert "kubernetes.url" in told.concern


def test_service_account_is_used_unasked_only_where_it_stays_secret(tmp_path: Path) -> None:
    """The token that kubelet has mounted goes to an https URL, and to no other."""
    (tmp_path / "token").write_text("mounted")
    (tmp_path / "ca.crt").write_text("the cluster's")

    def login(url: str) -> str:
        reader = AccessReader(KubernetesConfig(url=url), {}, service_account=tmp_path)
        return asyncio.run(reader.read()).authorization

    assert login("https://127.0.0.1:1") == "Bearer mounted"
    assert login("http://127.0.0.1:1") == ""


def test_token_is_read_again_for_each_request(tmp_path: Path) -> None:
    """A token that was renewed, by a swapped link as kubelet does it, counts from then on."""
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "token").write_text(name)
    data, path = tmp_path / "..data", tmp_path / "token"
    data.symlink_to("first")
    path.symlink_to("..data/token")

    def renew(_: FakeKubernetes) -> None:
        (tmp_path / "..new").symlink_to("second")
        (tmp_path / "..new").rename(data)

    api = FakeKubernetes(script=[refuse(401, "Unauthorized")])
    told = attempt(api, token_file=path, mend=renew)
    assert str(path) in told.concern
    assert told.api.asked[0].authorization == "Bearer first"
    assert told.api.asked[-1].authorization == "Bearer second"


def test_missing_token_file_is_named(tmp_path: Path) -> None:
    """A file that is not there is named; it is found as soon as it is there."""
    path = tmp_path / "token"
    told = attempt(token_file=path, mend=lambda _: path.write_text("now"))
    assert f"{path}: the token cannot be read: No such file" in told.concern
    assert told.api.asked[-1].authorization == "Bearer now"


def test_pod_without_service_account_is_told_what_to_do() -> None:
    """In a pod that has no token mounted, the pod's own settings are the remedy."""
    inside = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": "1"}
    told = attempt(environ=lambda _: inside)
    assert told.concern.startswith("https://127.0.0.1:1: /var/run/secrets/kubernetes.io/")
    assert "serviceAccountName" in told.concern


@pytest.mark.parametrize("content", ["", "\n", "two\nlines", "t\u00f6ken"])
def test_token_file_that_holds_none_is_named(token_file: Path, content: str) -> None:
    """What is no token is not sent, and not quoted."""
    token_file.write_text(content)
    assert f"{token_file}: must hold a token" in attempt(token_file=token_file).concern


@pytest.mark.parametrize("host", ["a..b", "two words", "a" * 80])
def test_environment_that_names_no_host_ends_nothing(host: str, token_file: Path) -> None:
    """What no request can be made of is a trouble that names the variables."""
    inside = {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": "443"}
    told = attempt(environ=lambda _: inside, token_file=token_file)
    assert told.concern.startswith("KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT: must be")
