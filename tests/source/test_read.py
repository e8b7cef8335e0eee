"""Read: where a file begins, what is skipped and counted, and how fast a series may go."""

import asyncio
import gzip
import os
import time
from pathlib import Path
from typing import Any

import pytest

from shipper.config import Config
from tests.source.logs import Logs, append, compress
from tests.source.running import config_of, cri_line, docker_line, read_once, running, until

MOMENT = "2026-11-23T11:11:12.000050+01:00"


def config(logs: Logs, **follow: Any) -> Config:  # noqa: ANN401  # keys of all types
    """The configuration of the agent, with keys that are no numbers, too."""
    return config_of(logs.state_dir, logs.directory, **follow)


# -- read_from


@pytest.mark.parametrize("half", [b"", b"ha"], ids=["whole", "half"])
def test_what_is_there_is_skipped_from_the_end_on(tmp_path: Path, half: bytes) -> None:
    """With `end` what is there at the first start is counted, and a half line is not cut."""
    logs = Logs(tmp_path)
    logs.live.write_bytes(b"old\nolder\n" + half)

    async def follow() -> None:
        async with running(config(logs, read_from="end"), logs.delivered) as agent:
            await until(lambda: agent.sources.read_bytes >= 10)
            append(logs.live, b"lf\nnew\n")
            await logs.has_only(*(["half"] if half else ["lf"]), "new")

    asyncio.run(follow())
    assert logs.lost() == {"dropped_bytes.read_from": 10}


def test_all_generations_that_are_there_are_skipped(tmp_path: Path) -> None:
    """With `end` rotated and compressed generations are skipped to their ends, and counted."""
    logs = Logs(tmp_path)
    (logs.directory / "a.log.2.gz").write_bytes(gzip.compress(b"oldest\n" * 100))
    logs.rotated.write_bytes(b"older\nlast")
    logs.live.write_bytes(b"old\n")

    async def follow() -> None:
        async with running(config(logs, read_from="end"), logs.delivered) as agent:
            await until(lambda: agent.sources.read_bytes == 700 + 10 + 4)
            append(logs.live, b"new\n")
            await logs.has_only("new")

    asyncio.run(follow())
    assert logs.lost() == {"dropped_bytes.read_from": 714}


def test_later_files_are_read_from_their_beginning(tmp_path: Path) -> None:
    """`end` is of files that are there at the first start; what comes after it is new."""
    logs = Logs(tmp_path)
    logs.live.write_bytes(b"old\n")

    async def follow() -> None:
        async with running(config(logs, read_from="end"), logs.delivered) as agent:
            await until(lambda: agent.sources.read_bytes == 4)
            logs.live.rename(logs.rotated)
            logs.live.write_bytes(b"one\n")
            (logs.directory / "b.log").write_bytes(b"two\n")
            await logs.has_only("one", "two")
        (logs.directory / "c.log").write_bytes(b"three\n")
        append(logs.live, b"four\n")
        async with running(config(logs, read_from="end"), logs.delivered):
            await logs.has_only("one", "two", "three", "four")

    asyncio.run(follow())
    assert logs.lost() == {"dropped_bytes.read_from": 4}


@pytest.mark.parametrize("killed", [True, False])
def test_skipped_file_is_skipped_once(tmp_path: Path, *, killed: bool) -> None:
    """A restart reads on behind what was skipped; what was written meanwhile is not skipped."""
    logs = Logs(tmp_path)
    logs.live.write_bytes(b"old\n")

    async def follow() -> None:
        wanted = config(logs, read_from="end")
        async with running(wanted, logs.delivered, killed=lambda: killed) as agent:
            await until(lambda: agent.sources.read_bytes == 4)
            await agent.spool.flush()
        append(logs.live, b"one\n")
        async with running(wanted, logs.delivered, killed=lambda: killed):
            await logs.has_only("one")

    asyncio.run(follow())
    assert logs.lost() == {"dropped_bytes.read_from": 4}


def test_first_start_that_was_not_over_goes_on(tmp_path: Path) -> None:
    """Killed before it had seen anything, the agent skips what is there at its next start."""
    logs = Logs(tmp_path)

    async def follow() -> None:
        async with running(config(logs, read_from="end"), logs.delivered, killed=lambda: True):
            pass
        logs.live.write_bytes(b"old\n")
        async with running(config(logs, read_from="end"), logs.delivered) as agent:
            await until(lambda: agent.sources.read_bytes == 4)
            append(logs.live, b"new\n")
            await logs.has_only("new")

    asyncio.run(follow())


