"""What the documents of a series say of its container: asked for at each block, waited for once.

Theory of operation: whoever knows the pods gives out objects that never change; a changed pod is
another object. So one comparison a block tells whether what closes the documents is to be made
anew. The first lines of a series wait for its pod to show up, for `metadata_wait_secs` at most and
only while those who know could be asked; then they go with the names of the path. What was known of
a pod is not given up when it is deleted: its files may take long to read.

Owns: how long a series has waited, and which pods the series need. Does not know: the API.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections import Counter
from typing import Protocol

from shipper.config import Config
from shipper.pipeline.dockerd import DockerContainer, docker_container_of
from shipper.pipeline.enrich import Enrichment, Known, container_in, suffix_of
from shipper.pipeline.hints import Wishes, wishes_of
from shipper.pipeline.names import CONTAINER_TAG, PATH_TAG, Names, names_of, tag_of
from shipper.pipeline.pod import Namespace, Pod
from shipper.source.discover import Series

log = logging.getLogger(__name__)

_MOST_LINKS = 8
"""Links from a path to its file: Docker's logs have two on a Kubernetes node."""
_MOST_CONFIG_BYTES = 1 << 20
"""Of a `config.v2.json`; one with many labels has 20 KiB. What is cut off is no JSON, and says
nothing."""
_SUFFIX_BYTES = 512
"""So much may close the documents of a block of any size; above it blocks get smaller, so that what
becomes of one stays the same."""
_LEAST_BLOCK_BYTES = 1 << 10
_NO_WISHES = Wishes()


class Pods(Protocol):
    """Who knows the pods of this node."""

    @property
    def enabled(self) -> bool:
        """Whether there is anybody to ask at all."""

    @property
    def away(self) -> bool:
        """Whether it is known that nobody answers now."""

    def find(self, names: Names) -> Pod | None:
        """Return the pod of a container; it must be that one, or none."""

    def namespace(self, name: str) -> Namespace | None:
        """Return a namespace."""

    async def wait(self, names: Names) -> None:
        """Return when the pod of a container and its namespace are there, or nobody answers."""

    def forget(self, uid: str) -> None:
        """Forget a pod if it is deleted: nobody needs it any more."""


class NoPods:
    """Nobody knows of any pods."""

    enabled = False
    away = True

    def find(self, names: Names) -> Pod | None:  # noqa: ARG002  # as `Pods` has it
        """Return None."""
        return None

    def namespace(self, name: str) -> Namespace | None:  # noqa: ARG002  # as `Pods` has it
        """Return None."""
        return None

    async def wait(self, names: Names) -> None:
        """Return at once."""

    def forget(self, uid: str) -> None:
        """Do nothing."""


class PodsInUse:
    """Who knows the pods, and how many series need each of them."""

    def __init__(self, pods: Pods) -> None:
        """Start with none needed."""
        self.pods = pods
        self._series: Counter[str] = Counter()

    def hold(self, pod: Pod) -> None:
        """Need a pod once more."""
        self._series[pod.uid] += 1

    def release(self, pod: Pod) -> None:
        """Need a pod once less; one that no series needs any more may be forgotten."""
        self._series[pod.uid] -= 1
        if not self._series[pod.uid]:
            del self._series[pod.uid]
            self.pods.forget(pod.uid)


