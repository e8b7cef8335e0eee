"""Documents as the pipeline makes them, chunks of them, and a local store to put them into."""

import asyncio
import gzip
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from shipper.sink.bulk import Outcomes
from shipper.sink.local import LocalStore

INDEX = "logstash-2026.11.23"
TODAY = date(2026, 11, 23)


@dataclass(frozen=True, slots=True)
class Document:
    """One document of a container's log."""

    id: str
    text: str = "a line\n"
    time: str = "2026-11-23T10:11:12.5Z"
    index: str = INDEX
    namespace: str = "shop"
    pod: str = "web-1"
    container: str = "web"
    stream: str = "stdout"

    @property
    def tag(self) -> str:
        return f"kubernetes.{self.pod}_{self.namespace}_{self.container}.log"

    @property
    def source(self) -> bytes:
        names = {
            "container_name": self.container,
            "namespace_name": self.namespace,
            "pod_name": self.pod,
        }
        record = {
            "log": self.text,
            "stream": self.stream,
            "@timestamp": self.time,
            "docker": {"container_id": "0" * 64},
            "kubernetes": names,
            "tag": self.tag,
        }
        return json.dumps(record, separators=(",", ":"), ensure_ascii=False).encode()

    @property
    def lines(self) -> bytes:
        return bulk_lines(self.index, self.id, self.source)


def bulk_lines(index: str, name: str, source: bytes) -> bytes:
    action = json.dumps({"create": {"_index": index, "_id": name}}, separators=(",", ":"))
    return action.encode() + b"\n" + source + b"\n"


def chunk_of(documents: Sequence[Document]) -> bytes:
    return gzip.compress(b"".join(document.lines for document in documents), 1)


def deliver(
    path: Path,
    *chunks: Sequence[Document],
    max_bytes: int = 1 << 30,
    max_age_days: int = 14,
    today: date = TODAY,
) -> list[Outcomes]:
    """Open the store, send it chunks, and close it."""

    async def send_all() -> list[Outcomes]:
        store = LocalStore(
            path, max_bytes=max_bytes, max_age_days=max_age_days, today=lambda: today
        )
        try:
            return [await store.send(chunk_of(chunk), len(chunk)) for chunk in chunks]
        finally:
            await store.close()

    return asyncio.run(send_all())
