"""A Kubernetes API with pods, namespaces and a history, which misbehaves by a script.

Each request takes the next act of the script; when that is over, all goes well. What a real server
does is shown by a real one (tests/e2e): this one is for faults that a real one does not have, and
for tests that have to be fast.
"""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

Act = Callable[["FakeKubernetes", web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as it came."""

    path: str
    query: dict[str, str]
    authorization: str

    @property
    def verb(self) -> str:
        """What it asks for."""
        if "/namespaces/" in self.path:
            return "get"
        return "watch" if "watch" in self.query else "list"


@dataclass(slots=True)
class FakeKubernetes:
    """The server: what there is, what it was asked, and what it does next.

    Attributes:
        pods: By uid.
        namespaces: By name.
        events: What has happened: the version and the event.
        oldest: From which version on it can tell what happened.
        script: Acts for the next requests.
        asked: All that came, in order.
        url: Where it listens.
    """

    pods: dict[str, dict[str, Any]] = field(default_factory=dict)
    namespaces: dict[str, dict[str, Any]] = field(default_factory=dict)
    events: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    version: int = 1
    oldest: int = 0
    script: list[Act] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    url: str = ""
    _moved: asyncio.Event = field(default_factory=asyncio.Event)
    _is_ending: asyncio.Event = field(default_factory=asyncio.Event)

    def verbs(self) -> list[str]:
        """What it was asked for, in order."""
        return [each.verb for each in self.asked]

    # -- what happens in the cluster

    def put(self, pod: dict[str, Any]) -> None:
        """A pod is added, or has changed."""
        uid = pod["metadata"]["uid"]
        self._happen("MODIFIED" if uid in self.pods else "ADDED", pod)
        self.pods[uid] = pod

    def delete(self, uid: str) -> None:
        """A pod is gone."""
        self._happen("DELETED", self.pods.pop(uid))

    def bookmark(self) -> None:
        """Something happens elsewhere."""
        self._happen("BOOKMARK", {"kind": "Pod", "metadata": {}, "spec": {"containers": None}})

    def compact(self) -> None:
        """Forget what has happened so far."""
        self.version += 1
        self.oldest = self.version

    def end_watches(self) -> None:
        """End every watch in good order."""
        self._is_ending.set()
        self._is_ending = asyncio.Event()

    def _happen(self, kind: str, thing: dict[str, Any]) -> None:
        self.version += 1
        thing["metadata"]["resourceVersion"] = str(self.version)
        self.events.append((self.version, {"type": kind, "object": thing}))
        self._moved.set()
        self._moved = asyncio.Event()

    # -- requests

    async def list(self, _: web.Request) -> web.StreamResponse:
        """Answer a list."""
        items = list(self.pods.values())
        metadata = {"resourceVersion": str(self.version)}
        return web.json_response({"kind": "PodList", "metadata": metadata, "items": items})

    async def watch(self, request: web.Request) -> web.StreamResponse:
        """Answer a watch, until it is ended."""
        answer = await begin(request)
        since, ending = int(request.query["resourceVersion"]), self._is_ending
        if since < self.oldest:
            await send(answer, expired())
            return answer
        while True:
            moved = self._moved
            for version, event in self.events:
                if version > since:
                    await send(answer, event)
                    since = version
            if ending.is_set():
                return answer
            await _first_of(moved, ending)

    async def get(self, request: web.Request) -> web.StreamResponse:
        """Answer a request for a namespace."""
        namespace = self.namespaces.get(request.match_info["name"])
        if namespace is None:
            return status(404, "namespaces not found")
        return web.json_response(namespace)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        asked = Asked(request.path, dict(request.query), request.headers.get("Authorization", ""))
        self.asked.append(asked)
        if self.script:
            return await self.script.pop(0)(self, request)
        return await {"list": self.list, "watch": self.watch, "get": self.get}[asked.verb](request)

    @asynccontextmanager
    async def serving(
        self, *, port: int = 0, tls: ssl.SSLContext | None = None
    ) -> AsyncIterator["FakeKubernetes"]:
        """Listen on 127.0.0.1 within the running loop; at the end every connection is cut."""
        app = web.Application()
        app.router.add_get("/api/v1/pods", self._answer)
        app.router.add_get("/api/v1/namespaces/{name}", self._answer)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port, ssl_context=tls).start()
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield self
        finally:
            await runner.cleanup()


async def _first_of(*events: asyncio.Event) -> None:
    waits = [asyncio.ensure_future(event.wait()) for event in events]  # noqa: TID251  # no group: the first one ends it
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()


# -- acts


async def begin(request: web.Request) -> web.StreamResponse:
    """Begin the answer to a watch."""
    answer = web.StreamResponse(headers={"Content-Type": "application/json"})
    await answer.prepare(request)
    return answer


async def send(answer: web.StreamResponse, event: object) -> None:
    """Send a line of a watch."""
    await answer.write(json.dumps(event).encode() + b"\n")


def expired() -> dict[str, Any]:
    """What a server says of a version that it has forgotten."""
    told = {"kind": "Status", "status": "Failure", "code": 410, "reason": "Expired"}
    return {"type": "ERROR", "object": told | {"message": "too old resource version: 1 (2)"}}


def status(code: int, message: str, *, headers: dict[str, str] | None = None) -> web.Response:
    """An answer that is a `Status`."""
    body = {"kind": "Status", "status": "Failure", "message": message, "code": code}
    return web.json_response(body, status=code, headers=headers)


def refuse(code: int, message: str, *, headers: dict[str, str] | None = None) -> Act:
    """Answer with a `Status`."""

    async def act(_: FakeKubernetes, __: web.Request) -> web.StreamResponse:
        return status(code, message, headers=headers)

    return act


def say(*pieces: bytes, cut: bool = False) -> Act:
    """Answer 200 and these pieces, and end there, or break off."""

    async def act(_: FakeKubernetes, request: web.Request) -> web.StreamResponse:
        answer = await begin(request)
        for piece in pieces:
            await answer.write(piece)
        if cut:
            assert request.transport is not None
            request.transport.close()
        return answer

    return act


async def well(fake: FakeKubernetes, request: web.Request) -> web.StreamResponse:
    """Do as without a script."""
    return await (fake.watch if "watch" in request.query else fake.list)(request)


async def hang(_: FakeKubernetes, __: web.Request) -> web.StreamResponse:
    """Do not answer at all."""
    await asyncio.sleep(3_600)
    raise AssertionError


async def fall_silent(_: FakeKubernetes, request: web.Request) -> web.StreamResponse:
    """Begin a watch, and say nothing."""
    answer = await begin(request)
    await asyncio.sleep(3_600)
    return answer