class Metadata:
    """What is known of the container of one series.

    Attributes:
        names: What its paths say; None for a file that is no container's.
        tag: Fluentd's tag.
    """

    def __init__(self, series: Series, config: Config, *, in_use: PodsInUse) -> None:
        """Take from the paths of a series what they say.

        Args:
            series: Which series.
            config: The whole configuration.
            in_use: Who knows the pods.
        """
        self._path = series.path
        self._config = config
        self._in_use, self._pods = in_use, in_use.pods
        self.names, docker = _names_along(series.path)
        self.tag = tag_of(series.path, series.tag or (CONTAINER_TAG if self.names else PATH_TAG))
        self._docker = docker
        asks = self._pods.enabled and _may_be_a_pods(docker)
        self._asked = self.names if asks else None
        self._waits_until = time.monotonic() + config.kubernetes.metadata_wait_secs
        self._waits = True
        self._pod: Pod | None = None
        self._namespace: Namespace | None = None
        self._wishes = _NO_WISHES
        self._enrichment = self._made()

    async def arrive(self) -> bool:
        """Wait, before the first lines are read, until it is known what they are to say.

        Returns:
            Whether that took as long as it may: these lines are late.
        """
        if not self._waits or self._asked is None:
            return False
        self._waits = is_late = False
        try:
            async with asyncio.timeout(max(0.0, self._waits_until - time.monotonic())):
                await self._pods.wait(self._asked)
        except TimeoutError:
            is_late = True
        if self._pods.find(self._asked) is None and not self._pods.away:
            log.warning(
                "%s: its pod is not known to the API; until it is, its lines go with the names in"
                " the path alone",
                self._path,
            )
        return is_late

    def now(self) -> Enrichment:
        """Return what documents that are made now have in common."""
        if self._asked is None:
            return self._enrichment
        pod = self._pods.find(self._asked) or self._pod
        namespace = self._namespace_of(pod) if pod else None
        if pod is not self._pod or namespace is not self._namespace:
            self._change(pod, namespace)
        return self._enrichment

    @property
    def most_block_bytes(self) -> int:
        """How much to read at once, so that all its documents fit into memory."""
        block_bytes = self._config.follow.block_bytes
        size_bytes = len(self._enrichment.suffix)
        if size_bytes <= _SUFFIX_BYTES:
            return block_bytes
        return max(_LEAST_BLOCK_BYTES, block_bytes * _SUFFIX_BYTES // size_bytes)

    def close(self) -> None:
        """Need its pod no more: the series has ended."""
        if self._pod is not None:
            self._in_use.release(self._pod)
            self._pod = None

    def _namespace_of(self, pod: Pod) -> Namespace | None:
        """Return what is known of a pod's namespace; a later one of the same name is another."""
        is_same_pod = self._pod is not None and self._pod.uid == pod.uid
        before = self._namespace if is_same_pod else None
        found = self._pods.namespace(pod.namespace)
        is_other = found is not None and before is not None and found.uid != before.uid
        return before if found is None or is_other else found

    def _change(self, pod: Pod | None, namespace: Namespace | None) -> None:
        before, self._pod, self._namespace = self._pod, pod, namespace
        if pod is not None:
            self._in_use.hold(pod)
        if before is not None:
            self._in_use.release(before)
        self._listen()
        self._enrichment = self._made()

    def _made(self) -> Enrichment:
        config, pod = self._config, self._pod
        known = Known(
            pod, self._namespace, self._docker, pending=self._asked is not None and pod is None
        )
        suffix = suffix_of(
            self.names,
            self.tag,
            fields=config.pipeline.fields,
            known=known,
            settings=config.kubernetes.fields,
        )
        prefix = self._wishes.index or config.output.index_prefix
        excluded = self._wishes.excluded
        return Enrichment(suffix, prefix, excluded=excluded, pending=known.pending)

    def _listen(self) -> None:
        """Hear what the pod wishes, and tell what changes by that."""
        if self._pod is None or self.names is None:
            return
        container, _ = container_in(self._pod, self.names)
        before = self._wishes
        wishes = wishes_of(self._pod, container, granted=self._config.kubernetes.hints)
        self._wishes = wishes
        if wishes.excluded and not before.excluded:
            log.info("%s: its lines are dropped, as its pod asks", self._path)
        elif before.excluded and not wishes.excluded:
            log.info("%s: its lines are not dropped any more, as its pod asks", self._path)
        if wishes.fault and wishes.fault != before.fault:
            log.warning("%s: the index that its pod asks for %s", self._path, wishes.fault)


def _may_be_a_pods(docker: DockerContainer | None) -> bool:
    """Tell whether a container may be a pod's: those that dockerd runs for one say so."""
    return docker is None or docker == DockerContainer() or docker.names.of_pod


def _names_along(path: str) -> tuple[Names | None, DockerContainer | None]:
    """Return what a path and all that it links to say of its container."""
    names: Names | None = None
    for _ in range(_MOST_LINKS):
        here = names_of(path)
        names = names.or_else(here) if names and here else names or here
        try:
            link = os.readlink(path)  # noqa: PTH115
        except OSError:  # mostly because it is no link
            break
        path = os.path.normpath(os.path.join(os.path.dirname(path), link))  # noqa: PTH118, PTH120
    if names is None or not path.endswith("-json.log"):
        return names, None
    docker = docker_container_of(_read_bounded(f"{os.path.dirname(path)}/config.v2.json"))  # noqa: PTH120
    return names.or_else(docker.names), docker


def _read_bounded(path: str) -> bytes:
    """Return what a small file begins with; nothing where it cannot be read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return b""
    try:
        return os.read(descriptor, _MOST_CONFIG_BYTES)
    except OSError:  # a directory
        return b""
    finally:
        os.close(descriptor)