def test_setting_that_is_made_later_skips_nothing(tmp_path: Path) -> None:
    """`read_from` that is set when positions are there already has no effect."""
    logs = Logs(tmp_path)
    logs.live.write_bytes(b"one\n")

    async def follow() -> None:
        async with logs.agent():
            await logs.has_only("one")
        append(logs.live, b"two\n")
        (logs.directory / "b.log").write_bytes(b"three\n")
        async with running(config(logs, read_from="end"), logs.delivered):
            await logs.has_only("one", "two", "three")

    asyncio.run(follow())
    assert logs.lost() == {}


@pytest.mark.parametrize("line", [docker_line, cri_line])
def test_events_before_the_moment_are_skipped(tmp_path: Path, line: Any) -> None:  # noqa: ANN401
    """With a time, older events are counted by their bytes, in all generations and in order."""
    logs = Logs(tmp_path)
    old = [line("old\n" if line is docker_line else "old", number=n) for n in (1, 49_999)]
    new = [line("new\n" if line is docker_line else "new", number=n) for n in (50_000, 50_001)]
    logs.rotated.write_bytes(old[0])
    logs.live.write_bytes(old[1] + new[0])

    async def follow() -> None:
        async with running(config(logs, read_from=MOMENT), logs.delivered):
            await until(lambda: len(logs.logs) == 1)
            append(logs.live, new[1])
            await until(lambda: len(logs.logs) == 2)
        append(logs.live, old[0])  # a restart does not forget since when the file is wanted
        async with running(config(logs, read_from=MOMENT), logs.delivered) as agent:
            await until(lambda: agent.sources.read_bytes == len(old[0]))

    asyncio.run(follow())
    assert {log.rstrip("\n") for log in logs.logs} == {"new"}
    assert logs.lost() == {"dropped_bytes.read_from": sum(map(len, old)) + len(old[0])}


# -- ignore_older_secs


def test_file_that_nobody_writes_is_skipped_to_its_end(tmp_path: Path) -> None:
    """An old file is counted, not read; what is appended to it later is, and new ones are."""
    logs = Logs(tmp_path)
    logs.live.write_bytes(b"old\n")
    os.utime(logs.live, (time.time() - 1000,) * 2)
    (logs.directory / "b.log").write_bytes(b"one\n")

    async def follow() -> None:
        async with logs.agent(ignore_older_secs=500) as agent:
            await logs.has_only("one")
            await until(lambda: agent.sources.read_bytes >= 8)
            append(logs.live, b"two\n")
            await logs.has_only("one", "two")

    asyncio.run(follow())
    assert logs.lost() == {"dropped_bytes.ignore_older": 4}


def test_file_that_was_read_is_not_ignored_later(tmp_path: Path) -> None:
    """Whoever has a position goes on there, however long nothing was written."""
    logs = Logs(tmp_path)
    logs.live.write_bytes(b"one\n")

    async def follow() -> None:
        async with logs.agent(ignore_older_secs=500):
            await logs.has_only("one")
        append(logs.live, b"two\n")
        os.utime(logs.live, (time.time() - 1000,) * 2)
        async with logs.agent(ignore_older_secs=500):
            await logs.has_only("one", "two")

    asyncio.run(follow())
    assert logs.lost() == {}


# -- holes


@pytest.mark.parametrize("killed", [True, False])
def test_hole_is_skipped_and_counted(tmp_path: Path, *, killed: bool) -> None:
    """A file truncated under a writer without O_APPEND begins with NULs: they become no line."""
    logs = Logs(tmp_path)

    async def follow() -> None:
        with logs.live.open("wb", buffering=0) as file:
            file.write(b"one\n" * 100)
            async with logs.agent(killed=killed) as agent:
                await until(lambda: len(logs.logs) == 100)
                await agent.spool.flush()
                if not killed:
                    os.truncate(logs.live, 0)
                    file.write(b"two\n")
                    await logs.has_only(*["one"] * 100, "two")
            if killed:
                os.truncate(logs.live, 0)
                file.write(b"two\n")
            async with logs.agent():
                await logs.has_only(*["one"] * 100, "two")
                file.write(b"three\n")
                await logs.has_only(*["one"] * 100, "two", "three")

    asyncio.run(follow())
    lost = logs.lost()
    lost.pop("gaps", None)  # what was written between the last look and the truncation
    assert lost == {"dropped_bytes.hole": 400}


