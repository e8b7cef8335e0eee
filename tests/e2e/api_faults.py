"""What can go wrong between an agent and the Kubernetes API, and how the agent has to say it."""

import json
import re
import secrets
import shutil
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.agent import Agent
from tests.e2e.scene import Scene
from tests.servers.kubernetes import NAMES


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
