"""Namespaces of this node's pods: each asked for once, when a pod of it needs it.

A watch of all namespaces by every node would cost the API more than all else here, to see changes
of a few that hardly ever change. So one is asked for when it is first needed, again once an hour,
and again when a pod comes into one that had none: it may be another of the same name.

Owns: what is known of namespaces. Does not know: pods.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import quote

import orjson

from shipper.backoff import wait_secs
from shipper.errors import KubeUnavailable
from shipper.kube.connection import Connection
from shipper.kube.stream import garbage
from shipper.metrics import Metrics
from shipper.pipeline.pod import Namespace, namespace_of

log = logging.getLogger(__name__)

_FRESH_SECS = 3_600.0
_MISSING_SECS = 300.0
"""Until one that is not there is asked for again."""
_SILENT_SECS = 15.0
_MAX_BYTES = 4 << 20
_MAX_WAIT_SECS = 30.0
_MOST = 2_000
"""A cluster that makes one for every test run has had more in a month."""


@dataclass(slots=True)
class _Entry:
    """What is known of one.

    Attributes:
        namespace: It, or None if nothing is.
        due: When it is to be asked for again.
        is_answered: Whether the API has said anything of it, be it no.
    """

    namespace: Namespace | None = None
    due: float = -math.inf
    is_answered: bool = False


class Namespaces:
    """The namespaces that were asked for.

    Attributes:
        trouble: Why they are not to be had, in words; empty while they are.
        changed: Names of those that were changed; whoever saves them empties it.
    """

    def __init__(
        self, connection: Connection, *, metrics: Metrics, changed: Callable[[], None]
    ) -> None:
        """Start with none.

        Args:
            connection: The way to the API.
            metrics: The agent's metrics.
            changed: Called when something is known that was not.
        """
        self.trouble = ""
        self.changed: set[str] = set()
        self._connection = connection
        self._metrics = metrics
        self._tell = changed
        self._entries: dict[str, _Entry] = {}
        self._asked: dict[str, None] = {}
        self._put_offs: set[str] = set()
        self._reason = ""
        self._wake = asyncio.Event()

    @property
    def known(self) -> Mapping[str, Namespace]:
        """Those that are known, by name."""
        pairs = ((name, entry.namespace) for name, entry in self._entries.items())
        return {name: namespace for name, namespace in pairs if namespace is not None}

    def get(self, name: str, *, now: float | None = None) -> Namespace | None:
        """Return one if it is known; it is asked for if it is not, or was long ago."""
        entry = self._entries.pop(name, None)
        if entry is None:
            self._make_room()
            entry = _Entry()
        self._entries[name] = entry  # behind those that were not needed for longer
        if entry.due < (time.monotonic() if now is None else now) and name not in self._asked:
            self._asked[name] = None
            self._wake.set()
        return entry.namespace

    def is_settled(self, name: str) -> bool:
        """Tell whether the API has answered for one, or is not going to soon."""
        return bool(self.trouble) or self._entries.get(name, _Entry()).is_answered

    def restore(self, namespaces: Iterable[Namespace]) -> None:
        """Begin with namespaces as they were known before."""
        self._entries.update({each.name: _Entry(each) for each in namespaces})

    def doubt(self, names: Iterable[str]) -> None:
        """Ask for these again when they are needed: they may be others of the same name."""
        for name in names:
            if name in self._entries:
                self._entries[name].due, self._entries[name].is_answered = -math.inf, False

    async def run(self) -> None:
        """Ask for what is needed, for ever, one after another."""
        failures = 0
        while True:
            while not self._asked:
                self._wake.clear()
                await self._wake.wait()
            name = next(iter(self._asked))
            try:
                await self._ask(name)
                failures = 0
            except KubeUnavailable as fault:
                failures += 1
                self._metrics.kube_faults.labels(fault.reason).inc()
                self._put_off(name)
                self._complain(fault)
                chance, after = random.random(), fault.retry_after_secs  # noqa: S311  # jitter
                await asyncio.sleep(
                    wait_secs(failures, chance, max_secs=_MAX_WAIT_SECS, retry_after_secs=after)
                )

    async def _ask(self, name: str) -> None:
        try:
            found: Namespace | None = await self._request(name)
            fresh_secs = _FRESH_SECS
        except KubeUnavailable as fault:
            if fault.reason != "missing":
                raise
            self._metrics.kube_faults.labels(fault.reason).inc()
            found, fresh_secs = self.known.get(name), _MISSING_SECS
        self._settle(name, found, secs=fresh_secs * (1 - random.random() / 4))  # noqa: S311

    async def _request(self, name: str) -> Namespace:
        self._metrics.kube_requests.labels("get").inc()
        body = bytearray()
        async with self._connection.get(
            f"/api/v1/namespaces/{quote(name, safe='')}",
            {"resourceVersion": "0"},
            silent_secs=_SILENT_SECS,
        ) as answer:
            async for data in answer.content.iter_any():
                body += data
                if len(body) > _MAX_BYTES:
                    raise garbage("a namespace that is too large", body)
        try:
            found = namespace_of(orjson.loads(body))
        except orjson.JSONDecodeError:
            raise garbage("something that is no namespace", body) from None
        if found.name != name:
            raise garbage("another namespace", body)
        return found

    def _settle(self, name: str, namespace: Namespace | None, *, secs: float) -> None:
        self._asked.pop(name, None)
        self._put_offs.discard(name)
        if not self._put_offs:
            self.trouble = ""
        entry = self._entries.get(name)
        if entry is None:  # it had to make room meanwhile
            return
        if entry.namespace != namespace:
            entry.namespace = namespace
            self.changed.add(name)
        entry.due, entry.is_answered = time.monotonic() + secs, True
        self._tell()

    def _make_room(self) -> None:
        if len(self._entries) >= _MOST:
            oldest = next(iter(self._entries))
            del self._entries[oldest]
            self._asked.pop(oldest, None)
            self._put_offs.discard(oldest)
            self.changed.add(oldest)

    def _put_off(self, name: str) -> None:
        """Let the others have their turn: what is refused for one may be had for them."""
        if self._asked.pop(name, name) is None:  # it has not had to make room meanwhile
            self._asked[name] = None
            self._put_offs.add(name)

    def _complain(self, fault: KubeUnavailable) -> None:
        if not self.trouble or fault.reason != self._reason:  # each is of another namespace
            self.trouble, self._reason = self._connection.told(fault), fault.reason
            log.warning(
                "namespaces are not known, documents may lack their labels: %s", self.trouble
            )
        self._tell()
