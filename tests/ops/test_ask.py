"""How a command finds a running agent, by real files and a real server."""

import asyncio
import socket
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import TypeVar

import pytest
from prometheus_client import CollectorRegistry

from shipper.config import Config, ServerConfig, validate
from shipper.errors import ConfigError, ShipperError
from shipper.ops.ask import alive, announce, ask, find
from shipper.ops.server import Server
from shipper.ops.status import Status, encode
from tests.nobody import as_nobody

_T = TypeVar("_T")
URL = "http://127.0.0.1:4711"


def configured(state_dir: Path, **server: object) -> Config:
    return validate({"state_dir": str(state_dir), "server": server})


def serving(status: Status | None, then: Callable[[str], _T]) -> _T:
    """Answer with this status, or with nothing that is one; returns what `then` does with it."""

    async def run() -> _T:
        body = b'{"version":1}' if status is None else encode(status)
        settings = ServerConfig(listen="127.0.0.1:0")
        server = Server(settings, CollectorRegistry(), not_ready=str, status=lambda: body)
        await server.start()
        try:
            return await asyncio.to_thread(then, server.url)
        finally:
            await server.stop()

    return asyncio.run(run())


def closed_url() -> str:
    """Where nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as one:
        return f"http://127.0.0.1:{one.getsockname()[1]}"


# -- where it is


def test_agent_is_found_where_it_said_that_it_listens(tmp_path: Path) -> None:
    """Its word counts more than its configuration: the command line may have changed that."""
    announce(tmp_path, URL)
    assert find(None, tmp_path, listen=None) == URL
    assert find(configured(tmp_path), None, listen=None) == URL
    assert find(configured(tmp_path, enabled=False), None, listen=None) == URL
    assert find(None, tmp_path, listen="127.0.0.1:1") == "http://127.0.0.1:1"


def test_announcement_is_the_owners_alone_and_ends_with_the_agent(tmp_path: Path) -> None:
    """What an earlier agent left behind is replaced, and nothing is left at the end."""
    announce(tmp_path, "http://127.0.0.1:1")
    announce(tmp_path, URL)
    (path,) = tmp_path.iterdir()
    assert path.stat().st_mode & 0o777 == 0o600
    assert find(None, tmp_path, listen=None) == URL
    announce(tmp_path, "")
    assert list(tmp_path.iterdir()) == []


def test_announcement_never_stops_the_agent(tmp_path: Path) -> None:
    """Where it cannot be written, the agent runs all the same."""
    announce(tmp_path / "missing", URL)


@pytest.mark.parametrize(
    ("listen", "url"),
    [
        ("127.0.0.1:9881", "http://127.0.0.1:9881"),
        ("0.0.0.0:9881", "http://127.0.0.1:9881"),
        ("[::]:9881", "http://[::1]:9881"),
        ("fd00::7:9881", "http://[fd00::7]:9881"),
    ],
)
def test_agent_is_asked_where_its_configuration_says(tmp_path: Path, listen: str, url: str) -> None:
    """One that listens on every address of the machine is asked on its own."""
    assert find(configured(tmp_path, listen=listen), None, listen=None) == url


def test_without_a_word_the_usual_address_is_asked() -> None:
    """It is that of `shipper run`, with a configuration or without."""
    assert find(None, None, listen=None) == "http://127.0.0.1:9880"


def test_agent_that_cannot_be_asked_is_an_error_with_a_way_out(tmp_path: Path) -> None:
    """The server is off, or nobody has ever said where it is."""
    with pytest.raises(ShipperError, match=r"server\.enabled is false"):
        find(configured(tmp_path, enabled=False), None, listen=None)
    with pytest.raises(ShipperError, match=r"no agent is running on .*start one"):
        find(None, tmp_path, listen=None)
    with pytest.raises(ConfigError, match="--listen: must be IP-ADDRESS:PORT"):
        find(None, None, listen="localhost")


def test_state_directory_of_another_user_is_no_hindrance(tmp_path: Path) -> None:
    """Who may not look into it can still ask where the configuration says."""
    announce(tmp_path, URL)
    (tmp_path / "server").chmod(0)
    config = configured(tmp_path)
    with as_nobody():
        found = find(config, None, listen=None)
    assert found == "http://127.0.0.1:9880"


# -- what it says


def test_agent_that_runs_is_alive() -> None:
    """It says so, whatever its state is; where nothing listens the way out is said."""
    assert serving(None, alive) == "alive\n"
    with pytest.raises(ShipperError, match="no agent is running"):
        alive(closed_url())


def test_agent_answers(tmp_path: Path) -> None:
    """What it says arrives as it is; a link to its state directory names the same one."""
    status = Status(version="1", state_dir=str(tmp_path), skipped={"/a": "b"})
    link = tmp_path / "link"
    link.symlink_to(tmp_path)
    assert serving(status, ask) == status
    assert serving(status, lambda url: ask(url, state_dir=link)) == status


def test_another_agent_that_listens_there_is_not_taken_for_the_one_meant(tmp_path: Path) -> None:
    """A killed agent leaves its address behind, and the next one may get it."""
    with pytest.raises(ShipperError, match=r"no agent is running on .*: the one at .* works on /x"):
        serving(Status(state_dir="/x"), lambda url: ask(url, state_dir=tmp_path))


def test_agent_that_is_gone_is_an_error_with_a_way_out(tmp_path: Path) -> None:
    """What was killed has left its address behind; nothing listens there."""
    url = closed_url()
    with pytest.raises(ShipperError, match=rf"no agent is running: .*{url}.*--state-dir DIR"):
        ask(url)
    with pytest.raises(ShipperError, match=f"no agent is running on {tmp_path}"):
        ask(url, state_dir=tmp_path)


def test_other_program_that_listens_there_is_named() -> None:
    """One that has no such page, and one whose page is another."""
    with pytest.raises(ShipperError, match="that is no status of shipper"):
        serving(None, ask)
    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as other:
        answering = Thread(target=other.handle_request)
        answering.start()
        with pytest.raises(ShipperError, match=r"answered 501 .* no shipper"):
            ask(f"http://127.0.0.1:{other.server_port}")
        answering.join()


def test_silent_agent_is_an_error() -> None:
    """One that closes the connection without an answer."""
    with socket.create_server(("127.0.0.1", 0)) as one:
        url = f"http://127.0.0.1:{one.getsockname()[1]}"

        async def run() -> None:
            async with asyncio.TaskGroup() as group:
                asking = group.create_task(asyncio.to_thread(ask, url))
                connection, _ = await asyncio.to_thread(one.accept)
                connection.close()
                await asking

        with pytest.RaisesGroup(pytest.RaisesExc(ShipperError, match="does not answer")):
            asyncio.run(run())
