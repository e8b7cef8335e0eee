"""The reading side at work: the real sources, chain and spool, and a destination that remembers."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from errno import ENOSPC
from pathlib import Path
from typing import Any, NoReturn

import pytest
import watchdog.observers
from prometheus_client import Counter
from watchdog.observers.api import BaseObserver, EventEmitter

from shipper.buffer.chunk import decompress, lines_of
from shipper.buffer.spool import Spool
from shipper.config import Config, validate
from shipper.metrics import Metrics
from shipper.source.descriptors import Descriptors
from shipper.source.metadata import Pods
from shipper.source.poll import Poller
from shipper.source.sources import Sources
from shipper.source.surroundings import surroundings_of

DEADLINE_SECS = 10.0


@dataclass
class Delivered:
    """A destination: it keeps what it is sent by id, as Elasticsearch does with `create`."""

    by_id: dict[str, dict[str, Any]] = field(default_factory=dict)
    indices: set[str] = field(default_factory=set)
    away: bool = False

    async def take(self, spool: Spool) -> None:
        """Ship the chunks of a spool, for ever."""
        while True:
            chunk = await spool.claim()
            while self.away:  # noqa: ASYNC110  # nothing tells when it is back
                await asyncio.sleep(0.005)
            lines = lines_of(decompress(spool.path(chunk).read_bytes()))
            for action, document in zip(lines[::2], lines[1::2], strict=True):
                create = json.loads(action)["create"]
                self.indices.add(create["_index"])
                self._create(create["_id"], json.loads(document))
            await spool.shipped(chunk, delivered=len(lines) // 2)

    def _create(self, key: str, document: dict[str, Any]) -> None:
        before = self.by_id.setdefault(key, document)
        assert before["log"] == document["log"], "another line under the id of a delivered one"

    @property
    def logs(self) -> list[str]:
        """The text of every document, sorted."""
        return sorted(document["log"] for document in self.by_id.values())


@dataclass
class Running:
    """An agent's reading side, running."""

    sources: Sources
    spool: Spool
    metrics: Metrics
    task: asyncio.Task[None]


def config_of(state_dir: Path, *paths: Path | str, **follow: float) -> Config:
    """A configuration in which nothing waits for long."""
    return validate(
        {
            "state_dir": str(state_dir),
            "node_name": "node-1",
            "sources": [{"paths": [str(path) for path in paths]}],
            "follow": {"scan_secs": 0.05, "settle_secs": 0.1, **follow},
            "buffer": {
                "flush_secs": 0.01,
                "min_free_percent": 0,
                "max_chunks": 8,
                "grace_secs": 0.2,
            },
        }
    )


@contextlib.asynccontextmanager
async def running(
    config: Config,
    delivered: Delivered,
    *,
    once: bool = False,
    killed: Callable[[], bool] = bool,
    poller: Poller | None = None,
    pods: Pods | None = None,
    descriptors: int | None = None,
) -> AsyncIterator[Running]:
    """Run the reading side; at the end it is stopped, or `killed`: all in memory is forgotten.

    A stop delivers what was read. With `once` the body may wait for `task`.
    """
    config.state_dir.mkdir(exist_ok=True)
    metrics = Metrics()
    spool = Spool(config.state_dir, config.buffer, metrics=metrics)
    node = config.node_name
    around = surroundings_of(config, spool, node=node, metrics=metrics, once=once, pods=pods)
    open_files = around.descriptors if descriptors is None else Descriptors(descriptors)
    sources = Sources(replace(around, poller=poller or around.poller, descriptors=open_files))
    try:
        async with asyncio.TaskGroup() as group:
            background = [
                group.create_task(spool.seal_loop()),
                group.create_task(delivered.take(spool)),
            ]
            reading = group.create_task(sources.run())
            yield Running(sources, spool, metrics, reading)
            reading.cancel()
            await asyncio.wait([reading])
            if not (killed() or any(task.cancelling() for task in background)):
                await spool.flush()
                if not delivered.away:
                    await spool.empty()
            for task in background:
                task.cancel()
    finally:
        spool.close()


async def read_once(config: Config, delivered: Delivered) -> Running:
    """Read everything to its end and deliver it, as `--once` does."""
    async with running(config, delivered, once=True) as agent:
        async with asyncio.timeout(DEADLINE_SECS):
            await agent.task
    return agent


async def until(condition: Callable[[], bool], *, within_secs: float = DEADLINE_SECS) -> None:
    """Wait until something holds; fails if it does not in time."""
    due = time.monotonic() + within_secs
    while not condition():
        assert time.monotonic() < due, f"not within {within_secs} s"
        await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def turning() -> AsyncIterator[list[float]]:
    """Record the gaps between two turns of the event loop, in seconds."""
    gaps: list[float] = []

    async def turn() -> None:
        last = time.monotonic()
        while True:
            await asyncio.sleep(0)
            gaps.append(time.monotonic() - last)
            last += gaps[-1]

    async with asyncio.TaskGroup() as group:
        task = group.create_task(turn())
        yield gaps
        task.cancel()


def counted(counter: Counter) -> float:
    """Return what a counter has counted, over all its labels."""
    samples = (sample for family in counter.collect() for sample in family.samples)
    return sum(sample.value for sample in samples if sample.name.endswith("_total"))


def docker_line(text: str, *, stream: str = "stdout", number: int = 0) -> bytes:
    """A line of docker's json-file driver; `number` makes its time unique."""
    moment = f"2026-11-23T10:11:12.{number % 10**9:09d}Z"
    record = {"log": text, "stream": stream, "time": moment}
    return json.dumps(record, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"


def cri_line(text: str, *, stream: str = "stdout", number: int = 0, partial: bool = False) -> bytes:
    """A line as containerd and CRI-O write it; `number` makes its time unique."""
    moment = f"2026-11-23T10:11:12.{number % 10**9:09d}Z"
    return f"{moment} {stream} {'P' if partial else 'F'} {text}\n".encode()


def refuse_watches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the system one whose limit of inotify watches is reached."""

    class Refusing(BaseObserver):
        def __init__(self) -> None:
            super().__init__(EventEmitter)

        def schedule(self, *_args: object, **_options: object) -> NoReturn:
            raise OSError(ENOSPC, "inotify watch limit reached")

    monkeypatch.setattr(watchdog.observers, "Observer", Refusing)
