"""The way to a real kube-apiserver fails in every way, at start and later: shipping goes on."""

import json
import re
import secrets
import shutil
import socket
import ssl
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from shipper.buffer.schema import read_only
from tests.e2e.agent import Agent, Setup, configure, running
from tests.fakes.elasticsearch import FakeElasticsearch
from tests.fakes.pipe import Pipe
from tests.servers.kubernetes import NAMES, RULES, KubernetesApi

NODE = "test-node"
NAMESPACE = "faults"
FIRST_DOCUMENT_SECS = 3.0
"""From the start of the process, or from the writing of the line, to its document; without the time
for which other programs keep the processors from it."""
STOP_SECS = 10.0
BACK_OFF_SECS = 40.0
"""One back-off, 30 s at most, and what a busy machine adds."""
Record = Callable[[str, object], None]


@pytest.fixture(scope="module")
def api() -> Iterator[KubernetesApi]:
    """A server of its own: what is done to it no other test would like."""
    with KubernetesApi.start() as server:
        server.make_namespace(NAMESPACE, labels={"team": "a"})
        yield server


@dataclass
class Scene:
    """An agent on a node of the real API, with a pipe on the way there.

    Attributes:
        pipe: The way there.
        folder: Its tokens and CA.
        logs: Where its pods' logs are.
        pods: Those that were made.
        name_server: Takes questions and never answers.
    """

    api: KubernetesApi
    elasticsearch: FakeElasticsearch
    pipe: Pipe
    folder: Path
    setup: Setup
    pods: list[str] = field(default_factory=list)
    name_server: socket.socket | None = None
    _ids: dict[str, str] = field(default_factory=dict)

    @property
    def logs(self) -> Path:
        return self.folder / "containers"

    @property
    def token_file(self) -> Path:
        return self.folder / "token"

    @property
    def ca_file(self) -> Path:
        return self.folder / "ca.crt"

    @property
    def hosts(self) -> Path:
        return self.folder / "hosts"

    @property
    def resolv_conf(self) -> Path:
        return self.folder / "resolv.conf"

    def make_pod(self, name: str, *, annotations: dict[str, str] | None = None) -> None:
        """A pod whose container runs."""
        container_id = self._ids[name] = secrets.token_hex(32)
        self.pods.append(name)
        self.api.make_pod(
            {
                "metadata": {
                    "name": name,
                    "namespace": NAMESPACE,
                    "labels": {"app": name},
                    "annotations": annotations or {},
                },
                "spec": {"nodeName": NODE, "containers": [{"name": "main", "image": "main:1"}]},
                "status": {
                    "containerStatuses": [
                        {
                            "name": "main",
                            "image": "main:1",
                            "imageID": "sha256:1",
                            "containerID": f"containerd://{container_id}",
                            "ready": True,
                            "restartCount": 0,
                        }
                    ]
                },
            }
        )

    def write(self, pod: str) -> str:
        """A line of a pod, known by what it says."""
        text = secrets.token_hex(8)
        container_id = self._ids.setdefault(pod, secrets.token_hex(32))
        line = {"log": f"{text}\n", "stream": "stdout", "time": "2026-11-23T10:11:12.123456789Z"}
        path = self.logs / f"{pod}_{NAMESPACE}_main-{container_id}.log"
        with path.open("a", encoding="utf-8") as log:
            log.write(json.dumps(line, separators=(",", ":")) + "\n")
        return text

    def document(self, text: str) -> dict[str, Any] | None:
        """The document of a line, when it is there."""
        for document in list(self.elasticsearch.documents.values()):
            if document["log"] == f"{text}\n":
                return document
        return None

    def soon(self, agent: Agent, pod: str, *, since: float | None = None) -> tuple[float, Any]:
        """Write a line, and return after how long its document was there, and the document.

        Args:
            agent: Reads it.
            pod: Writes it.
            since: When the agent was started, to count from there instead.
        """
        began, starved_secs = (since, 0.0) if since else (time.monotonic(), agent.starved_secs)
        text = self.write(pod)
        agent.until(lambda: self.document(text) is not None, "a document")
        secs = time.monotonic() - began - (agent.starved_secs - starved_secs)
        return secs, self.document(text)

    def check_known_goes_on(self, agent: Agent, pod: str) -> None:
        """Check that a line of a pod that is known is there soon, with its metadata."""
        secs, document = self.soon(agent, pod)
        assert document["kubernetes"]["labels"] == {"app": pod}
        assert secs < FIRST_DOCUMENT_SECS

    def until_enriched(self, agent: Agent, pod: str) -> float:
        """Write lines until one has its pod's metadata, and return how long that took."""
        began, texts = time.monotonic(), [self.write(pod)]

        def is_enriched() -> bool:
            document = self.document(texts[-1])
            if document is None:
                return False
            if "namespace_labels" in document["kubernetes"]:
                return True
            texts.append(self.write(pod))
            return False

        agent.until(is_enriched, f"metadata of {pod}", seconds=BACK_OFF_SECS)
        return time.monotonic() - began


