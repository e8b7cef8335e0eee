"""An Elasticsearch that keeps documents by id, and misbehaves by a script.

Each `_bulk` request takes the next act of the script; when that is over, all goes well. What a
version does by itself (gzip, types, paths) it does without a script.
"""

import asyncio
import gzip
import json
import ssl
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

CREATED, CONFLICT = 201, 409
_TLS_HANDSHAKE = b"\x16"


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it came."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def path(self) -> str:
        """The target without its query."""
        return urlsplit(self.target).path

    @property
    def lines(self) -> list[dict[str, Any]]:
        """The lines of a `_bulk` body."""
        plain = self.headers.get("content-encoding") != "gzip"
        body = self.body if plain else gzip.decompress(self.body)
        return [json.loads(line) for line in body.splitlines()]


@dataclass(slots=True)
class FakeElasticsearch:
    """The server: what it holds, what it was asked, and what it does next.

    Attributes:
        script: Acts for the next `_bulk` requests.
        version: Its version; None answers `GET /` with `root_status` alone.
        root_status: Status of `GET /`.
        reads_gzip: Whether it takes gzip; else it closes the connection, as 2.4 does.
        documents: By index and id.
        requests: All that came, in order.
        url: Where it listens.
    """

    script: list["Act"] = field(default_factory=list)
    version: str | None = "9.5.3"
    distribution: str | None = None
    root_status: int = 200
    reads_gzip: bool = True
    documents: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    url: str = ""
    _connections: set[asyncio.Task[Any]] = field(default_factory=set)

    @property
    def bulks(self) -> list[Request]:
        """The `_bulk` requests that came."""
        return [r for r in self.requests if r.path.endswith("/_bulk")]

    def index(self, request: Request, *, first: int | None = None) -> list[dict[str, Any]]:
        """Index a request's documents, or only the first of them; returns the items."""
        lines = request.lines
        pairs = list(zip(lines[::2], lines[1::2], strict=True))[:first]
        return [self._create(action["create"], source) for action, source in pairs]

    def _create(self, target: dict[str, str], source: dict[str, Any]) -> dict[str, Any]:
        place = (target["_index"], target["_id"])
        if place in self.documents:
            error = {"type": "version_conflict_engine_exception", "reason": "exists"}
            return {"create": {"status": CONFLICT, "error": error}}
        self.documents[place] = source
        return {"create": {"status": CREATED}}

    # -- connections

    @asynccontextmanager
    async def serving(
        self, *, port: int = 0, tls: ssl.SSLContext | None = None
    ) -> AsyncIterator["FakeElasticsearch"]:
        """Listen on 127.0.0.1 within the running loop; at the end every connection is cut."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", port, ssl=tls)
        bound = server.sockets[0].getsockname()[1]
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{bound}"
        try:
            yield self
        finally:
            server.close()
            for connection in self._connections:
                connection.cancel()
            if self._connections:
                await asyncio.wait(self._connections)

    @contextmanager
    def in_thread(self) -> Iterator["FakeElasticsearch"]:
        """Listen in a loop of its own, for code under test that brings its own as well."""
        loop = asyncio.new_event_loop()
        ready, done = threading.Event(), asyncio.Event()

        async def serve() -> None:
            async with self.serving():
                ready.set()
                await done.wait()

        thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
        thread.start()
        ready.wait(10)
        try:
            yield self
        finally:
            loop.call_soon_threadsafe(done.set)
            thread.join()
            loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = asyncio.current_task()
        assert connection is not None
        self._connections.add(connection)
        try:
            # A connection that goes away in the middle of something is a matter of course here.
            gone = (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError)
            with suppress(*gone, asyncio.CancelledError):
                while not writer.is_closing():
                    if (request := await _read(reader)) is None:
                        await answer(writer, b"", status=400)
                        break
                    await self._answer(request, writer)
        finally:
            self._connections.discard(connection)
            writer.transport.abort()

    async def _answer(self, request: Request, writer: asyncio.StreamWriter) -> None:
        self.requests.append(request)
        if request.path.endswith("/_bulk"):
            gzipped = request.headers.get("content-encoding") == "gzip"
            act = close if gzipped and not self.reads_gzip else self._next_act()
            await act(self, request, writer)
            return
        version: dict[str, str] = {"number": self.version or ""}
        if self.distribution:
            version["distribution"] = self.distribution
        body = {"version": version} if self.version else {"error": "not for you"}
        await answer(writer, json.dumps(body).encode(), status=self.root_status)

    def _next_act(self) -> "Act":
        return self.script.pop(0) if self.script else take


Act = Callable[[FakeElasticsearch, Request, asyncio.StreamWriter], Awaitable[None]]
"""What the server does with one request."""


# -- acts


async def take(es: FakeElasticsearch, request: Request, writer: asyncio.StreamWriter) -> None:
    """Index everything and say so."""
    await answer(writer, bulk_answer(es.index(request)))


async def close(_es: FakeElasticsearch, _: Request, writer: asyncio.StreamWriter) -> None:
    """Close the connection without an answer, nothing indexed."""
    writer.close()
    await writer.wait_closed()


async def take_and_reset(
    es: FakeElasticsearch, request: Request, writer: asyncio.StreamWriter
) -> None:
    """Index everything, and reset the connection in the middle of the answer."""
    body = bulk_answer(es.index(request))
    writer.write(_head(200, len(body), {}) + body[: len(body) // 2])
    await writer.drain()
    writer.transport.abort()


async def take_and_hang(
    es: FakeElasticsearch, request: Request, _writer: asyncio.StreamWriter
) -> None:
    """Index everything, and never answer."""
    es.index(request)
    await asyncio.Event().wait()


async def take_and_babble(
    es: FakeElasticsearch, request: Request, writer: asyncio.StreamWriter
) -> None:
    """Index everything, and answer without an end."""
    es.index(request)
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n")
    while True:
        writer.write(b" " * 65_536)
        await writer.drain()


async def trickle(es: FakeElasticsearch, request: Request, writer: asyncio.StreamWriter) -> None:
    """Answer a byte at a time, for ever slower than anybody waits."""
    es.index(request)
    writer.write(_head(200, 1_000_000, {}))
    while True:
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.01)


def says(
    status: int,
    body: bytes = b"",
    *,
    indexed: int | None = 0,
    headers: dict[str, str] | None = None,
) -> Act:
    """Index the first so many (None: all), and answer with this."""

    async def act(es: FakeElasticsearch, request: Request, writer: asyncio.StreamWriter) -> None:
        es.index(request, first=indexed)
        await answer(writer, body, status=status, headers=headers)

    return act


def refuses(fates: Sequence[tuple[int, str] | None]) -> Act:
    """Give each document the status and error type at its place; None, and all behind, go well."""

    async def act(es: FakeElasticsearch, request: Request, writer: asyncio.StreamWriter) -> None:
        await answer(writer, bulk_answer(partly(es, request, lambda n, _: fate_at(fates, n))))

    return act


def refuses_where(
    bad: Callable[[dict[str, Any]], tuple[int, str] | None],
) -> Act:
    """Give a document the fate that its source earns."""

    async def act(es: FakeElasticsearch, request: Request, writer: asyncio.StreamWriter) -> None:
        await answer(writer, bulk_answer(partly(es, request, lambda _, source: bad(source))))

    return act


def refuses_request_where(bad: Callable[[dict[str, Any]], bool], status: int) -> Act:
    """Refuse a request as a whole if it holds such a document."""

    async def act(es: FakeElasticsearch, request: Request, writer: asyncio.StreamWriter) -> None:
        if any(bad(source) for source in request.lines[1::2]):
            await answer(writer, error_answer("poison", status), status=status)
        else:
            await take(es, request, writer)

    return act


def limits(max_bytes: int) -> Act:
    """Answer 413 to a body that is longer."""

    async def act(es: FakeElasticsearch, request: Request, writer: asyncio.StreamWriter) -> None:
        body = b"".join(json.dumps(line).encode() for line in request.lines)
        if len(body) > max_bytes:
            await answer(writer, b"", status=413)
        else:
            await take(es, request, writer)

    return act


def fate_at(fates: Sequence[tuple[int, str] | None], place: int) -> tuple[int, str] | None:
    """The fate at a place; behind the last one all goes well."""
    return fates[place] if place < len(fates) else None


def partly(
    es: FakeElasticsearch,
    request: Request,
    fate: Callable[[int, dict[str, Any]], tuple[int, str] | None],
) -> list[dict[str, Any]]:
    """Index the documents that have no fate; returns all items."""
    items = []
    lines = request.lines
    for place, (action, source) in enumerate(zip(lines[::2], lines[1::2], strict=True)):
        bad = fate(place, source)
        if bad is None:
            items.append(es._create(action["create"], source))  # noqa: SLF001  # beside its class
        else:
            error = {"type": bad[1], "reason": f"refused by the script: {source.get('log')}"}
            items.append({"create": {"status": bad[0], "error": error}})
    return items


# -- HTTP


def bulk_answer(items: Sequence[dict[str, Any]]) -> bytes:
    """The body of an answer with these items, `errors` first."""
    statuses = [next(iter(item.values()))["status"] for item in items]
    errors = any(status != CREATED for status in statuses)
    return json.dumps({"errors": errors, "items": list(items)}, separators=(",", ":")).encode()


def error_answer(reason: str, status: int, *, kind: str = "some_exception") -> bytes:
    """The body of an answer that refuses a request as a whole."""
    return json.dumps({"error": {"type": kind, "reason": reason}, "status": status}).encode()


async def answer(
    writer: asyncio.StreamWriter,
    body: bytes,
    *,
    status: int = 200,
    headers: dict[str, str] | None = None,
) -> None:
    """Write a whole response."""
    writer.write(_head(status, len(body), headers or {}) + body)
    await writer.drain()


def _head(status: int, length: int, headers: dict[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", f"content-length: {length}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode()


async def _read(reader: asyncio.StreamReader) -> Request | None:
    first = await reader.readexactly(1)
    if first == _TLS_HANDSHAKE:
        return None
    head = (first + await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    method, target, _ = head[0].split(" ")
    pairs = (line.split(": ", 1) for line in head[1:] if line)
    headers = {name.lower(): value for name, value in pairs}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Request(method, target, headers, body)
