"""The HTTP server, by real requests."""

import asyncio
import socket
from collections.abc import Callable, Sequence
from http.client import HTTPConnection
from urllib.parse import urlsplit

import pytest
from prometheus_client import CollectorRegistry, Counter
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from shipper.config import ServerConfig
from shipper.errors import ShipperError
from shipper.ops.server import Server

Answer = tuple[int, str, str]


def get(url: str, path: str, accept: str = "") -> Answer:
    """Status, content type and body."""
    connection = HTTPConnection(urlsplit(url).netloc, timeout=10)
    try:
        connection.request("GET", path, headers={"Accept": accept} if accept else {})
        answer = connection.getresponse()
        return answer.status, answer.headers["Content-Type"], answer.read().decode()
    finally:
        connection.close()


def ask(
    ask_it: Callable[[str], Answer],
    *,
    why: str = "",
    remarks: Sequence[str] = (),
    listen: str = "127.0.0.1:0",
) -> Answer:
    """Start a server, ask it, and stop it."""

    async def run() -> Answer:
        registry = CollectorRegistry()
        Counter("x_bytes", "Of something.", registry=registry).inc(3)
        server = Server(
            ServerConfig(listen=listen),
            registry,
            not_ready=lambda: why,
            remarks=lambda: remarks,
            status=lambda: b'{"a":1}',
        )
        await server.start()
        try:
            return await asyncio.to_thread(ask_it, server.url)
        finally:
            await server.stop()

    return asyncio.run(run())


def test_metrics_are_prometheus_text_by_default() -> None:
    """Curl and old scrapers get the text format with its version."""
    status, kind, body = ask(lambda url: get(url, "/metrics"))
    assert (status, kind) == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert "x_bytes_total 3.0\n" in body


@pytest.mark.parametrize(
    "accept",
    [
        "application/openmetrics-text",
        "application/openmetrics-text; version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
    ],
)
def test_metrics_are_openmetrics_to_who_asks_for_it(accept: str) -> None:
    """Content type and grammar are OpenMetrics'."""
    status, kind, body = ask(lambda url: get(url, "/metrics", accept))
    assert (status, kind.split(";")[0]) == (200, "application/openmetrics-text")
    assert body.endswith("# EOF\n")
    families = text_string_to_metric_families(body)  # type: ignore[no-untyped-call]
    assert "x_bytes" in {family.name for family in families}


def test_status_is_json() -> None:
    """It is made for each request, and given as it is."""
    assert ask(lambda url: get(url, "/status")) == (200, "application/json", '{"a":1}')


def test_agent_is_live_as_long_as_it_answers() -> None:
    """Also an agent that is not ready is live: a restart would not help it."""
    assert ask(lambda url: get(url, "/livez"), why="waiting")[::2] == (200, "alive\n")


def test_readiness_says_why_not() -> None:
    """The body of a 503 is the reason; what stops no document is a further line of either."""
    assert ask(lambda url: get(url, "/readyz"))[::2] == (200, "ready\n")
    answer = ask(lambda url: get(url, "/readyz"), remarks=["some wait", "kubernetes: away"])
    assert answer[::2] == (200, "ready\nsome wait\nkubernetes: away\n")
    answer = ask(lambda url: get(url, "/readyz"), why="the disk is full", remarks=["some wait"])
    assert answer[::2] == (503, "not ready: the disk is full\nsome wait\n")


def test_other_paths_are_not_found() -> None:
    """There is nothing else."""
    assert ask(lambda url: get(url, "/"))[0] == 404


def test_ipv6_address_is_written_in_brackets() -> None:
    """The URL that is shown can be used."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        listen = "127.0.0.1:0"  # no IPv6 here: the same for the other family
    else:
        listen = "[::1]:0"
    assert ask(lambda url: get(url, "/livez"), listen=listen)[0] == 200


def test_port_in_use_is_an_error_or_another_port(caplog: pytest.LogCaptureFixture) -> None:
    """A configured port must be free; where nobody asked for it another is taken, and named."""

    async def run(*, any_port: bool) -> str:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            listen = f"127.0.0.1:{taken.getsockname()[1]}"
            server = Server(ServerConfig(listen=listen), CollectorRegistry(), not_ready=str)
            await server.start(any_port=any_port)
            await server.stop()
            return server.url

    with pytest.raises(ShipperError, match=r"the address is in use.*choose another address"):
        asyncio.run(run(any_port=False))
    url = asyncio.run(run(any_port=True))
    assert caplog.messages[-1].endswith(f"is in use: metrics are at {url}")


def test_foreign_address_is_an_error_also_where_any_port_will_do() -> None:
    """Another port would not help."""
    server = Server(ServerConfig(listen="192.0.2.1:1"), CollectorRegistry(), not_ready=str)
    with pytest.raises(ShipperError, match=r"server\.listen 192\.0\.2\.1:1"):
        asyncio.run(server.start(any_port=True))
