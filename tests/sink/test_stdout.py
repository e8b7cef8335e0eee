"""Documents as JSON lines on standard output."""

import asyncio
import os
import threading

import pytest

from shipper.buffer.chunk import compress
from shipper.errors import ShipperError
from shipper.sink.bulk import Outcomes
from shipper.sink.stdout import Stdout

BODY = b'{"create":{}}\n{"log":"a"}\n{"create":{}}\n{"log":"b"}\n'


def test_documents_are_lines_without_their_actions() -> None:
    """Each document is one line, in order, and delivered when it is written."""
    reader, writer = os.pipe()
    sink = Stdout(writer)
    asyncio.run(sink.check())
    assert asyncio.run(sink.send(compress(BODY), 2)) == Outcomes(delivered=2)
    asyncio.run(sink.close())
    assert os.read(reader, 1000) == b'{"log":"a"}\n{"log":"b"}\n'
    os.close(reader)
    os.close(writer)


def test_more_than_a_pipe_holds_is_written_whole() -> None:
    """A slow reader gets all of it."""
    reader, writer = os.pipe()
    document = b'{"log":"%s"}\n' % (b"x" * 1_000_000)
    read: list[bytes] = []

    def drain() -> None:
        with os.fdopen(reader, "rb") as file:
            read.append(file.read())

    thread = threading.Thread(target=drain)
    thread.start()
    asyncio.run(Stdout(writer).send(compress(b"{}\n" + document), 1))
    os.close(writer)
    thread.join()
    assert read == [document]


def test_reader_that_goes_away_ends_it() -> None:
    """`| head` is an orderly end that says what becomes of the rest."""
    reader, writer = os.pipe()
    os.close(reader)
    with pytest.raises(ShipperError, match="kept for the next run"):
        asyncio.run(Stdout(writer).send(compress(BODY), 2))
    os.close(writer)


def test_reader_that_hangs_does_not_keep_the_process() -> None:
    """A write that is never taken can be given up: the loop ends without its thread."""
    reader, writer = os.pipe()
    big = compress(b"{}\n" + b"x" * 10_000_000 + b"\n")

    def writers() -> list[threading.Thread]:
        return [thread for thread in threading.enumerate() if thread.name == "stdout"]

    async def run() -> threading.Thread:
        async with asyncio.TaskGroup() as group:
            sending = group.create_task(Stdout(writer).send(big, 1))
            async with asyncio.timeout(10):
                while not writers():  # noqa: ASYNC110  # nothing tells
                    await asyncio.sleep(0.005)
            (thread,) = writers()
            sending.cancel()
        return thread

    thread = asyncio.run(run())
    assert thread.daemon
    assert thread.is_alive()
    os.close(reader)
    thread.join(10)
    assert not thread.is_alive()
    os.close(writer)