# -- limits


def test_limit_delays_and_loses_nothing(tmp_path: Path) -> None:
    """A series over its bytes a second is read later, and whole; others are not slowed down."""
    logs = Logs(tmp_path)
    lines = [f"{number:07}" for number in range(4096)]  # 32 KiB, 8 blocks

    async def follow() -> float:
        limits = {"bytes_per_sec": 16384, "action": "delay"}
        limited = config(logs, limits=limits, block_bytes=4096)
        async with running(limited, logs.delivered):
            append(logs.live, "".join(f"{line}\n" for line in lines).encode())
            (logs.directory / "b.log").write_bytes(b"other\n")
            await until(lambda: "other" in logs.logs)
            assert len(logs.logs) < len(lines)
            started = time.monotonic()
            await until(lambda: len(logs.logs) == len(lines) + 1)
            return time.monotonic() - started

    assert asyncio.run(follow()) > 0.4
    assert logs.logs == sorted([*lines, "other"])
    assert logs.lost() == {}


def test_limit_drops_and_counts(tmp_path: Path) -> None:
    """With `drop` what is over the limit becomes no document, and every byte of it is counted."""
    logs = Logs(tmp_path)
    lines = [f"{number:07}" for number in range(4096)]

    async def follow() -> None:
        limits = {"lines_per_sec": 600, "action": "drop"}
        async with running(config(logs, limits=limits, block_bytes=4096), logs.delivered) as agent:
            append(logs.live, "".join(f"{line}\n" for line in lines).encode())
            await until(lambda: agent.sources.read_bytes == 8 * len(lines))

    asyncio.run(follow())
    kept = len(logs.logs)
    assert 512 <= kept < len(lines) / 2
    assert logs.lost() == {"dropped_bytes.limit": 8 * (len(lines) - kept)}


# -- which file is which


@pytest.mark.parametrize("late", [False, True], ids=["found at once", "found later"])
def test_order_of_generations_is_saved(tmp_path: Path, *, late: bool) -> None:
    """The newest file is known as such after a restart, in whichever order they were found."""
    logs = Logs(tmp_path)
    older, oldest = logs.rotated, logs.directory / "a.log.2"

    async def follow() -> None:
        logs.live.write_bytes(b"four\n")
        older.write_bytes(b"two!\n")
        if not late:
            oldest.write_bytes(b"one\n")
        async with logs.agent(killed=True, settle_secs=60) as agent:
            await until(lambda: len(logs.logs) == (2 if late else 3))
            if late:
                oldest.write_bytes(b"one\n")
                await until(lambda: len(logs.logs) == 3)
            await agent.spool.flush()

    asyncio.run(follow())
    saved = sorted(logs.saved(), key=lambda file: file.sequence)
    inodes = [path.stat().st_ino for path in (oldest, older, logs.live)]
    assert [file.inode for file in saved] == inodes


# -- the ends of files


def test_compressed_file_is_read_while_its_original_is_written(tmp_path: Path) -> None:
    """A `.gz` of a file that still grows, shorter than what was read of that, brings nothing."""
    logs = Logs(tmp_path)
    logs.live.write_bytes(b"one\n")

    async def follow() -> None:
        async with logs.agent() as agent:
            await logs.has_only("one")
            logs.live.rename(logs.rotated)
            data = gzip.compress(logs.rotated.read_bytes())
            append(logs.rotated, b"two\n")
            logs.live.write_bytes(b"three\n")
            await logs.has_only("one", "two", "three")
            (logs.directory / "a.log.1.gz").write_bytes(data)
            await logs.has_only("one", "two", "three")
            logs.rotated.unlink()
            await logs.has_only("one", "two", "three")
            await until(lambda: agent.sources.open_files == 2)
            await logs.has_only("one", "two", "three")

    asyncio.run(follow())
    assert logs.lost() == {}


def test_generation_that_is_compressed_before_it_was_read_is_read(tmp_path: Path) -> None:
    """A `.gz` that nobody knew before is read whole; with `--once`, too."""
    logs = Logs(tmp_path)
    logs.rotated.write_bytes(b"one\ntwo")
    compress(logs.rotated)
    logs.live.write_bytes(b"three\n")
    asyncio.run(read_once(config(logs), logs.delivered))
    assert logs.logs == ["one", "three", "two"]
    assert logs.account()["read_bytes"] == 13
