"""A running `KubeMetadata`, and what a test waits for."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any

from shipper.kube.metadata import KubeMetadata
from shipper.kube.watch import Timing
from shipper.kubernetes_config import KubernetesConfig
from shipper.metrics import Metrics
from tests.fakes.kubernetes import FakeKubernetes

FAST = Timing(start_secs=0.0, silent_secs=0.3, steady_secs=0.5, max_wait_secs=0.1)
STEADY = replace(FAST, silent_secs=60)
NO_NAMESPACES: dict[str, Any] = {
    "fields": {"namespace_id": False, "namespace_labels": {"include": []}}
}


@dataclass
class Rows:
    """What is kept, in memory."""

    rows: dict[tuple[str, str], bytes] = field(default_factory=dict)

    def known(self, kind: str) -> list[bytes]:
        return [row for (its, _), row in self.rows.items() if its == kind]

    async def keep(self, kind: str, rows: Mapping[str, bytes | None]) -> None:
        for name, row in rows.items():
            if row is None:
                self.rows.pop((kind, name), None)
            else:
                self.rows[kind, name] = row


@dataclass
class Running:
    """The parts of one test."""

    api: FakeKubernetes
    pods: KubeMetadata
    metrics: Metrics
    rows: Rows

    async def until(self, ready: Callable[[], object]) -> None:
        await until(ready)

    def sample(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(name, labels) or 0.0


async def until(ready: Callable[[], object], *, seconds: float = 10.0) -> None:
    """Wait for what is to come about."""
    async with asyncio.timeout(seconds):
        while not ready():  # noqa: ASYNC110  # what is waited for has no event
            await asyncio.sleep(0.005)


@asynccontextmanager
async def following(
    api: FakeKubernetes,
    *,
    rows: Rows | None = None,
    timing: Timing = FAST,
    environ: Mapping[str, str] | None = None,
    **settings: Any,  # noqa: ANN401  # those of the section
) -> AsyncIterator[Running]:
    """Follow an API that is serving."""
    if "url" not in settings and "kubeconfig" not in settings and not environ:
        settings["url"] = api.url
    metrics, kept = Metrics(), rows or Rows()
    pods = KubeMetadata(
        KubernetesConfig(**settings),
        kept,
        node="node-1",
        environ=environ or {},
        metrics=metrics,
        timing=timing,
    )
    with suppress(asyncio.CancelledError):
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(pods.run())
            try:
                yield Running(api, pods, metrics, kept)
            finally:
                task.cancel()


def follow(
    then: Callable[[Running], Awaitable[None]],
    *,
    api: FakeKubernetes,
    **settings: Any,  # noqa: ANN401  # those of `following`
) -> FakeKubernetes:
    """Run a test against a fake."""

    async def run() -> None:
        async with api.serving(), following(api, **settings) as running:
            await then(running)

    asyncio.run(run())
    return api
