"""What the API sends: the list of pods, and the lines of its watch. Nothing of it is trusted.

Pure: bytes in, values out. Does not know: connections.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import orjson

from shipper.errors import KubeUnavailable
from shipper.pipeline.pod import Pod, pod_of
from shipper.pipeline.untyped import count, mapping, text

MAX_LINE_BYTES = 16 << 20
"""Of one event. etcd takes objects of 1.5 MiB by default; what is ten times that is no event."""

_EXPIRED = 410
_TOO_MANY = 429
_SHOWN_BYTES = 80
_KINDS = frozenset(("ADDED", "MODIFIED", "DELETED", "BOOKMARK"))


class _ListMeta(msgspec.Struct, rename="camel"):
    resource_version: str


class _PodList(msgspec.Struct):
    kind: str
    metadata: _ListMeta
    items: list[msgspec.Raw] | None


@dataclass(frozen=True, slots=True)
class Event:
    """One line of a watch.

    Attributes:
        kind: `ADDED`, `MODIFIED`, `DELETED` or `BOOKMARK`.
        version: Of all resources once it has happened: a watch may begin there.
        pod: The pod that it is of; none for a bookmark.
    """

    kind: str
    version: str
    pod: Pod | None


class Lines:
    """Cuts a stream into its lines, however it comes in pieces.

    Attributes:
        pending_bytes: Bytes of a line whose end has not come.
    """

    def __init__(self) -> None:
        """Begin with an empty stream."""
        self.pending_bytes = 0
        self._pending: list[bytes] = []

    def feed(self, data: bytes) -> list[bytes]:
        """Return the lines that this piece completes.

        Raises:
            KubeUnavailable: A line is longer than any event can be.
        """
        *ended, rest = data.split(b"\n")
        if ended:
            ended[0] = b"".join((*self._pending, ended[0]))
            self._pending, self.pending_bytes = [], 0
        if rest:
            self._pending.append(rest)
            self.pending_bytes += len(rest)
        if self.pending_bytes > MAX_LINE_BYTES:
            raise garbage(f"a line of more than {MAX_LINE_BYTES >> 20} MiB", self._pending[0])
        return [line for line in ended if line.strip()]


def pods_of(body: bytes | bytearray) -> tuple[str, Iterator[Pod]]:
    """Read a list of pods.

    Returns:
        The version of all resources then, and the pods, read one by one.

    Raises:
        KubeUnavailable: It is none.
    """
    try:
        answer = msgspec.json.decode(body, type=_PodList)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise garbage("something that is no list of pods", body) from None
    if answer.kind != "PodList" or not answer.metadata.resource_version:
        raise garbage("something that is no list of pods", body)
    return answer.metadata.resource_version, _each_pod(answer.items or [])


def event_of(line: bytes) -> Event:
    """Read a line of a watch.

    Raises:
        KubeUnavailable: It is no event, or one that says that the watch is over.
    """
    try:
        event: Any = orjson.loads(line)
    except orjson.JSONDecodeError:
        raise garbage("a line that is no JSON", line) from None
    told = event if isinstance(event, dict) else {}
    kind, thing = text(told, "type"), mapping(told, "object")
    if kind == "ERROR":
        raise _over(thing)
    version = text(mapping(thing, "metadata"), "resourceVersion")
    if kind not in _KINDS or not version:
        raise garbage("a line that is no event", line)
    pod = None if kind == "BOOKMARK" else pod_of(thing)
    if pod is not None and not pod.uid:
        raise garbage("an event of no pod", line)
    return Event(kind, version, pod)


def garbage(what: str, data: bytes | bytearray) -> KubeUnavailable:
    """Return the fault of an answer that is no answer."""
    shown = bytes(data[:_SHOWN_BYTES]).decode(errors="replace")
    return KubeUnavailable(f"it sent {what}: {shown!r}", reason="garbage", relist=True)


def retry_after_of(status: Mapping[str, Any]) -> float | None:
    """Return how long a `Status` asks to wait."""
    return count(mapping(status, "details"), "retryAfterSeconds") or None


def _over(status: Mapping[str, Any]) -> KubeUnavailable:
    """Return why a watch is over; what it had not told by then is told by a list."""
    code = status.get("code")
    return KubeUnavailable(
        f"it ended the watch ({code}): {text(status, 'message')}",
        reason="expired" if code == _EXPIRED else "server",
        retry_after_secs=retry_after_of(status),
        relist=code != _TOO_MANY,
    )


def _each_pod(items: list[msgspec.Raw]) -> Iterator[Pod]:
    while items:  # each is let go of once it is read: all of them are megabytes
        try:
            pod = pod_of(orjson.loads(memoryview(items.pop())))
        except orjson.JSONDecodeError:
            continue
        if pod.uid:
            yield pod
