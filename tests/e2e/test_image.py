"""The image as `make image` builds it, on a real engine, shipping to a real Elasticsearch."""

import json
import os
import random
import re
import shlex
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from shipper import __version__
from tests.pages import blocks
from tests.servers.compose import Compose
from tests.servers.docker import IMAGE, DockerEngine
from tests.servers.elasticsearch import Elasticsearch
from tests.servers.image import PYTHON_IMAGE, ROOT
from tests.servers.process import ServerError, wait_until

pytestmark = pytest.mark.timeout(900)  # the first one builds the image

MOST_BYTES = 110_000_000
"""Over its base."""
CONFINED = (
    *("--rm", "--network=none", "--read-only", "--cap-drop=ALL"),
    *("--cap-add=DAC_READ_SEARCH", "--security-opt=no-new-privileges"),
)
NAMED_IMAGE = f"shipper:{__version__}"
NAMED_URL = "http://127.0.0.1:9200"
"""In the documentation."""
LINES = 2_000
SECONDS = 120.0

UNCOMPILED = """
import importlib, os, pkgutil, sys
import shipper

for each in pkgutil.walk_packages(shipper.__path__, "shipper."):
    importlib.import_module(each.name)
found = [getattr(each, "__spec__", None) for each in list(sys.modules.values())]
own = [each for each in found if each and (each.origin or "").endswith(".py")]
print(len(own), [each.name for each in own if not os.path.exists(each.cached)])
"""
ON_DEMAND = "import elasticsearch, isal.igzip, kubernetes_asyncio.config, rich.live, sqlite3, ssl"


# -- what it is


def test_image_is_small(
    docker: DockerEngine, image: str, record_property: Callable[[str, object], None]
) -> None:
    """It adds no more to its base than what runs."""
    added = _inspect(docker, image)["Size"] - _inspect(docker, PYTHON_IMAGE)["Size"]
    record_property("added MB", round(added / 1e6, 1))
    assert added <= MOST_BYTES


def test_image_says_what_it_is(docker: DockerEngine, image: str) -> None:
    """Whoever finds it knows what it is, of which source, and how it is started."""
    config = _inspect(docker, image)["Config"]
    labels = config["Labels"]
    prefix = "org.opencontainers.image."
    assert labels[f"{prefix}title"] == "shipper"
    assert labels[f"{prefix}licenses"] == "Apache-2.0"
    assert labels[f"{prefix}version"] in docker.call("run", *CONFINED, image, "--version")
    assert re.fullmatch(r"[0-9a-f]{40}(-dirty)?|unknown", labels[f"{prefix}revision"])
    assert config["User"] == "0:0"
    assert config["Entrypoint"] == ["shipper"]
    assert config["Healthcheck"]["Test"][:3] == ["CMD", "shipper", "health"]


def test_image_holds_nothing_that_builds(docker: DockerEngine, image: str) -> None:
    """Neither a compiler nor pip's cache, nor what built the wheel."""
    search = (
        (
            "for name in gcc cc g++ clang ld make rustc; do command -v $name; done;"
            " find / -xdev ( -path '*/.cache/*' -o -path '/build*' -o -name '*.whl' ) -print;"
            " find /opt ( -name 'hatch*' -o -name pip -o -name tests ) -print; true"
        )
        .replace("( ", "\\( ")
        .replace(" )", " \\)")
    )
    found = docker.call("run", *CONFINED, "--entrypoint=sh", image, "-c", search)
    known = docker.call("run", *CONFINED, "--entrypoint=sh", PYTHON_IMAGE, "-c", search + " 2>&1")
    assert set(found.splitlines()) <= set(known.splitlines())


def test_whole_program_is_there_and_compiled(docker: DockerEngine, image: str) -> None:
    """Nothing was stripped that is needed, and on a read-only root nothing is compiled again."""
    python = ("--entrypoint=python", image, "-c")
    count, uncompiled = docker.call("run", *CONFINED, *python, UNCOMPILED).split(" ", 1)
    assert int(count) > 300
    assert uncompiled == "[]"
    assert not docker.call("run", *CONFINED, *python, ON_DEMAND)


# -- how it runs


@pytest.mark.parametrize("capability", [True, False])
def test_capability_is_for_files_of_other_owners(
    docker: DockerEngine, image: str, tmp_path: Path, *, capability: bool
) -> None:
    """With it they are read; without it they are named, and root's own are read all the same."""
    for name, owner in (("own.log", 0), ("foreign.log", 1000)):
        file = tmp_path / "logs" / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"from {name}\n")
        file.chmod(0o640)
        os.chown(file, owner, owner)
    left_out = ("--rm", *(() if capability else ("--cap-add",)))
    confined = [word for word in CONFINED if not word.startswith(left_out)]
    volumes = (f"--volume={tmp_path}/logs:/logs:ro", f"--volume={tmp_path}/state:/var/lib/shipper")
    command = ("run", "/logs", "--state-dir=/var/lib/shipper", "--output=stdout", "--once")
    agent = docker.call("run", "--detach", *confined, *volumes, image, *command)
    try:
        status = docker.call("wait", agent)
        read = {json.loads(line)["log"] for line in docker.call("logs", agent).splitlines()}
    finally:
        docker.remove(agent)
    foreign = {"from foreign.log"} if capability else set()
    assert read == {"from own.log", *foreign}
    assert status == ("0" if capability else "1")


