"""The manifests, the Dockerfile and the compose file say what the program is and needs.

That a cluster takes them, and that the agent runs as they say, is shown in tests/e2e.
"""

import asyncio
import http.client
import json
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry

from shipper import __version__
from shipper.cli import _parser
from shipper.config import Config, ServerConfig, load
from shipper.ops.server import Server
from tests.pages import blocks

ROOT = Path(__file__).parents[1]
BASE = ROOT / "deploy/base"
CONFIG = ROOT / "config/shipper.yaml"
OVERLAY = ROOT / "deploy/overlays/external/kustomization.yaml"
COMPONENT = ROOT / "deploy/components/without-docker/kustomization.yaml"
COMPOSE = ROOT / "deploy/docker/compose.yaml"
DOCKERFILE = (ROOT / "Dockerfile").read_text()
INSTALL = (ROOT / "docs/install.md").read_text()
CAPABILITY = "DAC_READ_SEARCH"


def documents(path: Path) -> list[dict[str, Any]]:
    """What a YAML file holds."""
    return list(yaml.safe_load_all(path.read_text()))


def named(items: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The items of a list by their names."""
    return {item["name"]: item for item in items}


(DAEMONSET,) = documents(BASE / "daemonset.yaml")
POD = DAEMONSET["spec"]["template"]["spec"]
(CONTAINER,) = POD["containers"]
MOUNTS = named(CONTAINER["volumeMounts"])
VOLUMES = named(POD["volumes"])
SERVICE = yaml.safe_load(COMPOSE.read_text())["services"]["shipper"]
DOCKER_RUN = shlex.split(
    next(b for b in blocks(INSTALL, "sh") if b.startswith("docker run")).replace("\\\n", " ")
)


def config_on(address: str) -> Config:
    """The configuration of an agent whose pod has this address."""
    fields = {"spec.nodeName": "node-1", "status.podIP": address}
    variables = {
        name: each["value"]
        if "value" in each
        else fields[each["valueFrom"]["fieldRef"]["fieldPath"]]
        for name, each in named(CONTAINER["env"]).items()
    }
    return load(CONFIG, variables)


# -- the configuration


@pytest.mark.parametrize("address", ["10.244.0.7", "fd00:10:244::7"])
def test_shipped_configuration_is_right_in_a_pod(address: str) -> None:
    """With what the DaemonSet sets it is node and address of the pod, also with IPv6."""
    config = config_on(address)
    assert config.node_name == "node-1"
    assert config.server.host == address
    assert str(config.output.elasticsearch.access_dir) == MOUNTS["elasticsearch"]["mountPath"]


def test_every_variable_of_the_configuration_is_set() -> None:
    """By the DaemonSet, and it sets no other."""
    values = re.sub(r"(^|\s)#.*", "", CONFIG.read_text())
    assert set(re.findall(r"\$\{([A-Z_]+):-", values)) == set(named(CONTAINER["env"]))


def test_configuration_has_one_home() -> None:
    """The ConfigMap is made of config/shipper.yaml itself, and mounted where the agent reads it."""
    (generator,) = documents(CONFIG.parent / "kustomization.yaml")[0]["configMapGenerator"]
    assert generator["files"] == [CONFIG.name]
    assert VOLUMES["config"]["configMap"]["name"] == generator["name"]
    options = _parser().parse_args(CONTAINER["args"])
    assert options.config == Path(MOUNTS["config"]["mountPath"]) / CONFIG.name
    assert "../../config" in documents(BASE / "kustomization.yaml")[0]["resources"]


def test_image_runs_the_shipped_configuration() -> None:
    """Started without a word it takes the file that is copied there, as does its health check."""
    (_, place) = re.findall(r"^COPY config/(\S+) (\S+)$", DOCKERFILE, re.MULTILINE)[0]
    commands = [json.loads(text) for text in re.findall(r"CMD (\[.*\])", DOCKERFILE)]
    assert len(commands) == 2
    for command in commands:
        assert _parser().parse_args([w for w in command if w != "shipper"]).config == Path(place)
    assert _parser().parse_args(SERVICE["command"]).config == Path(place)


# -- what it may and what it has


def test_rights_are_those_that_are_documented() -> None:
    """The ClusterRole has the rules of docs/operate.md, and no other."""
    rules = next(d for d in documents(BASE / "account.yaml") if d["kind"] == "ClusterRole")["rules"]
    shown = blocks((ROOT / "docs/operate.md").read_text(), "json")[-1]
    assert rules == [json.loads(line) for line in shown.splitlines()]


def test_all_that_is_read_is_mounted_and_only_state_is_written() -> None:
    """The paths that are followed and what their links lead to: read-only."""
    config = config_on("10.0.0.1")
    read = [*config.sources[0].paths, "/var/log/pods/x", "/var/lib/docker/containers/x"]
    places = {each["mountPath"]: each.get("readOnly", False) for each in MOUNTS.values()}
    assert all(any(path.startswith(f"{place}/") for place in places) for path in read)
    writable = {place for place, read_only in places.items() if not read_only}
    assert writable == {str(config.state_dir), "/tmp"}
    assert "type" not in VOLUMES["docker"]["hostPath"]  # what is not there is no reason to wait


def test_every_way_to_run_it_is_as_confined() -> None:
    """Read-only, one capability, no more privileges: DaemonSet, compose file, docker run."""
    context = CONTAINER["securityContext"]
    assert context["capabilities"] == {"drop": ["ALL"], "add": [CAPABILITY]}
    assert context["readOnlyRootFilesystem"]
    assert context["allowPrivilegeEscalation"] is False
    assert POD["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert (SERVICE["cap_drop"], SERVICE["cap_add"]) == (["ALL"], [CAPABILITY])
    assert SERVICE["read_only"]
    assert SERVICE["security_opt"] == ["no-new-privileges:true"]
    line = " ".join(DOCKER_RUN)
    assert f"--cap-drop ALL --cap-add {CAPABILITY} --security-opt no-new-privileges" in line
    assert "--read-only" in DOCKER_RUN


def test_every_way_to_run_it_has_as_much_memory() -> None:
    """The limit is the same everywhere."""
    assert CONTAINER["resources"]["limits"]["memory"] == "256Mi"
    assert SERVICE["mem_limit"] == DOCKER_RUN[DOCKER_RUN.index("--memory") + 1] == "256m"
    assert "cpu" not in CONTAINER["resources"]["limits"]


def test_every_way_to_run_it_in_docker_has_the_same_volume() -> None:
    """What one has kept the other goes on with, and uninstalling removes it by that name."""
    (volume,) = yaml.safe_load(COMPOSE.read_text())["volumes"].values()
    assert f"{volume['name']}:{Config().state_dir}" in DOCKER_RUN
    assert f"`docker volume rm {volume['name']}`" in INSTALL


def test_every_supervisor_is_more_patient_than_a_drain() -> None:
    """What was read is delivered before anybody kills the agent."""
    unit = (ROOT / "docs/operate.md").read_text()
    patience = [
        POD["terminationGracePeriodSeconds"],
        int(SERVICE["stop_grace_period"].removesuffix("s")),
        int(DOCKER_RUN[DOCKER_RUN.index("--stop-timeout") + 1]),
        int(re.findall(r"TimeoutStopSec=(\d+)", unit)[0]),
    ]
    assert min(patience) > Config().buffer.grace_secs + 5


# -- probes and metrics


def test_what_is_asked_of_the_agent_is_there() -> None:
    """Probes and Prometheus ask for pages that the server has, at the port where it listens."""
    (port,) = CONTAINER["ports"]
    annotations = DAEMONSET["spec"]["template"]["metadata"]["annotations"]
    assert port["containerPort"] == int(annotations["prometheus.io/port"]) == Config().server.port
    probes = [CONTAINER[f"{name}Probe"]["httpGet"] for name in ("startup", "liveness", "readiness")]
    assert {probe["port"] for probe in probes} == {port["name"]}
    paths = [probe["path"] for probe in probes]
    assert paths == ["/livez", "/livez", "/readyz"]
    assert set(_statuses([*paths, annotations["prometheus.io/path"]])) == {200}


def test_nobody_is_killed_for_being_busy() -> None:
    """The agent answers within a minute, or something is wrong with it."""
    probe = CONTAINER["livenessProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] >= 60


def test_who_fails_soon_does_not_count_in_a_rollout() -> None:
    """Ready counts once a first delivery that failed would have been noticed."""
    probe = CONTAINER["readinessProbe"]
    noticed = probe["periodSeconds"] * probe["failureThreshold"]
    assert DAEMONSET["spec"]["minReadySeconds"] > noticed + Config().buffer.flush_secs


def test_two_agents_never_share_a_node_for_a_rollout() -> None:
    """A second one would wait for the first, which would wait until the second is ready."""
    rolling = DAEMONSET["spec"]["updateStrategy"]["rollingUpdate"]
    assert rolling["maxSurge"] == 0


def test_every_node_gets_one() -> None:
    """Whatever it is tainted with, and without a label that somebody could forget."""
    assert POD["tolerations"] == [{"operator": "Exists"}]
    assert "nodeSelector" not in POD
    assert "affinity" not in POD
    assert POD["priorityClassName"] == "system-node-critical"


# -- overlays


def test_overlay_has_three_settings_of_elasticsearch() -> None:
    """The URL, the Secret, the ConfigMap: of things that the base has, and no others."""
    (patch,) = documents(OVERLAY)[0]["patches"]
    spec = yaml.safe_load(patch["patch"])["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    assert [each["name"] for each in container["env"]] == ["ELASTICSEARCH_URL"]
    (volume,) = spec["volumes"]
    assert volume["projected"]["sources"] == VOLUMES["elasticsearch"]["projected"]["sources"]
    assert container.keys() == {"name", "env"}
    assert container["name"] == CONTAINER["name"]
    assert "ELASTICSEARCH_URL" in named(CONTAINER["env"])


def test_component_removes_what_the_base_has() -> None:
    """One mount and its volume."""
    (patch,) = documents(COMPONENT)[0]["patches"]
    spec = yaml.safe_load(patch["patch"])["spec"]["template"]["spec"]
    (mount,) = spec["containers"][0]["volumeMounts"]
    (volume,) = spec["volumes"]
    assert mount["mountPath"] == MOUNTS[volume["name"]]["mountPath"]
    assert volume["name"] in VOLUMES


def test_namespace_and_image_stand_in_one_place() -> None:
    """In the kustomization; a manifest that names one would not follow an overlay."""
    manifests = [d for name in ("account", "daemonset") for d in documents(BASE / f"{name}.yaml")]
    assert not [
        d["kind"] for d in manifests if "namespace" in str(d.get("subjects", d["metadata"]))
    ]
    assert CONTAINER["image"] == "shipper"
    for path in (BASE / "kustomization.yaml", OVERLAY):
        (image,) = documents(path)[0]["images"]
        assert (image["name"], image["newTag"]) == ("shipper", __version__)


def test_one_version_is_named() -> None:
    """The image's tag is the program's version, wherever it stands."""
    texts = [INSTALL, COMPOSE.read_text(), (ROOT / "README.md").read_text()]
    tags = re.findall(r"\bshipper:(\d[\w.]*)", "".join(texts))
    assert tags
    assert set(tags) == {__version__}


# -- the image


def test_image_says_what_the_package_says() -> None:
    """Its description and license are those of pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    labels = dict(re.findall(r'org\.opencontainers\.image\.(\w+)="(.*?)"', DOCKERFILE))
    assert labels["description"] == project["description"]
    assert labels["licenses"] == project["license"]
    assert labels["title"] == project["name"]


def test_build_gets_what_it_copies_and_nothing_else() -> None:
    """The list of .dockerignore is what the Dockerfile copies."""
    kept = re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE)
    copied = re.findall(r"^COPY (?!--from)(.*) \S+$", DOCKERFILE, re.MULTILINE)
    assert sorted(kept) == sorted(" ".join(copied).split())


def _statuses(paths: list[str]) -> Iterator[int]:
    async def run() -> list[int]:
        settings = ServerConfig(listen="127.0.0.1:0")
        server = Server(settings, CollectorRegistry(), not_ready=str)
        await server.start()
        try:
            return [await asyncio.to_thread(_status, server.url, path) for path in paths]
        finally:
            await server.stop()

    return iter(asyncio.run(run()))


def _status(url: str, path: str) -> int:
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=10)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()
