"""An Elasticsearch that indexes so many bytes a second, and turns away what is too much for it.

Theory of operation: all requests that it works on share its speed. A request that would bring what
it has taken beyond its memory for that is answered 429 with `Retry-After: 1`, as Elasticsearch does
by its indexing pressure; and of every so many requests one has half of its items turned away, as by
a shard's full queue. Nothing is kept but counts, and how old each line with a `lat=` in it was when
it was indexed.
"""

import argparse
import asyncio
import json
import os
import re
import signal
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from typing import Any

from benchmarks.http_messages import Head, answer, decode_body, take_head
from tests.e2e.program import program

MARKER = re.compile(rb"lat=(\d+)")
STEP_BYTES = 64 << 10
"""What one request is given of the speed before the next one has its turn."""
ACCEPTED = b'{"create":{"status":201}}'
TURNED_AWAY = b'{"create":{"status":429,"error":{"type":"es_rejected_execution_exception"}}}'


@dataclass(slots=True)
class Figures:
    """What came of it."""

    documents: int = 0
    bytes: int = 0
    turned_away_requests: int = 0
    turned_away_items: int = 0
    ages_secs: list[float] = field(default_factory=list)


@dataclass(slots=True)
class Throttled:
    """The server; no limit where a value is 0."""

    bytes_per_sec: float
    pressure_bytes: int
    partial_every: int
    figures: Figures = field(default_factory=Figures)
    _requests: int = 0
    _in_work_bytes: int = 0
    _free_at: float = 0.0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection."""
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = take_head(bytearray(await reader.readuntil(b"\r\n\r\n")))
                assert head is not None
                body = await reader.readexactly(int(head.headers.get("content-length", "0")))
                writer.write(await self._respond(head, body))
                await writer.drain()
        writer.close()

    async def _respond(self, head: Head, body: bytes) -> bytes:
        if "/_bulk" in head.target:
            return await self._bulk(head, decode_body(head, body))
        if head.target == "/figures":
            return answer(head, json.dumps(asdict(self.figures)).encode())
        return answer(head, b'{"version":{"number":"9.5.3"}}')

    async def _bulk(self, head: Head, body: bytes) -> bytes:
        if self.pressure_bytes and self._in_work_bytes + len(body) > self.pressure_bytes:
            self.figures.turned_away_requests += 1
            busy = answer(head, b'{"status":429}', status="429 Too Many Requests")
            return busy.replace(b"\r\n", b"\r\nRetry-After: 1\r\n", 1)
        self._in_work_bytes += len(body)
        try:
            await self._work(len(body))
        finally:
            self._in_work_bytes -= len(body)
        return answer(head, self._index(body))

    async def _work(self, size: int) -> None:
        for at in range(0, size if self.bytes_per_sec else 0, STEP_BYTES):
            step = min(STEP_BYTES, size - at)
            now = time.monotonic()
            self._free_at = max(now, self._free_at) + step / self.bytes_per_sec
            await asyncio.sleep(self._free_at - now)

    def _index(self, body: bytes) -> bytes:
        self._requests += 1
        lines = body.split(b"\n")[:-1]
        partial = self.partial_every and self._requests % self.partial_every == 0
        kept = len(lines) // 4 * 2 if partial else len(lines)  # a document is two lines
        figures, now_ns = self.figures, time.time_ns()
        figures.documents += kept // 2
        figures.turned_away_items += (len(lines) - kept) // 2
        figures.bytes += len(body)
        for line in lines[1:kept:2]:
            if marker := MARKER.search(line):
                figures.ages_secs.append((now_ns - int(marker[1])) / 1e9)
        items = [ACCEPTED] * (kept // 2) + [TURNED_AWAY] * ((len(lines) - kept) // 2)
        errors = b"true" if kept < len(lines) else b"false"
        return b'{"errors":%b,"items":[%b]}' % (errors, b",".join(items))


async def run(server: Throttled) -> None:
    """Listen on 127.0.0.1 until SIGTERM; the first line of stdout is the URL."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0, limit=1 << 20)
    sys.stdout.write(f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await stop.wait()
    os._exit(0)


def main() -> None:
    """Run the server."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--bytes-per-sec", type=float, default=0.0)
    parser.add_argument("--pressure-bytes", type=int, default=0)
    parser.add_argument("--partial-every", type=int, default=0)
    chosen = parser.parse_args()
    asyncio.run(run(Throttled(chosen.bytes_per_sec, chosen.pressure_bytes, chosen.partial_every)))


# -- what a test sees of it


@dataclass(frozen=True, slots=True)
class Server:
    """The server as a process."""

    url: str

    def figures(self) -> Figures:
        """What has come so far."""
        with urllib.request.urlopen(f"{self.url}/figures", timeout=60) as found:  # noqa: S310  # http, see `run`
            figures: dict[str, Any] = json.load(found)
        return Figures(**figures)


@contextmanager
def serving(*how: str) -> Iterator[Server]:
    """Start the server; it is killed at the end."""
    with program("throttled", *how) as process:
        assert process.stdout is not None
        yield Server(process.stdout.readline().decode().strip())


if __name__ == "__main__":
    main()
