"""Documents as JSON lines on standard output, for pipes and for a first look."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import threading
from collections.abc import Callable

from shipper.buffer.chunk import decompress, join, lines_of
from shipper.errors import ShipperError
from shipper.sink.bulk import Outcomes


class Stdout:
    """Writes each document as one line.

    The descriptor is written to without a buffer: a chunk that is reported as delivered has left.
    One chunk at a time (`app` sees to that), so that lines keep their order.
    """

    def __init__(self, descriptor: int | None = None) -> None:
        """Write to a descriptor, by default the process's standard output."""
        self._descriptor = sys.stdout.fileno() if descriptor is None else descriptor

    async def check(self) -> None:
        """Nothing to ask: standard output is there."""

    async def send(self, data: bytes, documents: int) -> Outcomes:
        """Write a chunk's documents.

        Raises:
            ShipperError: The reader of the pipe went away.
        """
        text = await asyncio.to_thread(lambda: join(lines_of(decompress(data))[1::2]))
        try:
            await _in_daemon(lambda: self._write(text))
        except BrokenPipeError as error:
            raise ShipperError(
                "standard output was closed; what is not written is kept for the next run"
            ) from error
        return Outcomes(delivered=documents)

    async def close(self) -> None:
        """Nothing to close: standard output is not ours."""

    def _write(self, text: bytes) -> None:
        rest = memoryview(text)
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]


async def _in_daemon(call: Callable[[], None]) -> None:
    """Call in a thread that the process does not wait for at its end: its reader may hang."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def settle(error: OSError | None) -> None:
        if done.cancelled():
            return
        done.set_exception(error) if error else done.set_result(None)

    def run() -> None:
        fault = None
        try:
            call()
        except OSError as error:
            fault = error
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(settle, fault)

    threading.Thread(target=run, name="stdout", daemon=True).start()
    await done
