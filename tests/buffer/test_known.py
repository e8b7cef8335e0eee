"""What is known of pods: kept beside the chunks, and never in their way."""

import asyncio
import logging
import sqlite3
from pathlib import Path

import pytest

from shipper.buffer.spool import Spool
from shipper.metrics import Metrics
from tests.buffer.running import settings


def test_rows_are_kept_by_the_spools_thread(tmp_path: Path) -> None:
    """What was kept is known after a restart."""

    async def keep() -> None:
        spool = Spool(tmp_path, settings(), metrics=Metrics())
        await spool.known.keep("pod", {"u": b"{}"})
        spool.close()

    asyncio.run(keep())
    spool = Spool(tmp_path, settings(), metrics=Metrics())
    assert spool.known.known("pod") == [b"{}"]
    spool.close()


def test_refusing_disk_stops_no_reading(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A disk that does not take what is known of pods is told of, and reading goes on."""

    async def keep() -> None:
        spool = Spool(tmp_path, settings(), metrics=Metrics())
        other = sqlite3.connect(tmp_path / "state.db", isolation_level=None)
        size = other.execute("PRAGMA page_count").fetchone()[0]
        spool.state._db.execute(f"PRAGMA max_page_count = {size}")  # noqa: SLF001  # a full disk
        await spool.known.keep("pod", {"u": b"x" * 100_000})
        assert not spool.paused
        other.close()
        spool.close()

    caplog.set_level(logging.WARNING)
    asyncio.run(keep())
    assert "cannot be kept" in caplog.text