def test_documented_command_ships_what_containers_print(
    docker: DockerEngine, image: str, elasticsearch: Elasticsearch
) -> None:
    """The `docker run` of docs/install.md: healthy, confined, every line once with its names."""
    page = (ROOT / "docs/install.md").read_text()
    (line,) = (block for block in blocks(page, "sh") if block.startswith("docker run"))
    assert NAMED_IMAGE in line
    assert NAMED_URL in line
    words = shlex.split(line.replace("\\\n", " ").replace(NAMED_IMAGE, image))[1:]
    own = ["--health-interval=1s", f"--env=LISTEN_ADDRESS={_loopback()}"]
    changed = [word.replace(NAMED_URL, elasticsearch.url) for word in words]
    with _chatty(docker) as container:
        agent = docker.call(*changed[:1], *own, *changed[1:])
        try:
            _until_there(elasticsearch, container)
            wait_until(lambda: _health(docker, agent) == "healthy", seconds=SECONDS, what="health")
            status = docker.call("exec", agent, *_status())
            assert elasticsearch.url in status
            assert docker.call("exec", agent, "stat", "-c", "%a", "/var/lib/shipper") == "700"
            docker.call("stop", agent)
            assert _inspect(docker, agent)["State"]["ExitCode"] == 0
        finally:
            docker.remove(agent)
            docker.call("volume", "rm", "shipper")
    _check_documents(elasticsearch, container)


def test_compose_file_ships_what_containers_print(
    docker: DockerEngine, image: str, elasticsearch: Elasticsearch, tmp_path: Path
) -> None:
    """The same with `docker compose`; what was shipped before a new start does not come again."""
    file = tmp_path / "compose.yaml"
    shutil.copy(ROOT / "deploy/docker/compose.yaml", file)
    variables = {
        "ELASTICSEARCH_URL": elasticsearch.url,
        "SHIPPER_IMAGE": image,
        "LISTEN_ADDRESS": _loopback(),
    }
    compose = Compose(docker, file, variables)
    with _chatty(docker) as container:
        try:
            compose.call("up", "--detach")
            _until_there(elasticsearch, container)
            compose.call("down")
            _check_documents(elasticsearch, container)
            _delete_documents(elasticsearch)  # else what is sent again would not be seen
            compose.call("up", "--detach")
            with _chatty(docker) as another:
                _until_there(elasticsearch, another)
            assert not _documents(elasticsearch, container)
        finally:
            compose.call("down", "--volumes")


def _inspect(docker: DockerEngine, name: str) -> dict[str, Any]:
    (found,) = json.loads(docker.call("inspect", name))
    return dict(found)


def _health(docker: DockerEngine, agent: str) -> str:
    health = _inspect(docker, agent)["State"]["Health"]
    if health["Status"] == "unhealthy":
        raise ServerError(f"{health['Log'][-1]['Output']}\n{docker.call('logs', agent)}")
    return str(health["Status"])


def _status() -> list[str]:
    return shlex.split("shipper status --config /etc/shipper/shipper.yaml")


def _loopback() -> str:
    """An address of this run's own: in the host's network others may have the usual port."""
    return "127.{}.{}.{}".format(*(random.randint(1, 250) for _ in range(3)))


@contextmanager
def _chatty(docker: DockerEngine) -> Iterator[str]:
    """A container of a compose project that has printed LINES lines."""
    labels = {"com.docker.compose.project": "shop", "com.docker.compose.service": "web"}
    count = f'i=0; while [ $i -lt {LINES} ]; do echo "line $i"; i=$((i+1)); done'
    container = docker.run(IMAGE, "sh", "-c", count, labels=labels, detach=False)
    try:
        yield container
    finally:
        docker.remove(container)


def _documents(elasticsearch: Elasticsearch, container: str) -> list[dict[str, Any]]:
    found = (document["_source"] for document in elasticsearch.documents("logstash-*"))
    return [source for source in found if source["docker"]["container_id"] == container]


def _until_there(elasticsearch: Elasticsearch, container: str) -> None:
    def are_there() -> bool:
        with suppress(ServerError):  # an index that was made just now cannot be searched yet
            return len(_documents(elasticsearch, container)) >= LINES
        return False

    wait_until(are_there, seconds=SECONDS, what="the container's lines")


def _delete_documents(elasticsearch: Elasticsearch) -> None:
    for index in {document["_index"] for document in elasticsearch.documents("logstash-*")}:
        assert elasticsearch.request("DELETE", f"/{index}")[0] == 200


def _check_documents(elasticsearch: Elasticsearch, container: str) -> None:
    documents = _documents(elasticsearch, container)
    assert sorted(d["log"] for d in documents) == sorted(f"line {i}\n" for i in range(LINES))
    said = {(d["docker"]["container_image"], d["docker"]["compose_service"]) for d in documents}
    assert said == {(IMAGE, "web")}
