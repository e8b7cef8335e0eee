"""Names that nobody answers for: what waits for them, and what does not."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from shipper.resolve import Resolver


@pytest.fixture
def silence(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Name servers say nothing until this is set."""
    ended, real = threading.Event(), socket.getaddrinfo

    def look_up(*asked: Any, **more: Any) -> Any:  # noqa: ANN401  # as the real one
        ended.wait(30)
        return real(*asked, **more)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    yield ended
    ended.set()


def addresses(resolver: Resolver, host: str) -> set[str]:
    return {each["host"] for each in asyncio.run(resolver.resolve(host, 443))}


def test_addresses_of_a_name_are_found() -> None:
    """A name that is known has its addresses, with the port that was asked for."""
    (found,) = asyncio.run(Resolver().resolve("localhost", 443, socket.AF_INET))
    assert (found["host"], found["port"], found["hostname"]) == ("127.0.0.1", 443, "localhost")


def test_name_that_is_not_known_is_no_address() -> None:
    """What the system says of a name is the fault."""
    with pytest.raises(socket.gaierror):
        addresses(Resolver(), "missing.invalid")
    with pytest.raises(UnicodeError):
        addresses(Resolver(), "x" * 64 + ".invalid")


@pytest.mark.timeout(20)
def test_silent_name_server_is_waited_for_neither_then_nor_at_the_end(
    silence: threading.Event,
) -> None:
    """The loop ends although nobody has answered, and what is wrong is said."""
    assert not silence.is_set()
    with pytest.raises(socket.gaierror, match="no answer within"):
        addresses(Resolver(0.05), "kubernetes.default.svc")


@pytest.mark.timeout(20)
def test_questions_without_an_answer_stay_few(silence: threading.Event) -> None:
    """However often it is asked, a few threads wait, and it goes on once they are answered."""
    resolver, before = Resolver(0.02), threading.active_count()

    async def ask() -> None:
        for _ in range(20):
            with pytest.raises(socket.gaierror):
                await resolver.resolve("localhost", 443)
        assert threading.active_count() - before <= 4
        silence.set()
        while threading.active_count() > before:  # noqa: ASYNC110  # threads have no event
            await asyncio.sleep(0.01)
        assert await resolver.resolve("localhost", 443)

    asyncio.run(ask())
