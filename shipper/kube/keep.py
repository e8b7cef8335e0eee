"""Keeps what was last known of pods and namespaces, so that a restart without the API has it.

What changes is written some seconds later, many changes at once and a bounded piece at a time: it
is worth little, and the disk is there for chunks.

Owns: nothing; what changed is told by its owners. Does not know: where it is kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Protocol

from shipper.kube.namespaces import Namespaces
from shipper.kube.table import PodTable
from shipper.pipeline.pod import namespace_of_json, pod_of_json, to_json

PODS, NAMESPACES = "pod", "namespace"
_GATHER_SECS = 5.0
_PIECE_BYTES = 256 << 10
_PAUSE_SECS = 0.2


class Store(Protocol):
    """Where it is kept."""

    def known(self, kind: str) -> Iterable[bytes]:
        """Return what is kept of a kind."""
        ...

    async def keep(self, kind: str, rows: Mapping[str, bytes | None]) -> None:
        """Keep these, by name; forget those that are None."""
        ...


class Keeper:
    """Writes down what changes."""

    def __init__(self, store: Store, table: PodTable, *, namespaces: Namespaces) -> None:
        """Prepare."""
        self._store = store
        self._table = table
        self._namespaces = namespaces
        self._dirty = asyncio.Event()

    def restore(self) -> None:
        """Tell the owners what was known before."""
        pods = (pod_of_json(row) for row in self._store.known(PODS))
        self._table.restore(pod for pod in pods if pod is not None and pod.uid)
        found = (namespace_of_json(row) for row in self._store.known(NAMESPACES))
        self._namespaces.restore(each for each in found if each is not None)

    def look(self) -> None:
        """Take note that something may have changed."""
        if self._table.changed or self._namespaces.changed:
            self._dirty.set()

    async def run(self) -> None:
        """Write down what changes, for ever."""
        while True:
            await self._dirty.wait()
            await asyncio.sleep(_GATHER_SECS)
            self._dirty.clear()
            await self._save(PODS, self._table.changed)
            await self._save(NAMESPACES, self._namespaces.changed)

    async def _save(self, kind: str, changed: set[str]) -> None:
        while changed:
            rows: dict[str, bytes | None] = {}
            size = 0
            while changed and size < _PIECE_BYTES:
                name = changed.pop()
                rows[name] = row = self._row(kind, name)
                size += len(row or b"")
            await self._store.keep(kind, rows)
            await asyncio.sleep(_PAUSE_SECS)

    def _row(self, kind: str, name: str) -> bytes | None:
        known = self._table.get(name) if kind == PODS else self._namespaces.known.get(name)
        return None if known is None else to_json(known)
