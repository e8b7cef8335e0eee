"""Follow: generations in order, none twice, nothing glued; a fault of one file is its own."""

import asyncio
import gzip
import os
import time
from pathlib import Path

import pytest

from tests.source.running import (
    Delivered,
    config_of,
    counted,
    docker_line,
    read_once,
    running,
    turning,
    until,
)


def append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


def compress(path: Path) -> None:
    """Compress as kubelet does: into a temporary file, then in place of the plain one."""
    temporary = path.with_name(f"{path.name}.tmp")
    temporary.write_bytes(gzip.compress(path.read_bytes()))
    temporary.rename(path.with_name(f"{path.name}.gz"))
    path.unlink()


def flags_of(delivered: Delivered, log: str) -> list[str]:
    (document,) = (d for d in delivered.by_id.values() if d["log"] == log)
    flags: list[str] = document.get("shipper", {}).get("flags", [])
    return flags


class Logs:
    """A directory of two series: what is seen of `marker` was there when all before it was read."""

    def __init__(self, root: Path) -> None:
        self.directory = root / "logs"
        self.directory.mkdir()
        self.live = self.directory / "a.log"
        self.rotated = self.directory / "a.log.1"
        self.delivered = Delivered()
        self._marker = self.directory / "z.log"
        self._marks = 0

    @property
    def logs(self) -> list[str]:
        return [log for log in self.delivered.logs if not log.startswith("mark ")]

    async def has_only(self, *logs: str) -> None:
        """Check that these lines are delivered, and no others after the agent had the time."""
        await until(lambda: self.logs == sorted(logs))
        for _ in range(2):
            self._marks += 1
            mark = f"mark {self._marks}"
            append(self._marker, mark.encode() + b"\n")
            await until(lambda mark=mark: mark in self.delivered.logs)  # type: ignore[misc]
        assert self.logs == sorted(logs)


def test_lines_are_delivered_as_they_are_written(tmp_path: Path) -> None:
    """Whole lines are delivered while the file grows, a half line only with its end."""
    logs = Logs(tmp_path)
    logs.live.write_bytes(b"one\ntwo\nthr")

    async def follow() -> None:
        async with running(config_of(tmp_path / "state", logs.directory), logs.delivered):
            await logs.has_only("one", "two")
            append(logs.live, b"ee\n")
            await logs.has_only("one", "two", "three")

    asyncio.run(follow())


def test_half_line_of_rotated_file_holds_its_successor(tmp_path: Path) -> None:
    """What was written after a rotation waits for the half line before it to be finished."""
    logs = Logs(tmp_path)
    logs.rotated.write_bytes(b"one\nha")
    logs.live.write_bytes(b"two\n")

    async def follow() -> None:
        config = config_of(tmp_path / "state", logs.directory, settle_secs=60)
        async with running(config, logs.delivered):
            await logs.has_only("one")
            append(logs.rotated, b"lf\n")
            await logs.has_only("one", "half", "two")

    asyncio.run(follow())


def test_half_line_is_a_line_when_its_writer_has_settled(tmp_path: Path) -> None:
    """A half line whose writer was quiet for `settle_secs` is delivered, then its successor."""
    logs = Logs(tmp_path)
    logs.rotated.write_bytes(b"one\nhalf")
    logs.live.write_bytes(b"two\n")

    async def follow() -> None:
        async with running(config_of(tmp_path / "state", logs.directory), logs.delivered):
            await logs.has_only("one", "half", "two")

    asyncio.run(follow())


def test_half_line_waits_as_long_as_there_is_no_successor(tmp_path: Path) -> None:
    """The newest file may still be written, whatever its name: its half line is not a line."""
    logs = Logs(tmp_path)
    logs.rotated.write_bytes(b"one\nha")

    async def follow() -> None:
        config = config_of(tmp_path / "state", logs.directory, settle_secs=0.01)
        async with running(config, logs.delivered):
            await logs.has_only("one")
            append(logs.rotated, b"lf\n")
            await logs.has_only("one", "half")

    asyncio.run(follow())


def test_short_rotated_file_is_read(tmp_path: Path) -> None:
    """A rotated file with neither newline nor 1,024 bytes is one line once it has settled."""
    logs = Logs(tmp_path)
    logs.rotated.write_bytes(b"short")
    logs.live.write_bytes(b"two\n")

    async def follow() -> None:
        async with running(config_of(tmp_path / "state", logs.directory), logs.delivered):
            await logs.has_only("short", "two")

    asyncio.run(follow())