@contextmanager
def scene(
    api: KubernetesApi,
    folder: Path,
    *,
    fake: FakeElasticsearch,
    prefix: str,
    host: str = "127.0.0.1",
    plain: bool = False,
    **settings: Any,  # noqa: ANN401  # those of the section
) -> Iterator[Scene]:
    """Set up an agent whose way to the API goes through a pipe."""
    context = ssl.create_default_context(cafile=str(api.pki.ca_file)) if plain else None
    with Pipe(api.port, context).open() as pipe:
        files = {"token_file": str(folder / "token"), "ca_file": str(folder / "ca.crt")}
        url = f"http{'' if plain else 's'}://{host}:{pipe.port}"
        setup = configure(
            folder,
            paths=[folder / "containers"],
            url=fake.url,
            prefix=prefix,
            kubernetes={"url": url, **files, **settings},
        )
        made = Scene(api, fake, pipe, folder, setup)
        made.logs.mkdir()
        made.token_file.write_text(api.token())
        shutil.copy(api.pki.ca_file, made.ca_file)
        made.hosts.write_text("127.0.0.1 localhost kubernetes.default.svc\n")
        made.resolv_conf.write_text("nameserver 127.9.9.9\noptions timeout:30\n")
        yield made
        for pod in made.pods:
            api.delete_pod(NAMESPACE, pod)


