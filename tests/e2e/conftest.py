"""Real servers, one of each for all tests, and what keeps the tests apart on them."""

import secrets
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.e2e.scene import NAMESPACE, SetUp, scene
from tests.fakes.elasticsearch import FakeElasticsearch
from tests.servers.docker import DockerEngine
from tests.servers.elasticsearch import Elasticsearch
from tests.servers.image import build_image
from tests.servers.kubernetes import KubernetesApi


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the figures that tests have recorded: a bound that holds says less than its margin."""
    for report in terminalreporter.getreports("passed"):
        for name, figure in report.user_properties:
            terminalreporter.write_line(f"{report.nodeid}: {name} {figure}")


@pytest.fixture(scope="session")
def servers() -> Iterator[dict[str, Elasticsearch]]:
    """The servers that were started so far, by version: a test that needs one starts it."""
    started: dict[str, Elasticsearch] = {}
    try:
        yield started
    finally:
        for server in started.values():
            server.close()


@pytest.fixture
def version() -> str:
    """The Elasticsearch of a test that does not choose one."""
    return "9.5.3"


@pytest.fixture
def elasticsearch(servers: dict[str, Elasticsearch], version: str) -> Elasticsearch:
    """A server that answers, also where the test before has left it stopped."""
    if version not in servers:
        servers[version] = Elasticsearch.start(version)
    elif not servers[version].pid:
        servers[version].restart()
    return servers[version]


@pytest.fixture
def fake() -> Iterator[FakeElasticsearch]:
    """A server for tests in which a real one proves nothing."""
    with FakeElasticsearch().in_thread() as server:
        yield server


@pytest.fixture
def prefix() -> str:
    """Where the indices of one test begin: servers are shared."""
    return f"test-{secrets.token_hex(4)}"


@pytest.fixture(scope="session")
def kubernetes() -> Iterator[KubernetesApi]:
    """A Kubernetes API with an account for the agent."""
    with KubernetesApi.start() as api:
        yield api


@pytest.fixture(scope="module")
def api() -> Iterator[KubernetesApi]:
    """A Kubernetes API of the module's own: what is done to it no other test would like."""
    with KubernetesApi.start() as server:
        server.make_namespace(NAMESPACE, labels={"team": "a"})
        yield server


@pytest.fixture
def set_up(api: KubernetesApi, fake: FakeElasticsearch, tmp_path: Path, prefix: str) -> SetUp:
    """Sets the scene of a test: an agent, its folder, and its ways to the two servers."""
    return partial(scene, api, tmp_path, fake=fake, prefix=prefix)


@pytest.fixture(scope="session")
def docker() -> Iterator[DockerEngine]:
    """A Docker engine that has an image with busybox."""
    with DockerEngine.start() as engine:
        engine.import_busybox()
        yield engine


@pytest.fixture(scope="session")
def image(docker: DockerEngine) -> str:
    """The agent's image of this checkout, as the engine of the tests has it."""
    return build_image(docker)
