"""The whole agent in this process: sources, buffer and shipping, into a scripted server."""

import asyncio
import http.client
import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shipper import app
from shipper.app import Options
from shipper.config import Config, validate
from shipper.ops.terminal import Snapshot
from tests.fakes.elasticsearch import FakeElasticsearch
from tests.servers.process import free_port


@dataclass(slots=True)
class Seen:
    """A view that keeps what it was shown last."""

    last: Snapshot = field(default_factory=Snapshot)

    def show(self, snapshot: Snapshot) -> None:
        """Keep it."""
        self.last = snapshot


@dataclass(slots=True)
class Run:
    """A running agent and what it works on."""

    fake: FakeElasticsearch
    config: Config
    task: asyncio.Task[Snapshot]
    seen: Seen

    @property
    def delivered(self) -> list[str]:
        return sorted(source["log"].rstrip() for source in self.fake.documents.values())

    async def get(self, path: str) -> tuple[int, str]:
        """One request to the agent's server; status 0 where there is none."""
        return await asyncio.to_thread(_get, self.config.server.listen, path)

    async def until_ready_says(self, words: str) -> None:
        """Wait until /readyz has these words."""
        async with asyncio.timeout(10):
            while words not in (await self.get("/readyz"))[1]:  # noqa: ASYNC110  # seen from outside
                await asyncio.sleep(0.01)

    async def end(self) -> Snapshot:
        """Ask it to stop, and wait for that."""
        os.kill(os.getpid(), signal.SIGTERM)
        async with asyncio.timeout(20):
            return await self.task


def _get(listen: str, path: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection(listen, timeout=10)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    except OSError:
        return 0, ""
    finally:
        connection.close()


def configured(root: Path, url: str, **sections: Any) -> Config:  # noqa: ANN401  # as in a file
    (root / "logs").mkdir(exist_ok=True)
    tree: dict[str, Any] = {
        "state_dir": root / "state",
        "sources": [{"paths": [str(root / "logs")]}],
        "server": {"listen": f"127.0.0.1:{free_port()}"},
        **sections,
    }
    tree["buffer"] = {"flush_secs": 0.05, "min_free_percent": 0, **tree.get("buffer", {})}
    output = {"retry_max_secs": 0.05, "elasticsearch": {"url": url}}
    return validate({**tree, "output": {**output, **tree.get("output", {})}})


@asynccontextmanager
async def agent(
    root: Path,
    fake: FakeElasticsearch,
    options: Options | None = None,
    **sections: Any,  # noqa: ANN401  # as in a file
) -> AsyncIterator[Run]:
    """Run an agent into a fake; it is ended with the block, if it has not ended before."""
    async with fake.serving(), asyncio.TaskGroup() as group:
        config = configured(root, fake.url, **sections)
        seen = Seen()
        task = group.create_task(app.run(config, options or Options(), view=seen))
        try:
            yield Run(fake, config, task, seen)
        finally:
            task.cancel()


async def once(root: Path, fake: FakeElasticsearch, **options: bool) -> Snapshot:
    """Read what is there into a fake that serves already."""
    config = configured(root, fake.url)
    async with asyncio.timeout(20):
        return await app.run(config, Options(once=True, **options))


def lines(root: Path, *texts: str, name: str = "a.log") -> int:
    """Append lines as docker writes them; returns the size of the file."""
    (root / "logs").mkdir(exist_ok=True)
    path = root / "logs" / name
    stamp = {"stream": "stdout", "time": "2026-11-23T10:11:12.123456789Z"}
    with path.open("a") as file:
        for text in texts:
            line = json.dumps({"log": f"{text}\n", **stamp}, separators=(",", ":"))
            file.write(f"{line}\n")
    return path.stat().st_size