# -- faults


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong.

    Attributes:
        begin: Makes it go wrong.
        end: Makes it go right again.
        says: What /readyz has to say of it.
        reason: The metric's word for it, or for each of two.
        host: Of the URL.
    """

    begin: Callable[[Scene], None]
    end: Callable[[Scene], None]
    says: tuple[str, ...]
    reason: str
    host: str = "127.0.0.1"


def kill(scene: Scene) -> None:
    scene.api.kill()


def restart(scene: Scene) -> None:
    scene.api.restart()


def expire_token(scene: Scene) -> None:
    swap(scene.token_file, scene.api.token(seconds=-3_600))


def renew_token(scene: Scene) -> None:
    swap(scene.token_file, scene.api.token())


def swap(path: Path, content: str) -> None:
    """Replace a file as kubelet does: by a link in the middle that points elsewhere."""
    folder = path.parent / f"..{secrets.token_hex(4)}"
    folder.mkdir()
    (folder / path.name).write_text(content)
    link = path.parent / "..link"
    link.unlink(missing_ok=True)
    link.symlink_to(folder.name)
    link.replace(path.parent / "..data")
    if not path.is_symlink():
        path.unlink(missing_ok=True)
        path.symlink_to(f"..data/{path.name}")


def revoke(scene: Scene) -> None:
    scene.api.revoke()


def grant(scene: Scene) -> None:
    scene.api.grant()


def take_token(scene: Scene) -> None:
    scene.token_file.unlink()


def give_token(scene: Scene) -> None:
    scene.token_file.write_text(scene.api.token())


def replace_ca(scene: Scene) -> None:
    scene.api.pki.make_authority(NAMES)
    scene.api.restart()


def tell_ca(scene: Scene) -> None:
    shutil.copy(scene.api.pki.ca_file, scene.ca_file)


def sign_for_another(scene: Scene) -> None:
    scene.api.pki.sign("server", "/CN=kube-apiserver", names="IP:127.0.0.1,DNS:other.example")
    scene.api.restart()


def sign_again(scene: Scene) -> None:
    scene.api.pki.sign("server", "/CN=kube-apiserver", names=NAMES)
    scene.api.restart()


def forget_name(scene: Scene) -> None:
    scene.hosts.write_text("127.0.0.1 localhost\n")


def know_name(scene: Scene) -> None:
    scene.hosts.write_text("127.0.0.1 localhost kubernetes.default.svc\n")


def silence_names(scene: Scene) -> None:
    forget_name(scene)
    scene.name_server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    scene.name_server.bind(("127.9.9.9", 53))


def hear_names(scene: Scene) -> None:
    know_name(scene)
    assert scene.name_server is not None
    scene.name_server.close()


RULE = '{apiGroups: [""], resources: ["pods"], verbs: ["list", "watch"]}'
SERVICE = "kubernetes.default.svc"
FAULTS = {
    "killed": Fault(kill, restart, ("https://127.0.0.1:",), "cut|connect"),
    "token expired": Fault(expire_token, renew_token, ("token", "expired"), "unauthorized"),
    "token missing": Fault(take_token, give_token, ("token", "No such file"), "token"),
    "binding removed": Fault(revoke, grant, (RULE, "logging:shipper"), "forbidden"),
    "CA replaced": Fault(replace_ca, tell_ca, ("ca.crt", "signed by"), "tls"),
    "another name": Fault(
        sign_for_another, sign_again, ("DNS:other.example", SERVICE), "tls", host=SERVICE
    ),
    "no DNS": Fault(forget_name, know_name, (SERVICE, "dnsPolicy"), "dns", host=SERVICE),
    "silent DNS": Fault(
        silence_names, hear_names, (SERVICE, "no answer within", "dnsPolicy"), "dns", host=SERVICE
    ),
}
every_fault = pytest.mark.parametrize("fault", FAULTS.values(), ids=list(FAULTS))


@contextmanager
def agent_in(scene: Scene) -> Iterator[Agent]:
    """Run the agent where its own files say what addresses names have, and whom to ask."""
    files = {scene.hosts: "/etc/hosts", scene.resolv_conf: "/etc/resolv.conf"}
    mount = " && ".join([*(f"mount --bind {own} {its}" for own, its in files.items()), 'exec "$@"'])
    before = ["unshare", "--mount", "sh", "-c", mount, "sh"]
    with running(scene.setup, before=before) as agent:
        yield agent


@every_fault
def test_fault_that_is_there_at_the_start(
    fault: Fault,
    api: KubernetesApi,
    fake: FakeElasticsearch,
    tmp_path: Path,
    prefix: str,
    record_property: Record,
) -> None:
    """Documents flow at once without metadata, what is wrong is said, and it is made up for."""
    with (
        scene(api, tmp_path, fake=fake, prefix=prefix, host=fault.host) as here,
        ExitStack() as end,
    ):
        here.make_pod(f"{prefix}-0")
        end.callback(fault.end, here)
        fault.begin(here)
        began = time.monotonic()
        with agent_in(here) as agent:
            first_secs, document = here.soon(agent, f"{prefix}-0", since=began)
            assert document["kubernetes"]["pod_name"] == f"{prefix}-0"
            assert "labels" not in document["kubernetes"]
            until_said(agent, fault)
            end.close()
            back_secs = here.until_enriched(agent, f"{prefix}-0")
            agent.until_metric("shipper_kube_synced", 1)
            assert "kubernetes" not in agent.get("/readyz")[1]
            check_said_once(agent, fault)
            assert agent.stop() == 0
    record_property("first document after", f"{first_secs:.1f} s, metadata {back_secs:.1f} s")
    assert first_secs < FIRST_DOCUMENT_SECS


@every_fault
def test_fault_in_mid_run(
    fault: Fault,
    api: KubernetesApi,
    fake: FakeElasticsearch,
    tmp_path: Path,
    prefix: str,
    record_property: Record,
) -> None:
    """Known pods keep their metadata, new ones go without, and have it when the fault is over."""
    with (
        scene(api, tmp_path, fake=fake, prefix=prefix, host=fault.host) as here,
        ExitStack() as end,
    ):
        here.make_pod(f"{prefix}-0")
        with agent_in(here) as agent:
            here.until_enriched(agent, f"{prefix}-0")
            end.callback(fault.end, here)
            fault.begin(here)
            here.pipe.cut()
            until_said(agent, fault)
            first_secs, document = here.soon(agent, f"{prefix}-0")
            assert document["kubernetes"]["labels"] == {"app": f"{prefix}-0"}
            new_secs, document = here.soon(agent, f"{prefix}-new")
            assert document["kubernetes"]["pod_name"] == f"{prefix}-new"
            assert "labels" not in document["kubernetes"]
            end.close()
            here.make_pod(f"{prefix}-1")
            back_secs = here.until_enriched(agent, f"{prefix}-1")
            check_said_once(agent, fault)
            assert agent.stop() == 0
    record_property("known", f"{first_secs:.1f} s, new {new_secs:.1f} s, back {back_secs:.1f} s")
    assert max(first_secs, new_secs) < FIRST_DOCUMENT_SECS


def until_said(agent: Agent, fault: Fault) -> None:
    """Wait until /readyz says what is wrong, and is ready all the same; it is logged once."""

    def is_said() -> bool:
        _, text = agent.get("/readyz")
        return "kubernetes: " in text and all(part in text for part in fault.says)

    agent.until(is_said, f"it says {fault.says}; it says {agent.get('/readyz')[1]}")
    assert agent.get("/readyz")[0] == 200
    counted = re.compile(rf'shipper_kube_faults_total{{reason="({fault.reason})"}} [1-9]')
    agent.until(lambda: counted.search(agent.get("/metrics")[1]) is not None, "it is a metric, too")


def check_said_once(agent: Agent, fault: Fault) -> None:
    """What is wrong is logged once, however often it is tried; a server that goes has two ways."""
    told = [json.loads(line)["message"] for line in agent.said.splitlines()]
    times = len([each for each in told if all(part in each for part in fault.says)])
    assert 1 <= times <= (2 if "|" in fault.reason else 1), agent.said


def test_stop_waits_for_no_name_server(
    api: KubernetesApi, fake: FakeElasticsearch, tmp_path: Path, prefix: str
) -> None:
    """An agent that is told to stop while a name is looked up in vain ends as it always does."""
    with scene(api, tmp_path, fake=fake, prefix=prefix, host=SERVICE) as here, ExitStack() as end:
        end.callback(hear_names, here)
        silence_names(here)
        with agent_in(here) as agent:
            here.soon(agent, f"{prefix}-new")
            agent.until(lambda: SERVICE in agent.get("/readyz")[1], "it says what is wrong")
            began = time.monotonic()
            assert agent.stop() == 0
            assert time.monotonic() - began < STOP_SECS


def test_name_that_is_not_the_servers_works_unverified(
    api: KubernetesApi, fake: FakeElasticsearch, tmp_path: Path, prefix: str
) -> None:
    """With `verify_ssl: false`, a name that the certificate does not have is taken."""
    host = "localhost"
    with scene(api, tmp_path, fake=fake, prefix=prefix, host=host, verify_ssl=False) as here:
        here.make_pod(f"{prefix}-0")
        with running(here.setup) as agent:
            here.until_enriched(agent, f"{prefix}-0")
            assert agent.stop() == 0


def test_name_that_ceases_to_be_the_servers_works_unverified(
    api: KubernetesApi, fake: FakeElasticsearch, tmp_path: Path, prefix: str
) -> None:
    """A certificate that is replaced by one without the name in mid-run changes nothing either."""
    with (
        scene(api, tmp_path, fake=fake, prefix=prefix, host=SERVICE, verify_ssl=False) as here,
        ExitStack() as end,
    ):
        here.make_pod(f"{prefix}-0")
        with agent_in(here) as agent:
            here.until_enriched(agent, f"{prefix}-0")
            end.callback(sign_again, here)
            sign_for_another(here)
            here.pipe.cut()
            here.make_pod(f"{prefix}-1")
            here.until_enriched(agent, f"{prefix}-1")
            assert 'shipper_kube_faults_total{reason="tls"} 0.0' in agent.get("/metrics")[1]
            assert agent.stop() == 0


def test_kubeconfig_of_an_administrator_works(
    api: KubernetesApi, fake: FakeElasticsearch, tmp_path: Path, prefix: str
) -> None:
    """A kubeconfig with a client certificate beside it is enough."""
    with scene(api, tmp_path, fake=fake, prefix=prefix) as here:
        tree = json.loads(here.setup.config.read_text())
        tree["kubernetes"] = {"kubeconfig": str(api.write_kubeconfig())}
        here.setup.config.write_text(json.dumps(tree))
        here.make_pod(f"{prefix}-0")
        with running(here.setup) as agent:
            here.until_enriched(agent, f"{prefix}-0")
            assert agent.stop() == 0


def test_missing_right_to_namespaces_costs_their_labels_alone(
    api: KubernetesApi, fake: FakeElasticsearch, tmp_path: Path, prefix: str
) -> None:
    """Without the rule for namespaces documents have what their pod says; with it, all of it."""
    with scene(api, tmp_path, fake=fake, prefix=prefix) as here, ExitStack() as end:
        here.make_pod(f"{prefix}-0")
        end.callback(api.grant)
        api.grant(rules=RULES[:1])
        began = time.monotonic()
        with running(here.setup) as agent:
            secs, document = here.soon(agent, f"{prefix}-0", since=began)
            assert document["kubernetes"]["labels"] == {"app": f"{prefix}-0"}
            assert "namespace_labels" not in document["kubernetes"]
            rule = 'resources: ["namespaces"], verbs: ["get"]'
            agent.until(lambda: rule in agent.get("/readyz")[1], "it says what is missing")
            assert secs < FIRST_DOCUMENT_SECS
            end.close()
            here.until_enriched(agent, f"{prefix}-0")
            assert agent.stop() == 0


# -- a proxy on the way


def test_proxy_that_stalls_at_the_start_holds_up_no_document(
    api: KubernetesApi,
    fake: FakeElasticsearch,
    tmp_path: Path,
    prefix: str,
    record_property: Record,
) -> None:
    """A connection that is taken and never answered costs the first lines their wait, no more."""
    with scene(api, tmp_path, fake=fake, prefix=prefix) as here:
        here.make_pod(f"{prefix}-0")
        here.pipe.stall()
        began = time.monotonic()
        with running(here.setup) as agent:
            first_secs, document = here.soon(agent, f"{prefix}-0", since=began)
            assert "labels" not in document["kubernetes"]
            next_secs, _ = here.soon(agent, f"{prefix}-new")
            here.pipe.flow()
            back_secs = here.until_enriched(agent, f"{prefix}-0")
            assert agent.stop() == 0
    record_property("first", f"{first_secs:.1f} s, next {next_secs:.1f} s, back {back_secs:.1f} s")
    assert max(first_secs, next_secs) < FIRST_DOCUMENT_SECS


def test_proxy_that_stalls_in_mid_run_delays_metadata_alone(
    api: KubernetesApi, fake: FakeElasticsearch, tmp_path: Path, prefix: str
) -> None:
    """What happens while the stream stands still is known once it flows, and no line waits."""
    with scene(api, tmp_path, fake=fake, prefix=prefix) as here:
        here.make_pod(f"{prefix}-0")
        with running(here.setup) as agent:
            here.until_enriched(agent, f"{prefix}-0")
            here.pipe.stall()
            here.make_pod(f"{prefix}-1")
            secs, document = here.soon(agent, f"{prefix}-1")
            assert document["kubernetes"]["metadata"] == "pending"
            assert secs < FIRST_DOCUMENT_SECS
            here.pipe.flow()
            assert here.until_enriched(agent, f"{prefix}-1") < FIRST_DOCUMENT_SECS
            assert agent.stop() == 0


def test_stream_that_is_cut_within_an_event(
    api: KubernetesApi, fake: FakeElasticsearch, tmp_path: Path, prefix: str
) -> None:
    """A part of an event is nothing: the whole of it comes with the next watch."""
    with scene(api, tmp_path, fake=fake, prefix=prefix, plain=True) as here:
        here.make_pod(f"{prefix}-0")
        with running(here.setup) as agent:
            here.until_enriched(agent, f"{prefix}-0")
            here.pipe.cut_after(100_000)
            here.make_pod(f"{prefix}-1", annotations={"note": "x" * 200_000})
            here.check_known_goes_on(agent, f"{prefix}-0")
            here.until_enriched(agent, f"{prefix}-1")
            assert agent.metric("shipper_kube_faults_total") == 1
            # A list, a namespace, and the watch twice.
            assert agent.metric("shipper_kube_requests_total") == 4
            assert agent.stop() == 0


HTML = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 9\r\n\r\n<p>log in"
BEGINNINGS: dict[str, Callable[[Pipe], None]] = {
    "cut within a list": lambda pipe: pipe.cut_each_after(700),
    "cut within the head": lambda pipe: pipe.cut_each_after(9),
    "another's page": lambda pipe: pipe.answer(HTML),
    "no HTTP": lambda pipe: pipe.answer(b"\x15\x03\x01\x00\x02\x02\x46\r\n\r\n"),
}


@pytest.mark.parametrize("begin", BEGINNINGS.values(), ids=list(BEGINNINGS))
def test_proxy_that_breaks_or_garbles_from_the_start(
    begin: Callable[[Pipe], None],
    api: KubernetesApi,
    fake: FakeElasticsearch,
    tmp_path: Path,
    prefix: str,
    record_property: Record,
) -> None:
    """What is no whole answer is none: documents flow, it is said, and made up for."""
    with scene(api, tmp_path, fake=fake, prefix=prefix, plain=True) as here:
        here.make_pod(f"{prefix}-0", annotations={"note": "x" * 1_000})
        begin(here.pipe)
        began = time.monotonic()
        with running(here.setup) as agent:
            first_secs, document = here.soon(agent, f"{prefix}-0", since=began)
            assert "labels" not in document["kubernetes"]
            agent.until(lambda: "kubernetes: " in agent.get("/readyz")[1], "it says what is wrong")
            assert agent.get("/readyz")[0] == 200
            here.pipe.cut_each_after(None)
            here.pipe.answer(b"")
            back_secs = here.until_enriched(agent, f"{prefix}-0")
            assert agent.stop() == 0
    record_property("first document after", f"{first_secs:.1f} s, metadata {back_secs:.1f} s")
    assert first_secs < FIRST_DOCUMENT_SECS


def test_version_that_is_too_old_for_the_first_watch(
    api: KubernetesApi, fake: FakeElasticsearch, tmp_path: Path, prefix: str
) -> None:
    """A list that the server knows no more when the watch comes (410) is made again."""
    with scene(api, tmp_path, fake=fake, prefix=prefix, plain=True) as here:
        here.make_pod(f"{prefix}-0")
        here.pipe.stall_at(b"watch=1")
        with running(here.setup) as agent:
            agent.until(lambda: not here.pipe.flows, "the watch is asked for")
            here.check_known_goes_on(agent, f"{prefix}-0")
            let_version_expire(here, agent, pod=f"{prefix}-1")
            assert agent.stop() == 0


def let_version_expire(scene: Scene, agent: Agent, *, pod: str) -> None:
    """Restart the server while the agent hears nothing; it lists anew, and learns of this pod."""
    scene.make_pod(pod)
    scene.api.restart()
    scene.pipe.cut()
    scene.pipe.flow()
    scene.until_enriched(agent, pod)
    assert 'shipper_kube_faults_total{reason="expired"} 1.0' in agent.get("/metrics")[1]


@pytest.mark.parametrize(
    "event", [b"{}", b"\xff\xfe{", b'{"type":"ADDED","object":{"metadata":null}}', b"[" * 5_000]
)
def test_garbage_in_the_stream_is_followed_by_a_list(
    api: KubernetesApi, fake: FakeElasticsearch, tmp_path: Path, prefix: str, event: bytes
) -> None:
    """What comes between events and is none costs a list, and nothing is missed."""
    with scene(api, tmp_path, fake=fake, prefix=prefix, plain=True) as here:
        here.make_pod(f"{prefix}-0")
        with running(here.setup) as agent:
            here.until_enriched(agent, f"{prefix}-0")
            here.pipe.inject(b"%x\r\n%s\n\r\n" % (len(event) + 1, event))
            here.check_known_goes_on(agent, f"{prefix}-0")
            agent.until_metric("shipper_kube_faults_total", 1)
            here.make_pod(f"{prefix}-1")
            here.until_enriched(agent, f"{prefix}-1")
            assert agent.stop() == 0


def test_version_that_is_too_old_is_listed_anew(
    api: KubernetesApi, fake: FakeElasticsearch, tmp_path: Path, prefix: str
) -> None:
    """A server that was restarted knows no older version (410): what changed meanwhile is known."""
    with scene(api, tmp_path, fake=fake, prefix=prefix) as here:
        here.make_pod(f"{prefix}-0")
        with running(here.setup) as agent:
            here.until_enriched(agent, f"{prefix}-0")
            here.pipe.stall()
            here.check_known_goes_on(agent, f"{prefix}-0")
            let_version_expire(here, agent, pod=f"{prefix}-1")
            assert agent.stop() == 0


def test_pod_finds_its_api_in_the_environment(
    api: KubernetesApi, fake: FakeElasticsearch, tmp_path: Path, prefix: str
) -> None:
    """In a cluster nothing needs to be configured; a missing token is a matter of the pod."""
    inside = ("KUBERNETES_SERVICE_HOST=127.0.0.1", f"KUBERNETES_SERVICE_PORT={api.port}")
    with scene(api, tmp_path, fake=fake, prefix=prefix) as here:
        tree = json.loads(here.setup.config.read_text())
        tree["kubernetes"] = {}
        here.setup.config.write_text(json.dumps(tree))
        here.make_pod(f"{prefix}-0")
        with running(here.setup, before=("env", *inside)) as agent:
            _, document = here.soon(agent, f"{prefix}-0")
            assert "labels" not in document["kubernetes"]
            agent.until(lambda: "serviceAccountName" in agent.get("/readyz")[1], "it says why")
            assert agent.stop() == 0
        files = {"token_file": str(here.token_file), "ca_file": str(here.ca_file)}
        here.setup.config.write_text(json.dumps(tree | {"kubernetes": files}))
        with running(here.setup, before=("env", *inside)) as agent:
            here.until_enriched(agent, f"{prefix}-0")
            assert agent.stop() == 0


# -- a restart, and what all of it costs


def test_restart_without_the_api_has_the_metadata(
    api: KubernetesApi, fake: FakeElasticsearch, tmp_path: Path, prefix: str
) -> None:
    """What was known is kept: after a restart with the API away, documents have it."""
    with scene(api, tmp_path, fake=fake, prefix=prefix) as here, ExitStack() as end:
        here.make_pod(f"{prefix}-0")
        with running(here.setup) as agent:
            here.until_enriched(agent, f"{prefix}-0")
            agent.until(lambda: kept(here.setup) >= {"pod", "namespace"}, "it is kept")
            agent.process.kill()
            agent.process.wait()
        end.callback(api.grant)
        api.revoke()
        with running(here.setup) as agent:
            _, document = here.soon(agent, f"{prefix}-0")
            assert document["kubernetes"]["labels"] == {"app": f"{prefix}-0"}
            assert document["kubernetes"]["namespace_labels"]["team"] == "a"
            assert agent.stop() == 0


def kept(setup: Setup) -> set[str]:
    """Of what kinds something is kept."""
    with closing(read_only(setup.state_dir / "state.db")) as db:
        return {kind for (kind,) in db.execute("SELECT DISTINCT kind FROM known")}


def begun_watches(api: KubernetesApi) -> int:
    """How many watches the server has begun to answer."""
    begun = ("watch", "ResponseStarted")
    return sum((each["verb"], each["stage"]) == begun for each in api.asked())


def until_begun(agent: Agent, api: KubernetesApi, watches: int) -> None:
    """Wait until the server has begun to answer so many."""
    agent.until(lambda: begun_watches(api) >= watches, f"{watches} watches")


PODS, CUTS = 110, 4


def test_full_node_costs_one_list_and_one_watch(
    api: KubernetesApi,
    fake: FakeElasticsearch,
    tmp_path: Path,
    prefix: str,
    record_property: Record,
) -> None:
    """110 pods with 50 KB of labels and annotations each: a watch per connection, 130 MB."""
    text = {f"note-{number}": "x" * 1_000 for number in range(50)}
    with scene(api, tmp_path, fake=fake, prefix=prefix) as here:
        for number in range(PODS):
            here.make_pod(f"{prefix}-{number}", annotations=text)
        before = len(list(api.asked()))
        with running(here.setup) as agent:
            for number in range(PODS):
                here.write(f"{prefix}-{number}")
            here.until_enriched(agent, f"{prefix}-0")
            for number in range(PODS):
                path = f"/api/v1/namespaces/{NAMESPACE}/pods/{prefix}-{number}"
                api.patch(path, {"metadata": {"labels": {"changed": "yes"}}})
            changed = "shipper_kube_events_total"
            agent.until(lambda: agent.metric(changed) >= PODS, "all changes are known")
            agent.until(lambda: len(fake.documents) > PODS, "all documents")
            agent.pass_time(8)
            for _ in range(CUTS):
                watches = begun_watches(api)
                here.pipe.cut()
                until_begun(agent, api, watches + 1)
            record_property("peak RSS", f"{agent.peak_rss_bytes / 1e6:.0f} MB")
            assert agent.peak_rss_bytes <= 130e6
            assert agent.stop() == 0
        asked = list(api.asked())[before:]
    stages = Counter((each["verb"], each["stage"]) for each in asked)
    record_property("asked", dict(stages))
    assert stages["list", "ResponseComplete"] == 1
    assert stages["watch", "ResponseStarted"] == 1 + CUTS
    assert stages["get", "ResponseComplete"] == 1
    assert {each["userAgent"].partition("/")[0] for each in asked} == {"shipper"}
    of_pods = [each for each in asked if each["objectRef"]["resource"] == "pods"]
    assert all(f"fieldSelector=spec.nodeName%3D{NODE}" in each["requestURI"] for each in of_pods)
