"""What is wrong with the API is said with what to do."""

import base64
import json
import time
from pathlib import Path

from tests.fakes.certificates import Authority
from tests.fakes.kubernetes import FakeKubernetes, refuse, say
from tests.kube.attempts import attempt
from tests.servers.process import free_port

YEAR = 365 * 86_400


def token(expires_in_secs: float) -> str:
    claims = base64.urlsafe_b64encode(json.dumps({"exp": time.time() + expires_in_secs}).encode())
    return f"e30.{claims.decode().rstrip('=')}.c2ln"


def test_unknown_token_is_named_with_its_expiry(token_file: Path) -> None:
    """A 401 names the token's file, and says when the token expired."""
    token_file.write_text(token(-YEAR))
    told = attempt(FakeKubernetes(script=[refuse(401, "Unauthorized")]), token_file=token_file)
    assert str(token_file) in told.concern
    assert "expired 20" in told.concern
    assert token_file.read_text() not in told.concern


def test_missing_right_is_named_as_the_rule_that_grants_it(token_file: Path) -> None:
    """A 403 names the user, as the server does, and the rule that is missing."""
    said = 'pods is forbidden: User "system:serviceaccount:logging:shipper" cannot list'
    told = attempt(FakeKubernetes(script=[refuse(403, said)]), token_file=token_file)
    assert said in told.concern
    assert '{apiGroups: [""], resources: ["pods"], verbs: ["list", "watch"]}' in told.concern


def test_nothing_that_logs_in_is_said() -> None:
    """Without credentials, a 401 or 403 says how to give some."""
    for code in (401, 403):
        told = attempt(FakeKubernetes(script=[refuse(code, "no")]))
        assert "kubernetes.token_file" in told.concern


def test_nobody_is_given_no_rights(token_file: Path) -> None:
    """The advice is never to bind a role to the user that stands for everybody."""
    said = 'pods is forbidden: User "system:anonymous" cannot list'
    for path in (None, token_file):
        told = attempt(FakeKubernetes(script=[refuse(403, said)]), token_file=path)
        assert "kubernetes.token_file" in told.concern
        assert "bind" not in told.concern


def test_refused_connection_is_said() -> None:
    """A port where nobody listens is named."""
    port = free_port()
    told = attempt(url=f"http://127.0.0.1:{port}")
    assert f"no connection to 127.0.0.1:{port}: Connection refused: " in told.concern


def test_unknown_name_is_said() -> None:
    """A name that DNS does not know is named, with what a pod in the host's network needs."""
    told = attempt(url="https://kubernetes.invalid:6443")
    assert "kubernetes.invalid" in told.concern
    assert "ClusterFirstWithHostNet" in told.concern


def test_wrong_scheme_is_said_both_ways(authority: Authority) -> None:
    """TLS where there is none, and none where there is, each say how the URL begins."""
    told = attempt(url="https://127.0.0.1:PORT")
    assert "begins with http://" in told.concern
    assert "SSLContext" not in told.concern
    told = attempt(tls=authority.server_context(), url="http://127.0.0.1:PORT")
    assert "begins with https://" in told.concern


def test_other_server_is_not_taken_for_kubernetes() -> None:
    """A page that is not there, a redirect, or a web page is said to be none of the API's."""
    assert "is this the API" in attempt(FakeKubernetes(script=[refuse(404, "?")])).concern
    assert (
        "answered 302"
        in attempt(
            FakeKubernetes(script=[refuse(302, "?", headers={"Location": "/login"})])
        ).concern
    )
    told = attempt(FakeKubernetes(script=[say(b"<html>")]))
    assert told.concern.startswith(f"{told.api.url}: it sent something that is no list of pods")
