"""A connection's middle: passes bytes between a client and a server, until it is told otherwise.

Owns: a thread with an event loop, and the connections in it.
"""

import asyncio
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

_PIECE = 4 << 10


@dataclass(slots=True)
class Pipe:
    """Listens on a port of its own, and goes to another.

    Attributes:
        to_port: Where to, on 127.0.0.1.
        tls: How the server is talked to, for a client that talks to us in plain text.
        port: Where it listens.
    """

    to_port: int
    tls: ssl.SSLContext | None = None
    port: int = 0
    _loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)
    _open: set[asyncio.StreamWriter] = field(default_factory=set)
    _clients: set[asyncio.StreamWriter] = field(default_factory=set)
    _flowing: asyncio.Event = field(default_factory=asyncio.Event)
    _left_bytes: int | None = None
    _most_bytes: int | None = None
    _answer: bytes = b""
    _held: bytes = b""

    def cut(self) -> None:
        """Break every connection that is open now."""
        self._loop.call_soon_threadsafe(self._cut)

    def cut_after(self, count: int) -> None:
        """Break every connection when the server has sent so many more bytes."""
        self._loop.call_soon_threadsafe(self._limit, count)

    def cut_each_after(self, count: int | None) -> None:
        """Break every connection that is made from now on after so many bytes of the server's."""
        self._most_bytes = count

    def answer(self, data: bytes) -> None:
        """Be the server from now on: whoever asks gets this, and the end of the connection."""
        self._answer = data

    def stall_at(self, data: bytes) -> None:
        """Stall before a client's request goes on that has this in its first line."""
        self._held = data

    @property
    def flows(self) -> bool:
        """Whether anything is passed on."""
        return self._flowing.is_set()

    def stall(self) -> None:
        """Pass nothing on, on no connection; new ones are taken."""
        self._loop.call_soon_threadsafe(self._flowing.clear)

    def flow(self) -> None:
        """Pass on what has come meanwhile, and all that comes."""
        self._loop.call_soon_threadsafe(self._flowing.set)

    def inject(self, data: bytes) -> None:
        """Send something to every client, as if it came from the server, which is silent now."""
        for client in set(self._clients):
            self._loop.call_soon_threadsafe(client.write, data)

    @contextmanager
    def open(self) -> Iterator["Pipe"]:
        """Listen."""
        ready, done = threading.Event(), asyncio.Event()

        async def serve() -> None:
            self._flowing.set()
            server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
            self.port = server.sockets[0].getsockname()[1]
            ready.set()
            await done.wait()
            server.close()
            self._flowing.set()
            self._cut()
            await asyncio.sleep(0.05)

        thread = threading.Thread(target=lambda: self._loop.run_until_complete(serve()))
        thread.start()
        ready.wait(10)
        try:
            yield self
        finally:
            self._loop.call_soon_threadsafe(done.set)
            thread.join(10)
            self._loop.close()

    async def _serve(self, client: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        if self._answer:
            await client.read(_PIECE)
            back.write(self._answer)
            back.close()
            return
        with suppress(OSError):
            server, there = await asyncio.open_connection("127.0.0.1", self.to_port, ssl=self.tls)
            self._open |= {back, there}
            self._clients.add(back)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._pass(client, there))
                tasks.create_task(self._pass(server, back, is_counted=True))
            self._open -= {back, there}
        self._clients.discard(back)
        back.close()

    async def _pass(
        self, source: asyncio.StreamReader, to: asyncio.StreamWriter, *, is_counted: bool = False
    ) -> None:
        most_bytes = self._most_bytes if is_counted else None
        with suppress(OSError):
            while data := await source.read(_PIECE):
                if self._held and not is_counted and self._held in data.partition(b"\r\n")[0]:
                    self._held = b""
                    self._flowing.clear()
                await self._flowing.wait()
                if most_bytes is not None:
                    data = data[:most_bytes]
                    most_bytes -= len(data)
                if is_counted and self._left_bytes is not None:
                    self._left_bytes -= len(data)
                    if self._left_bytes < 0:
                        self._left_bytes = None
                        self._cut()
                        return
                to.write(data)
                await to.drain()
                if most_bytes == 0:
                    break
        to.close()

    def _limit(self, count: int) -> None:
        self._left_bytes = count

    def _cut(self) -> None:
        for writer in self._open:
            writer.transport.abort()
        self._open.clear()
