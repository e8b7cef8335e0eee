"""Standing: when a destination counts as away, and how long who waits."""

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from shipper.buffer.spool import Spool
from shipper.errors import SinkRefused, SinkUnavailable
from shipper.metrics import Metrics
from shipper.model import Lane
from shipper.sink import standing
from shipper.sink.standing import Standing
from tests.buffer.running import opened

FAULT = SinkUnavailable("it is full", status=429)


@asynccontextmanager
async def standing_of(
    root: Path, retry_max_secs: float = 0.01
) -> AsyncIterator[tuple[Standing, Spool]]:
    """The standing of a destination, with its spool."""
    async with opened(root) as spool:
        yield Standing(spool, metrics=Metrics(), retry_max_secs=retry_max_secs), spool


def test_destination_that_takes_nothing_is_away(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Without any success a failure is told once, makes chunks older, and ends with a success."""
    caplog.set_level(logging.INFO)

    async def scenario() -> None:
        async with standing_of(tmp_path) as (it, spool):
            for _ in range(3):
                await it.wait_out(SinkRefused("no rights", status=403), Lane.BULK)
            assert (it.trouble, it.away.is_set(), spool.away) == ("no rights", True, True)
            it.passed(Lane.EXPRESS)
            assert (it.trouble, it.away.is_set(), spool.away) == ("", False, False)

    asyncio.run(scenario())
    assert caplog.messages == [
        "the destination does not take documents, they stay in the buffer: no rights",
        "the destination takes documents again",
    ]


def test_destination_that_takes_something_is_not_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Failures soon after a success are throttling; they are trouble when nothing else comes."""

    async def scenario() -> None:
        async with standing_of(tmp_path) as (it, spool):
            it.passed(Lane.EXPRESS)
            await it.wait_out(FAULT, Lane.BULK)
            assert (it.trouble, spool.away) == ("", False)
            monkeypatch.setattr(standing, "_STEADY_SECS", 0.0)
            await it.wait_out(FAULT, Lane.BULK)
            assert (it.trouble, spool.away) == ("it is full", True)

    asyncio.run(scenario())


def test_each_lane_waits_for_its_own_failures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bulk chunks that fail again and again wait longer; express chunks that pass do not."""
    monkeypatch.setattr(random, "random", lambda: 0.2)

    async def scenario() -> None:
        async with standing_of(tmp_path, retry_max_secs=60) as (it, _):
            waits = []
            for lane in (Lane.BULK, Lane.BULK, Lane.BULK, Lane.EXPRESS, Lane.BULK):
                started = time.monotonic()
                await it.wait_out(FAULT, lane)
                it.passed(Lane.EXPRESS)
                waits.append(time.monotonic() - started)
            assert waits == pytest.approx([0.1, 0.2, 0.4, 0.1, 0.8], abs=0.09)

    asyncio.run(scenario())
