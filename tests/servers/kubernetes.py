"""A real kube-apiserver with its etcd on loopback: RBAC, TLS of its own authority, an audit log.

Theory of operation: a run has a folder of its own under /tmp, which is taken away at its end. There
is no kubelet and no controller: pods are objects that a test writes, as kubelet would, with the
name of a node and a status. Whoever tests asks as `system:masters`; the agent's service account may
do what a test grants it.
"""

import json
import signal
import ssl
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.client import HTTPException, HTTPSConnection
from pathlib import Path
from typing import Any, Self

from tests.servers import kubernetes_binaries
from tests.servers.guard import sweep
from tests.servers.kubernetes_pki import ISSUER, Pki
from tests.servers.process import Process, ServerError, free_port, last_lines, wait_until

START_SECONDS = 90.0
"""3 s on four idle cores. Less than a test has: what the server said is worth more than a stack."""
STOP_SECONDS = 3.0
"""With a watch open it would take a minute to end in good order."""
REQUEST_SECONDS = 30.0
NAMES = "IP:127.0.0.1,DNS:kubernetes.default.svc"
ACCOUNT_NAMESPACE, ACCOUNT = "logging", "shipper"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
RULES = [
    {"apiGroups": [""], "resources": ["pods"], "verbs": ["list", "watch"]},
    {"apiGroups": [""], "resources": ["namespaces"], "verbs": ["get"]},
]
AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [{"level": "Metadata"}],
}


