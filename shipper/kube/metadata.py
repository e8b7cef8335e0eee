"""What the rest of the agent is told of pods, whatever the API is doing.

Theory of operation: the table is filled from state.db at once, and from the API a moment later. For
that moment nothing is told: what was true before the agent was down is told only when the API turns
out to be away. From then on the table is told from as it is, be it old: a pod keeps its labels.

Owns: the parts, and who waits. Does not know: files, documents.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from shipper.kube.access import AccessReader
from shipper.kube.connection import Connection
from shipper.kube.keep import Keeper, Store
from shipper.kube.namespaces import Namespaces
from shipper.kube.table import PodTable
from shipper.kube.watch import PATIENCE_SECS, Timing, Watch
from shipper.kubernetes_config import KubernetesConfig
from shipper.metrics import Metrics
from shipper.pipeline.names import Names
from shipper.pipeline.pod import Namespace, Pod

_LATE_SECS = 0.05
"""A timer may come a little early by another clock."""


class KubeMetadata:
    """The pods of this node and their namespaces.

    Attributes:
        enabled: There is an API to ask.
    """

    enabled = True

    def __init__(
        self,
        settings: KubernetesConfig,
        store: Store,
        *,
        node: str,
        environ: Mapping[str, str],
        metrics: Metrics,
        timing: Timing | None = None,
    ) -> None:
        """Prepare, with what was known before; nothing is asked yet.

        Args:
            settings: Where the API is.
            store: Keeps what is known.
            node: The name of this node in Kubernetes.
            environ: The environment, which tells a pod where the API is.
            metrics: The agent's metrics.
            timing: How long things take.
        """
        self._connection = Connection(AccessReader(settings, environ))
        self._wants_namespaces = settings.fields.of_namespaces
        self._table = PodTable()
        self._namespaces = Namespaces(self._connection, metrics=metrics, changed=self._tell)
        self._watch = Watch(
            self._connection,
            self._table,
            node=None if settings.scope == "cluster" else node,
            metrics=metrics,
            changed=self._tell,
            timing=timing or Timing(),
        )
        self._keeper = Keeper(store, self._table, namespaces=self._namespaces)
        self._news = asyncio.Event()
        self._keeper.restore()

    # -- what followers ask

    @property
    def away(self) -> bool:
        """Whether nobody should wait for the API."""
        return self._watch.away

    def find(self, names: Names) -> Pod | None:
        """Return the pod that a file's names belong to, if it is known."""
        return self._table.find(names) if self._watch.synced or self.away else None

    def namespace(self, name: str) -> Namespace | None:
        """Return a namespace if it is known; it is asked for if it is wanted at all."""
        if not self._wants_namespaces:
            return None
        found = self._namespaces.get(name)
        return found if self.away or self._namespaces.is_settled(name) else None

    async def wait(self, names: Names) -> None:
        """Wait until all is known that these names lead to, or the API is away."""
        try:
            while not self._is_known(names):
                await self._news.wait()
        except asyncio.CancelledError:
            self._watch.suspect()
            raise

    def forget(self, uid: str) -> None:
        """Let go of a pod that is gone: its files are read to their end."""
        self._table.forget(uid)
        self._keeper.look()

    # -- what an operator asks

    @property
    def concern(self) -> str:
        """Why documents may lack metadata, in words; empty while they do not."""
        return self._watch.trouble or self._watch.doubt or self._namespaces.trouble

    @property
    def synced(self) -> bool:
        """Whether the pods known are those that the API tells of."""
        return self._watch.synced and not self._watch.trouble

    @property
    def pods(self) -> int:
        """How many pods there are."""
        return len(self._table.live)

    @property
    def gone_pods(self) -> int:
        """How many are gone and still known."""
        return len(self._table.gone)

    # -- the tasks

    async def run(self) -> None:
        """Follow the API for ever."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._watch.run())
                tasks.create_task(self._namespaces.run())
                tasks.create_task(self._keeper.run())
                tasks.create_task(self._lose_patience())
        finally:
            await self._connection.close()

    def _is_known(self, names: Names) -> bool:
        if self.away:
            return True
        pod = self.find(names)
        if pod is None or not self._wants_namespaces:
            return pod is not None
        self._namespaces.get(pod.namespace)
        return self._namespaces.is_settled(pod.namespace)

    async def _lose_patience(self) -> None:
        """Let those go on who wait for an API that does not answer at all."""
        await asyncio.sleep(PATIENCE_SECS + _LATE_SECS)
        self._tell()

    def _tell(self) -> None:
        self._namespaces.doubt(self._table.entered)
        self._table.entered.clear()
        self._keeper.look()
        self._news.set()
        self._news = asyncio.Event()
