"""Keeps the pod table current: one list, then one watch, resumed where it ended, for ever.

Theory of operation: the list, answered out of the server's cache, says what there is and of which
version that is; the watch tells every change since. When a watch ends, as each does after some
minutes, the next begins at the version of the last event or bookmark. A list is made again only
when that version is too old (410), when something came that makes no sense, or when the server has
not said a word for so long that a version is not worth much. Three scopes, as in every such client:
`run` outlives every fault and waits, `_turn` is one attempt, `_follow` one watch.

Nothing that happens here ends the agent, and nobody waits for it longer than `PATIENCE_SECS`.

Owns: the version, the trouble. Does not know: what pods are for.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass

import aiohttp

from shipper.backoff import wait_secs
from shipper.errors import KubeUnavailable
from shipper.kube.connection import Connection
from shipper.kube.stream import Event, Lines, event_of, garbage, pods_of
from shipper.kube.table import PodTable
from shipper.metrics import Metrics

log = logging.getLogger(__name__)

_PODS = "/api/v1/pods"
PATIENCE_SECS = 1.2
"""From the start until the API counts as away where it has not answered yet: with it, with a second
or more that a slow machine takes to start, the first document is there within three seconds."""
_WORDED_VARIOUSLY = ("cut", "connect")
"""Reasons whose text depends on the moment in which a connection breaks."""
_MOST_TOLD = 20
_LIST_SILENT_SECS = 15.0
_MAX_LIST_BYTES = 64 << 20
"""Of a node's pods 10 MB are many."""
_MAX_CLUSTER_BYTES = 512 << 20
"""Of all pods of a cluster."""
_LIST_STEP = 20
"""Pods read from a list before the event loop gets to something else: 50 KB take 0.2 ms."""


@dataclass(frozen=True, slots=True)
class Timing:
    """How long things take.

    Attributes:
        start_secs: A fleet that starts at one moment asks within this time: the API serves a list
            in milliseconds, and the first lines wait little more than a second for it.
        watch_secs: After how long, at least and at most, the server is to end a watch, as client-go
            asks it to: by chance, so that a fleet does not come back at one moment.
        silent_secs: A server sends a bookmark about once a minute, unless nothing moves in the
            whole cluster: one that was silent for longer may be gone, and another watch is cheap.
        suspect_secs: How long a server may be silent when somebody waits in vain for a pod.
        trust_secs: How long a version is resumed at without a sign that the server knows it: one
            from the future (its etcd went back to a backup) gets silence, not an error.
        steady_secs: A watch that has lived so long was none of a row of failures.
        max_wait_secs: The longest wait after a failure.
    """

    start_secs: float = 0.5
    watch_secs: tuple[int, int] = (300, 600)
    silent_secs: float = 150.0
    suspect_secs: float = 15.0
    trust_secs: float = 1_800.0
    steady_secs: float = 10.0
    max_wait_secs: float = 30.0


