"""Lets what is in a network namespace reach a server of this machine's loopback.

Theory of operation: `process.py` starts this file inside the namespace. It listens there, goes back
to the namespace that it is told, and makes its connections from it: a socket stays in the
namespace in which it was made. So a server of the tests needs no address that others could reach.
With a certificate it speaks TLS with whoever comes.
"""

import argparse
import asyncio
import ctypes
import os
import socket
import ssl
import sys
from contextlib import suppress

CLONE_NEWNET = 0x40000000
READ_BYTES = 1 << 16


async def forward(listener: socket.socket, port: int, context: ssl.SSLContext | None) -> None:
    """Pass on each connection to this port of loopback, until killed."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            there = await asyncio.open_connection("127.0.0.1", port)
            async with asyncio.TaskGroup() as group:
                group.create_task(_copy(reader, there[1]))
                group.create_task(_copy(there[0], writer))
        writer.close()

    async with await asyncio.start_server(serve, sock=listener, ssl=context) as server:
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await server.serve_forever()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(READ_BYTES):
            writer.write(data)
            await writer.drain()
    writer.close()  # both ways: HTTP has no half-closed connections


def _enter(namespace: str) -> None:
    with open(namespace, "rb") as file:  # noqa: PTH123  # its descriptor is what counts
        if ctypes.CDLL(None, use_errno=True).setns(file.fileno(), CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), namespace)


def main() -> None:
    """Run the forwarder."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--listen", required=True, help="address:port in this namespace")
    parser.add_argument("--namespace", required=True, help="the file of the one with the server")
    parser.add_argument("--port", type=int, required=True, help="of the server, on its loopback")
    parser.add_argument("--certificate", help="PEM; with --key")
    parser.add_argument("--key")
    chosen = parser.parse_args()
    host, _, port = chosen.listen.rpartition(":")
    listener = socket.create_server((host, int(port)))
    context = None
    if chosen.certificate:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(chosen.certificate, chosen.key)
    _enter(chosen.namespace)
    asyncio.run(forward(listener, chosen.port, context))


if __name__ == "__main__":
    main()