def test_parts_go_on_in_the_next_generation(tmp_path: Path) -> None:
    """I4: a line that begins in one generation and ends in another is one, also after a kill."""
    logs = Logs(tmp_path)
    logs.live.write_bytes(docker_line("one ", number=1))

    async def follow() -> None:
        config = config_of(tmp_path / "state", logs.directory)
        async with running(config, logs.delivered, killed=lambda: True):
            append(logs.live, docker_line("err\n", stream="stderr", number=2))
            await logs.has_only("err\n")
        logs.live.rename(logs.rotated)
        logs.live.write_bytes(docker_line("two ", number=3))
        async with running(config, logs.delivered, killed=lambda: True) as agent:
            await until(lambda: agent.sources.pending_bytes > 100)
            await until(lambda: agent.sources.open_files == 2)  # the marker, and the live one
            append(logs.live, docker_line("three\n", number=4))
            await logs.has_only("err\n", "one two three\n")

    asyncio.run(follow())


def test_part_in_a_finished_file_is_not_taken_twice(tmp_path: Path) -> None:
    """I4: a file that grows after it was finished goes on behind the part that waits in memory."""
    logs = Logs(tmp_path)
    logs.rotated.write_bytes(docker_line("one ", number=1))
    logs.live.write_bytes(b"live\n")

    async def follow() -> None:
        async with running(config_of(tmp_path / "state", logs.directory), logs.delivered) as agent:
            await logs.has_only("live")
            await until(lambda: agent.sources.open_files == 2)
            append(logs.rotated, docker_line("two\n", number=2))
            await logs.has_only("live", "one two\n")

    asyncio.run(follow())


def test_everything_rotated_while_the_agent_was_down_is_read(tmp_path: Path) -> None:
    """I5: after a stop all generations are read on, renamed and compressed ones once."""
    logs = Logs(tmp_path)
    logs.live.write_bytes(b"one\ntwo\n")

    async def follow() -> None:
        config = config_of(tmp_path / "state", logs.directory)
        async with running(config, logs.delivered):
            await logs.has_only("one", "two")
        append(logs.live, b"three\n")
        logs.live.rename(logs.directory / "a.log.2")
        compress(logs.directory / "a.log.2")
        logs.rotated.write_bytes(b"four\n")
        logs.live.write_bytes(b"five\n")
        async with running(config, logs.delivered):
            await logs.has_only("one", "two", "three", "four", "five")
        async with running(config, logs.delivered):
            await logs.has_only("one", "two", "three", "four", "five")

    asyncio.run(follow())


@pytest.mark.parametrize("settle_secs", [0.05, 60])
def test_file_compressed_while_it_is_followed_is_not_read_twice(
    tmp_path: Path, settle_secs: float
) -> None:
    """A `.gz` of a file that was read, finished or still open, brings nothing twice."""
    logs = Logs(tmp_path)
    logs.live.write_bytes(b"one\n")

    async def follow() -> None:
        config = config_of(tmp_path / "state", logs.directory, settle_secs=settle_secs)
        async with running(config, logs.delivered) as agent:
            await logs.has_only("one")
            logs.live.rename(logs.rotated)
            logs.live.write_bytes(b"two\n")
            await logs.has_only("one", "two")
            if settle_secs < 1:
                await until(lambda: agent.sources.open_files == 2)
            compress(logs.rotated)
            append(logs.live, b"three\n")
            await logs.has_only("one", "two", "three")

    asyncio.run(follow())


def test_truncated_file_is_read_as_a_new_one(tmp_path: Path) -> None:
    """A file truncated in place is another file, and nothing of the old one is glued to it."""
    logs = Logs(tmp_path)
    logs.live.write_bytes(b"old\n" + docker_line("part", number=1))

    async def follow() -> None:
        async with running(config_of(tmp_path / "state", logs.directory), logs.delivered) as agent:
            await until(lambda: agent.sources.pending_bytes > 0)
            logs.live.write_bytes(b"old\n" + docker_line("new\n", number=2) + b"x" * 99 + b"\n")
            await logs.has_only("old", "old", "part", "new\n", "x" * 99)

    asyncio.run(follow())
    assert flags_of(logs.delivered, "part") == ["unfinished"]


