"""Where documents go: what a destination promises, and which one is configured.

A new destination is a module beside this one, and a line here.
"""

from __future__ import annotations

from typing import Protocol

from shipper.config import Config
from shipper.sink.bulk import Outcomes


class Destination(Protocol):
    """Where documents go."""

    async def check(self) -> None:
        """Raise SinkUnavailable or SinkRefused unless it can be talked to."""

    async def send(self, data: bytes, documents: int) -> Outcomes:
        """Deliver a chunk's file; raises SinkUnavailable or SinkRefused."""

    async def close(self) -> None:
        """Let go of connections and files."""


def destination_of(config: Config) -> Destination:
    """Make the configured destination; each is imported only where it is used.

    Raises:
        StateError: The local store cannot be used.
    """
    output = config.output
    if output.type == "elasticsearch":
        from shipper.sink.elastic import Elasticsearch

        connections = output.concurrency + 1  # one is for express chunks alone
        return Elasticsearch(output.elasticsearch, connections=connections)
    if output.type == "local":
        from shipper.sink.local import LocalStore

        path, bounds = output.local.path or config.state_dir / "store.db", output.local
        return LocalStore(path, max_bytes=bounds.max_bytes, max_age_days=bounds.max_age_days)
    from shipper.sink.stdout import Stdout

    return Stdout()
