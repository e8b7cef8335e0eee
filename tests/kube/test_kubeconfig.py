"""Kubeconfigs: read as kubectl reads them, in a process of their own."""

import base64
import json
import ssl
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.fakes.certificates import Authority
from tests.fakes.kubernetes import FakeKubernetes, refuse
from tests.kube.attempts import attempt


def test_kubeconfig_is_read_as_kubectl_does(
    authority: Authority, tmp_path: Path, token_file: Path
) -> None:
    """Contexts, data in place and a token's file beside the kubeconfig are understood."""
    ca = base64.b64encode(authority.ca_file.read_bytes()).decode()
    other = {"cluster": "none", "user": "none"}

    def write(api: FakeKubernetes) -> Mapping[str, str]:
        tree = {
            "clusters": [
                {"name": "c", "cluster": {"server": api.url, "certificate-authority-data": ca}}
            ],
            "users": [{"name": "u", "user": {"tokenFile": token_file.name}}],
            "contexts": [
                {"name": "chosen", "context": {"cluster": "c", "user": "u"}},
                {"name": "other", "context": other},
            ],
            "current-context": "other",
        }
        (tmp_path / "kubeconfig").write_text(json.dumps(tree))
        return {}

    told = attempt(
        tls=authority.server_context(),
        environ=write,
        kubeconfig=tmp_path / "kubeconfig",
        context="chosen",
    )
    assert told.concern == ""
    assert told.api.asked[0].authorization == "Bearer first"


def test_files_of_a_kubeconfig_are_read_again(authority: Authority, tmp_path: Path) -> None:
    """Files that a kubeconfig names beside it are read for each try, as they are then."""
    ca_file = tmp_path / "ca.crt"
    ca_file.write_text("nothing yet")
    (tmp_path / "pki").symlink_to(authority.folder)
    files = {"client-certificate": "pki/server.pem", "client-key": "pki/server.key"}
    context = authority.server_context()
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(authority.ca_file)

    def write(api: FakeKubernetes) -> Mapping[str, str]:
        cluster = {"server": api.url, "certificate-authority": "ca.crt"}
        tree = {
            "clusters": [{"name": "c", "cluster": cluster}],
            "users": [{"name": "u", "user": files}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "x",
        }
        (tmp_path / "kubeconfig").write_text(json.dumps(tree))
        return {}

    told = attempt(
        tls=context,
        environ=write,
        kubeconfig=tmp_path / "kubeconfig",
        mend=lambda _: ca_file.write_bytes(authority.ca_file.read_bytes()),
    )
    assert str(ca_file) in told.concern


def test_plugin_of_a_kubeconfig_logs_in_again_after_401(tmp_path: Path) -> None:
    """A token that a plugin brings is asked for anew when it is not taken any more."""
    count = tmp_path / "count"
    script = f"echo x >> {count}; n=$(wc -l < {count})"
    version = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential"}
    credential = json.dumps({**version, "status": {"token": "NUMBER"}})
    script += f"; echo '{credential}' | sed s/NUMBER/$n/"
    plugin = {**version, "command": "sh", "args": ["-c", script]}

    def write(api: FakeKubernetes) -> Mapping[str, str]:
        tree = {
            "clusters": [{"name": "c", "cluster": {"server": api.url}}],
            "users": [{"name": "u", "user": {"exec": plugin}}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "x",
        }
        (tmp_path / "kubeconfig").write_text(json.dumps(tree))
        return {}

    told = attempt(
        FakeKubernetes(script=[refuse(401, "Unauthorized")]),
        environ=write,
        kubeconfig=tmp_path / "kubeconfig",
        mend=lambda _: None,
    )
    assert [each.authorization for each in told.api.asked[:2]] == ["Bearer 1", "Bearer 2"]


def test_library_of_kubeconfigs_stays_out_of_the_agent() -> None:
    """kubernetes_asyncio's 76 MB are in no agent's memory, and its import in no agent's start."""
    loads = "import shipper.kube.metadata, sys; sys.exit('kubernetes_asyncio' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", loads], check=False).returncode == 0
    loads = "import shipper.app, sys; sys.exit('aiohttp' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", loads], check=False).returncode == 0


def test_broken_kubeconfig_is_named(tmp_path: Path) -> None:
    """What is wrong with a kubeconfig is said with its name, without a traceback."""
    path = tmp_path / "kubeconfig"
    path.write_text("{}")
    told = attempt(environ=lambda _: {}, kubeconfig=path)
    assert str(path) in told.concern
    assert "kubectl" in told.concern
    assert "Traceback" not in told.concern


@pytest.mark.parametrize(
    ("cluster", "said"),
    [
        ({"server": "127.0.0.1:6443"}, "has no scheme: write http:// or https://"),
        ({"server": "https://me:secret@127.0.0.1:6443"}, "without credentials"),
        ({"server": "https://127.0.0.1:PORT", "tls-server-name": "a..b"}, "tls-server-name"),
        ({"server": "https://127.0.0.1:1", "proxy-url": "::::"}, "proxy-url"),
        ({"server": "https://127.0.0.1:1", "proxy-url": "http://me:secret/x@h:1"}, "proxy-url"),
        (
            {"server": "https://127.0.0.1:1", "proxy-url": "http://me:secret@127.0.0.1:PORT"},
            "the proxy answered 404",
        ),
    ],
)
def test_names_that_no_request_can_be_made_of_end_nothing(
    tmp_path: Path, cluster: Mapping[str, str], said: str
) -> None:
    """What a kubeconfig names is checked as what the configuration names, and no secret quoted."""
    path = tmp_path / "kubeconfig"
    tree = {
        "clusters": [{"name": "c", "cluster": cluster}],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }

    def write(api: FakeKubernetes) -> Mapping[str, str]:
        path.write_text(json.dumps(tree).replace("PORT", api.url.rpartition(":")[2]))
        return {}

    told = attempt(environ=write, kubeconfig=path)
    assert said in told.concern
    assert "secret" not in told.concern


def test_process_that_cannot_be_started_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a kubeconfig cannot be read for want of a process, that is a trouble."""
    path = tmp_path / "kubeconfig"
    path.write_text("{}")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    assert "cannot be had here" in attempt(kubeconfig=path).concern
