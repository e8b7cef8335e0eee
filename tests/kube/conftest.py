"""What tests of the Kubernetes API begin with."""

from pathlib import Path

import pytest

from tests.fakes.certificates import Authority, make_authority
from tests.fakes.kubernetes import FakeKubernetes
from tests.kube.pods import pod_json
from tests.kube.shop import namespace_json


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Certificates for 127.0.0.1 and localhost."""
    return make_authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    """A file with a token."""
    path = tmp_path / "token"
    path.write_text("first\n")
    return path


@pytest.fixture
def api() -> FakeKubernetes:
    """A cluster with a pod in a namespace."""
    fake = FakeKubernetes(namespaces={"shop": namespace_json(team="a")})
    fake.put(pod_json(containers={"main": "c-1"}))
    return fake
