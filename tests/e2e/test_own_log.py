"""The agent's own log is a container's log like any other, and does not feed itself."""

import json
from pathlib import Path

from tests.e2e.agent import configure, running
from tests.fakes.elasticsearch import FakeElasticsearch
from tests.servers.process import free_port

STRANGERS, ROUNDS = 200, 5
MOST_LINES = 100
"""Of its log: there are fewer kinds of messages, and of each five go out in a minute."""


def test_own_log_is_shipped_and_does_not_feed_itself(
    tmp_path: Path, fake: FakeElasticsearch
) -> None:
    """With hundreds of containers to warn of, and its warnings among the lines, it falls silent."""
    containers = tmp_path / "containers"
    containers.mkdir()
    setup = configure(
        tmp_path / "agent",
        paths=[containers / "*.log"],
        url=fake.url,
        prefix="logs",
        kubernetes={"url": f"http://127.0.0.1:{free_port()}", "metadata_wait_secs": 0.1},
    )
    own = containers / f"shipper-x_logging_shipper-{'0' * 64}.log"
    own.symlink_to(setup.log)
    with running(setup) as agent:
        for _ in range(ROUNDS):
            for number in range(STRANGERS):
                path = containers / f"web-{number}_shop_main-{number + 1:064x}.log"
                with path.open("ab") as log:
                    log.write(b'{"log":"broken\n\xff\xfe\n')
            agent.pass_time(1)
        agent.until(lambda: len(_texts(fake)) >= 2 * ROUNDS * STRANGERS, "all lines")
        said = agent.said
        agent.pass_time(3)
        assert agent.said == said, "it has something to say of what it said"
        agent.until(lambda: set(said.splitlines()) <= set(_texts(fake)), "its own log is shipped")
    assert any("pods are not followed" in json.loads(line)["message"] for line in said.splitlines())
    assert len(said.splitlines()) < MOST_LINES


def _texts(fake: FakeElasticsearch) -> list[str]:
    return [document["log"].rstrip("\n") for document in list(fake.documents.values())]