class Watch:
    """The one task that asks for pods.

    Attributes:
        synced: Whether there was a list since the start.
        trouble: Why what is known may be old, in words; empty while it is not.
        doubt: Why there may be more than what is known, in words; empty if there is none.
    """

    def __init__(
        self,
        connection: Connection,
        table: PodTable,
        *,
        node: str | None,
        metrics: Metrics,
        changed: Callable[[], None],
        timing: Timing = Timing(),
    ) -> None:
        """Prepare.

        Args:
            connection: The way to the API.
            table: What is kept current.
            node: Whose pods; None: all of the cluster.
            metrics: The agent's metrics.
            changed: Called when something is known that was not.
            timing: How long things take.
        """
        self.synced = False
        self.trouble = self.doubt = ""
        self._connection = connection
        self._table = table
        self._node = node
        self._metrics = metrics
        self._changed = changed
        self._timing = timing
        self._version = ""
        self._is_listed = self._is_stale = False
        self._heard_at = self._began_at = self._asked_at = time.monotonic()
        self._end_of_watch: asyncio.Timeout | None = None
        self._failures, self._failed_for = 0, ""
        self._told: set[str] = set()

    @property
    def away(self) -> bool:
        """Whether nobody should wait for the API."""
        is_slow = time.monotonic() - self._began_at > PATIENCE_SECS
        return bool(self.trouble) or (not self.synced and is_slow)

    def suspect(self) -> None:
        """Take note that somebody has waited in vain: the stream may have come to a standstill.

        If it was silent, another watch tells, at most once in `suspect_secs`.
        """
        silent_secs = time.monotonic() - max(self._heard_at, self._asked_at)
        if self._end_of_watch is not None and silent_secs > self._timing.suspect_secs:
            self._end_of_watch.reschedule(asyncio.get_running_loop().time())
            self._end_of_watch = None  # once: it may not be changed when it is over

    async def run(self) -> None:
        """Follow the API for ever."""
        self._began_at = time.monotonic()
        await asyncio.sleep(random.random() * self._timing.start_secs)  # noqa: S311  # jitter is no secret
        while True:
            try:
                await self._turn()
            except KubeUnavailable as fault:
                await self._wait_out(fault)

    async def _turn(self) -> None:
        if time.monotonic() - self._heard_at > self._timing.trust_secs:
            self._version = ""
        if not self._version:
            await self._list()
        began_at = time.monotonic()
        try:
            await self._follow()
        finally:
            is_steady = time.monotonic() - began_at > self._timing.steady_secs
            self._failures = 0 if is_steady else self._failures
        if not is_steady:
            raise KubeUnavailable("the watch ended as soon as it began", reason="cut")

    # -- the two requests

    async def _list(self) -> None:
        # "0": any version that the server has at hand; none: the newest, which etcd has to confirm.
        query = {} if self._is_stale else {"resourceVersion": "0"}
        body = bytearray()
        most = _MAX_CLUSTER_BYTES if self._node is None else _MAX_LIST_BYTES
        self._metrics.kube_requests.labels("list").inc()
        async with self._connection.get(
            _PODS, self._selector | query, silent_secs=_LIST_SILENT_SECS
        ) as answer:
            async for data in answer.content.iter_any():
                body += data
                if len(body) > most:
                    raise garbage(f"a list of more than {most >> 20} MiB", body)
        version, read = pods_of(body)
        pods = []
        for pod in read:
            pods.append(pod)
            if len(pods) % _LIST_STEP == 0:
                await asyncio.sleep(0)
        self._table.replace(pods)
        self._version, self._is_listed, self._is_stale = version, True, False
        self._hears()
        self._tell(len(pods))

    async def _follow(self) -> None:
        self._metrics.kube_requests.labels("watch").inc()
        self._asked_at = time.monotonic()
        is_open = False
        query = {
            "watch": "1",
            "allowWatchBookmarks": "true",
            "resourceVersion": self._version,
            "timeoutSeconds": str(random.randint(*self._timing.watch_secs)),  # noqa: S311  # as above
        }
        try:
            async with self._connection.get(
                _PODS, self._selector | query, silent_secs=self._timing.silent_secs
            ) as answer:
                is_open = True
                self._answers()
                await self._read(answer)
        except KubeUnavailable as fault:
            if fault.reason != "timeout" or not is_open:
                raise
            log.debug("the watch was silent for too long")

    async def _read(self, answer: aiohttp.ClientResponse) -> None:
        lines = Lines()
        try:
            async with asyncio.timeout(None) as self._end_of_watch:
                async for data in answer.content.iter_any():
                    self._take(lines.feed(data))
        finally:
            self._end_of_watch = None

    def _take(self, lines: list[bytes]) -> None:
        for line in lines:
            event = event_of(line)
            self._apply(event)
            self._version, self._is_listed = event.version, False
        if lines:
            self._hears()

    def _apply(self, event: Event) -> None:
        self._metrics.kube_events.labels(event.kind).inc()
        if event.pod is None:
            return
        if event.kind == "DELETED":
            self._table.remove(event.pod)
        else:
            self._table.put(event.pod)
            self.doubt = ""

    @property
    def _selector(self) -> dict[str, str]:
        return {} if self._node is None else {"fieldSelector": f"spec.nodeName={self._node}"}

    # -- what became of them

    def _hears(self) -> None:
        """Take note that the server has told something."""
        self._heard_at = time.monotonic()
        self._answers()
        self._changed()

    def _answers(self) -> None:
        if self.trouble:
            log.info("the Kubernetes API answers again")
            self.trouble = ""
            self._told.clear()
            self._changed()

    def _tell(self, count: int) -> None:
        self.doubt = "" if count or self._node is None else _no_pods(self._node)
        if self.doubt:
            log.warning("the Kubernetes API knows no pod of node %s", self._node)
        elif not self.synced:
            log.info("%d pods are known from the Kubernetes API", count)
        self.synced = True
        self._changed()

    async def _wait_out(self, fault: KubeUnavailable) -> None:
        """Wait as long as the failures in a row and the server ask for."""
        self._metrics.kube_faults.labels(fault.reason).inc()
        # Whoever is told so has got through: it is no more of what failed before.
        is_new = fault.reason == "expired" and self._failed_for != "expired"
        self._failures = 1 if is_new else self._failures + 1
        self._failed_for = fault.reason
        if fault.relist:
            # Expired before anything has happened: what answers has an old cache.
            is_stale = self._is_listed or not self._version
            self._version, self._is_stale = "", is_stale and fault.reason == "expired"
        if self._failures > 1 or fault.reason not in {"cut", "expired"}:
            self._complain(self._connection.told(fault), fault.reason)
        chance = random.random()  # noqa: S311  # as above
        after = fault.retry_after_secs
        await asyncio.sleep(
            wait_secs(
                self._failures, chance, max_secs=self._timing.max_wait_secs, retry_after_secs=after
            )
        )

    def _complain(self, why: str, reason: str) -> None:
        what = reason if reason in _WORDED_VARIOUSLY else why
        if what not in self._told:
            log.warning("pods are not followed, documents may lack metadata: %s", why)
        self._told = {*self._told, what} if len(self._told) < _MOST_TOLD else {what}
        self.trouble = why
        self._changed()


def _no_pods(node: str) -> str:
    return f"the Kubernetes API knows no pod of node {node}: is that its name there? (node_name)"