def test_deleted_file_is_read_to_its_end(tmp_path: Path) -> None:
    """What is open is read after it was deleted, also what is written after that."""
    logs = Logs(tmp_path)
    logs.live.write_bytes(b"one\n")

    async def follow() -> None:
        config = config_of(tmp_path / "state", logs.directory)
        async with running(config, logs.delivered):
            await logs.has_only("one")
            with logs.live.open("ab", buffering=0) as file:
                logs.live.unlink()
                file.write(b"two\n")
                await until(lambda: "two" in logs.logs)
            logs.live.write_bytes(b"one\n")  # perhaps in the same inode
            await logs.has_only("one", "two", "one")

    asyncio.run(follow())


def test_unreadable_generation_does_not_stop_the_others(tmp_path: Path) -> None:
    """A file that cannot be read is counted and tried again; all others are read meanwhile."""
    logs = Logs(tmp_path)
    broken = logs.directory / "a.log.2.gz"
    broken.write_bytes(b"no gzip")
    logs.rotated.write_bytes(b"two\n")
    logs.live.write_bytes(b"three\n")

    async def follow() -> None:
        async with running(config_of(tmp_path / "state", logs.directory), logs.delivered) as agent:
            await logs.has_only("two", "three")
            assert counted(agent.metrics.read_errors) >= 1
            broken.write_bytes(gzip.compress(b"one\n"))
            await logs.has_only("one", "two", "three")

    asyncio.run(follow())


def test_named_compressed_file_is_read(tmp_path: Path) -> None:
    """A `.gz` that is named itself is read, and only that of its series."""
    logs = Logs(tmp_path)
    path = logs.directory / "a.log.2.gz"
    path.write_bytes(gzip.compress(b"one\ntwo"))
    logs.live.write_bytes(b"other\n")
    asyncio.run(read_once(config_of(tmp_path / "state", path), logs.delivered))
    assert logs.logs == ["one", "two"]


def test_once_reads_everything_to_its_end(tmp_path: Path) -> None:
    """`--once` delivers all generations, a last line without newline, and parts without an end."""
    logs = Logs(tmp_path)
    (logs.directory / "a.log.2.gz").write_bytes(gzip.compress(b"one\n"))
    logs.rotated.write_bytes(b"two\nthree")
    logs.live.write_bytes(docker_line("part") + b"four")
    (logs.directory / "empty.log").touch()
    (logs.directory / "short.log").write_bytes(b"short")
    config = config_of(tmp_path / "state", logs.directory)
    asyncio.run(read_once(config, logs.delivered))
    everything = sorted(["one", "two", "three", "part", "four", "short"])
    assert logs.logs == everything
    again = asyncio.run(read_once(config, logs.delivered))
    assert again.sources.read_bytes == 0
    assert logs.logs == everything


def test_once_does_not_wait_for_files_that_are_old(tmp_path: Path) -> None:
    """`--once` takes a last line at once whose writer has been quiet, by the file's own time."""
    logs = Logs(tmp_path)
    logs.live.write_bytes(b"one\ntwo")
    os.utime(logs.live, (1, 1))
    started = time.monotonic()
    asyncio.run(read_once(config_of(tmp_path / "state", logs.directory), logs.delivered))
    assert time.monotonic() - started < 0.9
    assert logs.logs == ["one", "two"]


def test_once_ends_with_files_from_the_future(tmp_path: Path) -> None:
    """`--once` does not wait for a clock to reach the time of a file."""
    logs = Logs(tmp_path)
    logs.live.write_bytes(b"one")
    os.utime(logs.live, (time.time() + 9999,) * 2)
    asyncio.run(read_once(config_of(tmp_path / "state", logs.directory), logs.delivered))
    assert logs.logs == ["one"]


def test_endless_line_does_not_stop_the_others(tmp_path: Path) -> None:
    """While a line of 100 MiB is searched for its end, the event loop turns and others are read."""
    logs = Logs(tmp_path)
    size = 100 << 20
    logs.live.write_bytes(b"x" * 2000)
    os.truncate(logs.live, size)
    append(logs.live, b"\nnext\n")

    async def follow() -> float:
        config = config_of(tmp_path / "state", logs.directory)
        async with running(config, logs.delivered), turning() as delays:
            await until(lambda: len(logs.logs) == 2)
            return max(delays)

    assert asyncio.run(follow()) < 0.5
    assert any(f"{size + 1} bytes]" in log for log in logs.logs)