@dataclass(slots=True)
class KubernetesApi:
    """A server; as a context manager it is stopped at the end and its folder removed."""

    folder: Path
    port: int
    _etcd_port: int
    _etcd: Process | None = field(default=None, init=False)
    _server: Process | None = field(default=None, init=False)
    _answer: str = field(default="", init=False)

    @classmethod
    def start(cls) -> Self:
        """A server that answers, with an account for the agent that may list and watch pods.

        Raises:
            ServerError: it did not start; the text ends with the last lines of its log.
        """
        kubernetes_binaries.fetch()
        folder = Path(tempfile.mkdtemp(prefix="shipper-kubernetes-"))
        api = cls(folder, free_port(), free_port())
        try:
            api.pki.make(NAMES)
            (folder / "audit.json").write_text(json.dumps(AUDIT_POLICY), encoding="ascii")
            api._etcd = Process.start(api._etcd_command(), log=folder / "etcd.log", env={})
            api.restart()
            api._make_account()
        except BaseException:
            api.close()
            raise
        return api

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"https://127.0.0.1:{self.port}"

    @property
    def pki(self) -> Pki:
        """Its certificates and keys."""
        return Pki(self.folder / "pki")

    @property
    def pids(self) -> list[int]:
        """Of what runs."""
        return [each.launcher.pid for each in (self._etcd, self._server) if each]

    # -- its life

    def kill(self) -> None:
        """Ends it as the OOM killer would; `restart` brings it back with its data."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Stops it if it runs, and starts it on the same port with the same data.

        Raises:
            ServerError: as in `start`.
        """
        self._end(signal.SIGTERM)
        log = self.folder / "server.log"
        self._server, self._answer = Process.start(self._server_command(), log=log, env={}), ""
        try:
            wait_until(self._ready, seconds=START_SECONDS, what="kube-apiserver")
        except ServerError as error:
            said = last_lines(log.read_text(encoding="utf-8", errors="replace"))
            why = f"{error}; its answer: {self._answer or 'none'}"
            raise ServerError(f"{why}; the last lines of its log:\n{said}") from error

    def close(self) -> None:
        """Stops it for good and removes its folder."""
        try:
            self._end(signal.SIGTERM)
            etcd, self._etcd = self._etcd, None
            if etcd is not None:
                etcd.end(etcd.launcher.pid, how=signal.SIGTERM, seconds=STOP_SECONDS)
        finally:
            sweep(self.folder)

    # -- what a test asks of it

    def request(
        self, method: str, path: str, body: object = None, *, kind: str = "application/json"
    ) -> dict[str, Any]:
        """The answer to a request that must succeed, made by an administrator.

        Raises:
            ServerError: it did not.
        """
        status, text = self.try_request(method, path, body, kind=kind)
        if status not in {200, 201}:
            raise ServerError(f"{method} {path}: {status} {text[:1000].decode()}")
        answer: dict[str, Any] = json.loads(text)
        return answer

    def try_request(
        self, method: str, path: str, body: object = None, *, kind: str = "application/json"
    ) -> tuple[int, bytes]:
        """One request over a connection of its own: the status and the body, whatever they are.

        Raises:
            OSError, http.client.HTTPException: no answer.
        """
        context = ssl.create_default_context(cafile=str(self.pki.ca_file))
        context.load_cert_chain(self.pki.folder / "admin.crt", self.pki.folder / "admin.key")
        connection = HTTPSConnection(
            "127.0.0.1", self.port, timeout=REQUEST_SECONDS, context=context
        )
        data = None if body is None else json.dumps(body).encode()
        try:
            connection.request(method, path, data, {"Content-Type": kind})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def make_namespace(self, name: str, *, labels: dict[str, str] | None = None) -> dict[str, Any]:
        """A namespace."""
        return self.request(
            "POST", "/api/v1/namespaces", {"metadata": {"name": name, "labels": labels or {}}}
        )

    def make_pod(self, pod: dict[str, Any]) -> dict[str, Any]:
        """A pod with the status that its description has; returns it as the server has it."""
        path = f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods"
        given = ("name", "labels", "annotations", "ownerReferences")
        metadata = {key: pod["metadata"][key] for key in given if key in pod["metadata"]}
        made = self.request("POST", path, {"metadata": metadata, "spec": pod["spec"]})
        if status := pod.get("status"):
            name = f"{path}/{pod['metadata']['name']}"
            made = self.patch(f"{name}/status", {"status": status})
        return made

    def patch(self, path: str, change: dict[str, Any]) -> dict[str, Any]:
        """An object, changed by merging."""
        return self.request("PATCH", path, change, kind="application/merge-patch+json")

    def delete_pod(self, namespace: str, name: str) -> None:
        """Delete a pod at once, as kubelet does when it has ended."""
        path = f"/api/v1/namespaces/{namespace}/pods/{name}?gracePeriodSeconds=0"
        self.request("DELETE", path)

    # -- the agent's account

    def grant(self, *, rules: list[dict[str, Any]] | None = None) -> None:
        """Let the agent's account do what the agent needs, or what these rules say."""
        role = {"metadata": {"name": ACCOUNT}, "rules": RULES if rules is None else rules}
        binding = {
            "metadata": {"name": ACCOUNT},
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io",
                "kind": "ClusterRole",
                "name": ACCOUNT,
            },
            "subjects": [
                {"kind": "ServiceAccount", "name": ACCOUNT, "namespace": ACCOUNT_NAMESPACE}
            ],
        }
        self.revoke()
        self.request("POST", f"{RBAC}/clusterroles", role)
        self.request("POST", f"{RBAC}/clusterrolebindings", binding)

    def revoke(self) -> None:
        """Take from the agent's account all that it was granted."""
        for what in ("clusterrolebindings", "clusterroles"):
            self.try_request("DELETE", f"{RBAC}/{what}/{ACCOUNT}")

    def token(self, *, seconds: float = 3_600.0) -> str:
        """A token of the agent's account."""
        path = f"/api/v1/namespaces/{ACCOUNT_NAMESPACE}/serviceaccounts/{ACCOUNT}"
        uid = self.request("GET", path)["metadata"]["uid"]
        return self.pki.token(ACCOUNT_NAMESPACE, ACCOUNT, uid=uid, seconds=seconds)

    def write_kubeconfig(self) -> Path:
        """A kubeconfig of the administrator."""
        folder = self.pki.folder
        user = {"client-certificate": "pki/admin.crt", "client-key": "pki/admin.key"}
        cluster = {"server": self.url, "certificate-authority": str(folder / "ca.crt")}
        tree = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": "admin", "user": user}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "admin"}}],
            "current-context": "test",
        }
        path = self.folder / "kubeconfig"
        path.write_text(json.dumps(tree), encoding="ascii")  # JSON is YAML
        return path

    def asked(
        self, account: str = f"system:serviceaccount:{ACCOUNT_NAMESPACE}:{ACCOUNT}"
    ) -> Iterator[dict[str, Any]]:
        """What was asked of it by an account so far, as its audit log has it."""
        with (self.folder / "audit.log").open(encoding="utf-8") as log:
            for line in log:
                event: dict[str, Any] = json.loads(line)
                if event["user"].get("username") == account:
                    yield event

    # -- how it runs

    def _make_account(self) -> None:
        self.make_namespace(ACCOUNT_NAMESPACE)
        path = f"/api/v1/namespaces/{ACCOUNT_NAMESPACE}/serviceaccounts"
        self.request("POST", path, {"metadata": {"name": ACCOUNT}})
        self.grant()

    def _etcd_command(self) -> list[str]:
        clients, peers = (f"http://127.0.0.1:{port}" for port in (self._etcd_port, free_port()))
        return [
            str(kubernetes_binaries.fetch() / "etcd"),
            *("--name", "test", "--data-dir", str(self.folder / "etcd"), "--unsafe-no-fsync"),
            *("--listen-client-urls", clients, "--advertise-client-urls", clients),
            *("--listen-peer-urls", peers, "--initial-advertise-peer-urls", peers),
            *("--initial-cluster", f"test={peers}", "--log-level", "warn"),
        ]

    def _server_command(self) -> list[str]:
        pki = self.pki.folder
        return [
            str(kubernetes_binaries.fetch() / "kube-apiserver"),
            f"--etcd-servers=http://127.0.0.1:{self._etcd_port}",
            *("--bind-address=127.0.0.1", f"--secure-port={self.port}"),
            # Only written down; it may not be one of loopback.
            *("--advertise-address=192.0.2.1", "--endpoint-reconciler-type=none"),
            *(f"--tls-cert-file={pki}/server.crt", f"--tls-private-key-file={pki}/server.key"),
            f"--client-ca-file={pki}/ca.crt",
            f"--service-account-issuer={ISSUER}",
            f"--service-account-key-file={pki}/sa.pub",
            f"--service-account-signing-key-file={pki}/sa.key",
            *("--authorization-mode=RBAC", "--service-cluster-ip-range=10.96.0.0/16"),
            # Nothing makes the accounts here that it would ask for.
            *("--disable-admission-plugins=ServiceAccount", "--profiling=false"),
            f"--audit-policy-file={self.folder}/audit.json",
            f"--audit-log-path={self.folder}/audit.log",
            f"--cert-dir={self.folder}/certs",
        ]

    def _ready(self) -> bool:
        if self._server is None or not self._server.running():
            raise ServerError("kube-apiserver did not start")
        try:
            status, text = self.try_request("GET", "/readyz")
        except ssl.SSLCertVerificationError as error:  # no wait would mend that
            raise ServerError(f"kube-apiserver is not trusted: {error}") from error
        except (OSError, HTTPException) as error:
            self._answer = str(error)
            return False
        self._answer = f"{status} {text[:1000].decode(errors='replace')}"
        return status == 200

    def _end(self, how: signal.Signals) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.end(server.launcher.pid, how=how, seconds=STOP_SECONDS)
