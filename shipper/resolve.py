"""Looks up the addresses of a name without anything else having to wait for that.

A name server that does not answer holds a look-up for half a minute and more: for each domain that
is searched, so many seconds, so many times. asyncio makes look-ups in threads that it shares with
whoever reads directories and files, and waits for them at its end. These have threads of their own,
few, and nobody waits for them.

Owns: the threads. Does not know: what is asked of the host.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from aiohttp.abc import AbstractResolver, ResolveResult

_ANSWER_SECS = 8.0
"""Less than a connection may take, so that it is this that is said."""
_MOST_THREADS = 4
_IPV6_FIELDS = 4


class Resolver(AbstractResolver):
    """Looks up names."""

    def __init__(self, answer_secs: float = _ANSWER_SECS) -> None:
        """Prepare; a look-up may take so long before it counts as failed."""
        self._answer_secs = answer_secs
        self._threads = 0

    async def resolve(  # noqa: PLR0917  # as the library calls it
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return the addresses of a host.

        Raises:
            OSError: There are none, or none in time.
            UnicodeError: No host can be called that.
        """
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[list[ResolveResult] | Exception] = loop.create_future()

        def tell(found: list[ResolveResult] | Exception) -> None:
            self._threads -= 1
            if not answer.done():
                answer.set_result(found)

        def look_up() -> None:
            found = _look_up(host, port, family=family)
            with suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(tell, found)

        self._start(look_up)
        try:
            async with asyncio.timeout(self._answer_secs):
                found = await answer
        except TimeoutError:
            raise _failed(f"no answer within {self._answer_secs:g} s") from None
        if isinstance(found, Exception):
            raise found
        return found

    async def close(self) -> None:
        """Do nothing: nobody waits for the threads."""

    def _start(self, look_up: Callable[[], None]) -> None:
        if self._threads >= _MOST_THREADS:
            raise _failed("no answer to what was asked before")
        self._threads += 1
        try:
            threading.Thread(target=look_up, name="look-up", daemon=True).start()
        except RuntimeError as error:
            self._threads -= 1
            raise _failed(str(error)) from None


def _look_up(
    host: str, port: int, *, family: socket.AddressFamily
) -> list[ResolveResult] | Exception:
    try:
        flags = socket.AI_ADDRCONFIG
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, family=family, flags=flags)
        return [
            ResolveResult(
                hostname=host,
                host=_numeric(address),
                port=port,
                family=its_family,
                proto=proto,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for its_family, _, proto, _, address in found
        ]
    except (OSError, UnicodeError) as error:
        return error


def _numeric(address: tuple[Any, ...]) -> str:
    """Return an address as text; one that is of one network alone with the name of that."""
    if len(address) == _IPV6_FIELDS and address[3]:
        return socket.getnameinfo(address, socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)[0]
    return str(address[0])


def _failed(why: str) -> socket.gaierror:
    return socket.gaierror(socket.EAI_AGAIN, why)
