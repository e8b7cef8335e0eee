"""A null Elasticsearch: takes every document, keeps none, and counts.

Owns the counters of one benchmark run, served at ``/stats`` and set to zero by ``/reset``. Promises
to answer ``_bulk`` as Elasticsearch 9.5 does when all goes well (see ``bulk_answer``), in plain
JSON whatever Accept-Encoding says. Indexes nothing, and knows no conflicts, limits or failures: for
those, tests have a fake with behaviour.

A line that holds ``lat=<nanoseconds since the epoch>`` is a marker: with ``--latency`` the time
from there to the arrival of its whole request is kept, and ``/latency`` lists them all.
"""

import argparse
import asyncio
import json
import os
import re
import signal
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Protocol, cast
from urllib.parse import parse_qs, urlsplit

from benchmarks.bulk_answer import bulk_answer, count_documents
from benchmarks.http_messages import Head, answer, decode_body, take_body, take_head

_MARKER = re.compile(rb"lat=(\d+)")
_PARENT_CHECK_SECS = 1.0

_BANNER = {
    "name": "null",
    "cluster_name": "null",
    "cluster_uuid": "bnVsbC1lbGFzdGljc2Vhcg",
    "version": {
        "number": "9.5.3",
        "build_flavor": "default",
        "build_type": "tar",
        "build_hash": "0" * 40,
        "build_date": "2026-01-01T00:00:00.000000000Z",
        "build_snapshot": False,
        "lucene_version": "10.3.2",
        "minimum_wire_compatibility_version": "8.19.0",
        "minimum_index_compatibility_version": "8.0.0",
    },
    "tagline": "You Know, for Search",
}
_HEALTH = {
    "cluster_name": "null",
    "status": "green",
    "timed_out": False,
    "number_of_nodes": 1,
    "number_of_data_nodes": 1,
    "active_primary_shards": 0,
    "active_shards": 0,
    "relocating_shards": 0,
    "initializing_shards": 0,
    "unassigned_shards": 0,
    "active_shards_percent_as_number": 100.0,
}


@dataclass(slots=True)
class Stats:
    """What has arrived; times are nanoseconds since the epoch, 0 while nothing has come."""

    docs: int = 0
    body_bytes: int = 0
    wire_bytes: int = 0
    requests: int = 0
    first_ns: int = 0
    last_ns: int = 0


@dataclass(slots=True)
class NullElasticsearch:
    """Answers requests and counts documents; one for all connections."""

    keeps_latency: bool = False
    stats: Stats = field(default_factory=Stats)
    latencies_ns: list[int] = field(default_factory=list)

    def respond(self, head: Head, body: bytes) -> bytes:
        """Return the response to one request, which has been counted before it is answered."""
        url = urlsplit(head.target)
        if url.path.endswith("/_bulk"):
            return self._bulk(head, body)
        route = self._routes().get(url.path)
        if route is not None:
            return answer(head, json.dumps(route()).encode())
        if head.method in {"GET", "HEAD"}:
            return _error(
                head, "404 Not Found", kind="resource_not_found_exception", reason=url.path
            )
        return answer(head, b'{"acknowledged":true}')

    def _routes(self) -> dict[str, Callable[[], object]]:
        return {
            "/": lambda: _BANNER,
            "/_cluster/health": lambda: _HEALTH,
            "/stats": lambda: asdict(self.stats),
            "/latency": lambda: self.latencies_ns,
            "/reset": self._reset,
        }

    def _reset(self) -> object:
        self.stats = Stats()
        self.latencies_ns = []
        return {}

    def _bulk(self, head: Head, wire_body: bytes) -> bytes:
        now_ns = time.time_ns()
        try:
            body = decode_body(head, wire_body)
        except ValueError as error:
            return _error(head, "400 Bad Request", kind="parse_exception", reason=str(error))
        if not body.endswith(b"\n"):
            reason = "The bulk request must be terminated by a newline [\\n]"
            return _error(head, "400 Bad Request", kind="illegal_argument_exception", reason=reason)
        self._count(body, len(wire_body), now_ns=now_ns)
        url = urlsplit(head.target)
        filter_path = parse_qs(url.query).get("filter_path", [""])[0]
        index = url.path.removesuffix("/_bulk").strip("/").split("/")[0]
        return answer(head, bulk_answer(body, filter_path=filter_path, index=index))

    def _count(self, body: bytes, wire_bytes: int, *, now_ns: int) -> None:
        stats = self.stats
        stats.docs += count_documents(body)
        stats.body_bytes += len(body)
        stats.wire_bytes += wire_bytes
        stats.requests += 1
        stats.first_ns = stats.first_ns or now_ns
        stats.last_ns = now_ns
        if self.keeps_latency:
            self.latencies_ns += [now_ns - int(written) for written in _MARKER.findall(body)]


def _error(head: Head, status: str, *, kind: str, reason: str) -> bytes:
    cause = {"type": kind, "reason": reason}
    content = {
        "error": {"root_cause": [cause], **cause},
        "status": int(status.split(maxsplit=1)[0]),
    }
    return answer(head, json.dumps(content).encode(), status=status)


class Server(Protocol):
    """Answers requests."""

    def respond(self, head: Head, body: bytes) -> bytes:
        """Return the response to one request."""


class _Connection(asyncio.Protocol):
    """One client's connection: requests are answered in the order they come."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._buffer = bytearray()
        self._head: Head | None = None
        self._chunks: list[bytes] = []
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while self._answer_one():
            pass

    def _answer_one(self) -> bool:
        head = self._head or self._next_head()
        body = take_body(head, self._buffer, chunks=self._chunks) if head else None
        if head is None or body is None:
            return False
        self._head, self._chunks = None, []
        self._transport.write(self._server.respond(head, body))
        if head.headers.get("connection", "").lower() == "close":
            self._transport.close()
        return True

    def _next_head(self) -> Head | None:
        self._head = take_head(self._buffer)
        if self._head and "100-continue" in self._head.headers.get("expect", "").lower():
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        return self._head


async def serve(server: Server, port: int) -> None:
    """Serve on 127.0.0.1 until a signal or the parent's end; stdout's first line is the URL."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    listener = await loop.create_server(lambda: _Connection(server), "127.0.0.1", port)
    print(f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}", flush=True)
    await _until_stopped_or_orphaned(stop)
    listener.close()


async def _until_stopped_or_orphaned(stop: asyncio.Event) -> None:
    parent = os.getppid()
    while not stop.is_set() and os.getppid() == parent:
        try:
            async with asyncio.timeout(_PARENT_CHECK_SECS):
                await stop.wait()
        except TimeoutError:
            continue


def main() -> None:
    """Run a null Elasticsearch on 127.0.0.1."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.null_elasticsearch", description=main.__doc__
    )
    parser.add_argument("--port", type=int, default=0, help="0 (the default) takes any free one")
    parser.add_argument("--latency", action="store_true", help="keep the age of each lat= marker")
    options = parser.parse_args()
    asyncio.run(serve(NullElasticsearch(keeps_latency=options.latency), options.port))


if __name__ == "__main__":
    main()
