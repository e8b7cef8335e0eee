"""The pods of this node: those there are, and those that are gone and may have lines to be read.

Theory of operation: a pod is known by its uid; container ids, a static pod's other uid and names
only lead to that. What is there is what the API's list says, changed by each event of its watch.
A pod that is gone from there stays, since its files are read to their end after it: until these are
done with, or until too much is kept of such pods; then the one that went first is forgotten.

Owns: what is known of pods. Does not know: the API, files, clocks.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar

from shipper.pipeline.names import Names
from shipper.pipeline.pod import Pod

_K = TypeVar("_K")
_MOST_GONE = 1_000
_MOST_GONE_BYTES = 16 << 20
_POD_BYTES = 2_000
"""Of a pod without labels and annotations, roughly."""
_MOST_IDS = 64
"""Container ids of a pod that are remembered: one that crashes all the time has a new one every
five minutes, and files of its last few lives."""


class PodTable:
    """All pods known, found by uid, container id or name.

    Attributes:
        changed: Uids of pods that were changed, added or forgotten; whoever saves them empties it.
        entered: Namespaces that had no pod and have one now; whoever looks at them empties it.
    """

    def __init__(self) -> None:
        """Start with none."""
        self.changed: set[str] = set()
        self.entered: set[str] = set()
        self._live: dict[str, Pod] = {}
        self._gone: dict[str, Pod] = {}
        self._gone_bytes = 0
        self._by_mirror: dict[tuple[str, str, str], str] = {}
        self._by_container: dict[str, str] = {}
        self._by_name: dict[tuple[str, str], set[str]] = {}
        self._ids: dict[str, deque[str]] = {}
        self._pods_in: Counter[str] = Counter()

    @property
    def live(self) -> Mapping[str, Pod]:
        """The pods that there are, by uid."""
        return self._live

    @property
    def gone(self) -> Mapping[str, Pod]:
        """The pods that are gone and not forgotten, by uid, in the order in which they went."""
        return self._gone

    def find(self, names: Names) -> Pod | None:
        """Return the pod that a file's names belong to; None rather than one that it may not be.

        A name alone decides nothing where the file names its pod or container in another way: a
        pod's name may have been another's before.
        """
        if names.pod_uid and (pod := self._of_uid(names)):
            return pod
        if names.container_id and (uid := self._by_container.get(names.container_id)):
            return self.get(uid)
        if names.pod_uid or names.container_id:
            return None
        uids = self._by_name.get((names.namespace_name, names.pod_name), ())
        return self.get(next(iter(uids))) if len(uids) == 1 else None

    def get(self, uid: str) -> Pod | None:
        """Return the pod of a uid."""
        return self._live.get(uid) or self._gone.get(uid)

    def restore(self, pods: Iterable[Pod]) -> None:
        """Begin with pods as they were known before; the first list tells which there still are."""
        for pod in pods:
            self._put(pod)
        self.changed.clear()
        self.entered.clear()

    def replace(self, pods: Iterable[Pod]) -> None:
        """Take a list: these pods there are, and no others."""
        there = set()
        for pod in pods:
            self._put(pod)
            there.add(pod.uid)
        for uid in self._live.keys() - there:
            self._retire(uid)

    def put(self, pod: Pod) -> None:
        """Take a pod that was added or has changed."""
        self._put(pod)

    def remove(self, pod: Pod) -> None:
        """Take a pod that is gone, as it was at its end."""
        self._put(pod)
        self._retire(pod.uid)

    def forget(self, uid: str) -> None:
        """Let go of a pod that is gone: none of its lines is left to be read."""
        if uid in self._gone:
            self._drop(uid)

    def _of_uid(self, names: Names) -> Pod | None:
        place = (names.pod_uid, names.namespace_name, names.pod_name)
        return self.get(names.pod_uid) or self.get(self._by_mirror.get(place, ""))

    def _put(self, pod: Pod) -> None:
        """Take a pod as one that is there; one that is equal stays the object that it was."""
        gone = self._gone.pop(pod.uid, None)
        if gone is not None:
            self._gone_bytes -= _size(gone)
        there = self._live.get(pod.uid)
        before = gone or there
        if before == pod:
            pod = before
        if there is None or there.namespace != pod.namespace:
            self._enter(pod.namespace)
            if there is not None:
                self._leave(there.namespace)
        self._live[pod.uid] = pod
        if pod is not before:
            if before is not None:
                self._unname(before)
            self._index(pod)
            self.changed.add(pod.uid)

    def _index(self, pod: Pod) -> None:
        self._by_name.setdefault((pod.namespace, pod.name), set()).add(pod.uid)
        for place in _mirrors(pod):
            self._by_mirror[place] = pod.uid
        ids = self._ids.setdefault(pod.uid, deque())
        for container_id in _ids_of(pod):
            if self._by_container.get(container_id) != pod.uid:
                self._by_container[container_id] = pod.uid
                ids.append(container_id)
        while len(ids) > max(_MOST_IDS, 2 * len(pod.containers)):
            _delete(self._by_container, ids.popleft(), only=pod.uid)

    def _enter(self, namespace: str) -> None:
        self._pods_in[namespace] += 1
        if self._pods_in[namespace] == 1:
            self.entered.add(namespace)

    def _leave(self, namespace: str) -> None:
        self._pods_in[namespace] -= 1
        if not self._pods_in[namespace]:
            del self._pods_in[namespace]

    def _retire(self, uid: str) -> None:
        pod = self._live.pop(uid)
        self._leave(pod.namespace)
        self._gone[uid] = pod
        self._gone_bytes += _size(pod)
        while len(self._gone) > _MOST_GONE or self._gone_bytes > _MOST_GONE_BYTES:
            self._drop(next(iter(self._gone)))

    def _drop(self, uid: str) -> None:
        pod = self._gone.pop(uid)
        self._gone_bytes -= _size(pod)
        for container_id in self._ids.pop(uid, ()):
            _delete(self._by_container, container_id, only=uid)
        self._unname(pod)
        self.changed.add(uid)

    def _unname(self, pod: Pod) -> None:
        for mirror in _mirrors(pod):
            _delete(self._by_mirror, mirror, only=pod.uid)
        place = (pod.namespace, pod.name)
        self._by_name[place].discard(pod.uid)
        if not self._by_name[place]:
            del self._by_name[place]


def _mirrors(pod: Pod) -> Iterator[tuple[str, str, str]]:
    """Yield what a static pod's directory is called, with its name and, before 1.14, without.

    Anybody may give a pod this annotation with another's uid: its name goes with it, so that no pod
    passes for one in the directory of another name.
    """
    if pod.mirror:
        yield pod.mirror, pod.namespace, pod.name
        yield pod.mirror, "", ""


def _ids_of(pod: Pod) -> Iterator[str]:
    for container in pod.containers.values():
        for container_id in (container.previous_id, container.id):
            if container_id:
                yield container_id


def _size(pod: Pod) -> int:
    texts = (*pod.labels.items(), *pod.annotations.items())
    return _POD_BYTES + sum(len(name) + len(value) for name, value in texts)


def _delete(index: dict[_K, str], key: _K, *, only: str) -> None:
    """Delete what leads to this uid, unless it has come to lead to another."""
    if index.get(key) == only:
        del index[key]
