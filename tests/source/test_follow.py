"""Follow: generations in order, none twice, nothing glued; a fault of one file is its own."""

import asyncio
import gzip
import os
import shutil
import time
from pathlib import Path

import pytest

from shipper.source.poll import Poller
from tests.source.faulty import Faulty
from tests.source.logs import Logs, append, compress
from tests.source.running import (
    Running,
    config_of,
    counted,
    cri_line,
    docker_line,
    read_once,
    refuse_watches,
    running,
    turning,
    until,
)


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


def test_part_without_an_end_is_delivered_in_time(tmp_path: Path) -> None:
    """A CRI `P` that no `F` follows is delivered after `partial_secs`, flagged; its file stays."""
    logs = Logs(tmp_path)
    part = cri_line("part", partial=True)

    async def follow() -> None:
        append(logs.live, part)
        async with logs.agent(partial_secs=0.3) as agent:
            await until(lambda: agent.sources.pending_bytes == len(part))
            assert logs.logs == []
            await logs.has_only("part")
            assert agent.sources.pending_bytes == 0
            append(logs.live, cri_line("next"))
            await logs.has_only("part", "next")

    asyncio.run(follow())
    assert logs.flags_of("part") == ["unfinished"]
    assert logs.flags_of("next") == []
    assert logs.lost() == {}


def test_time_of_a_part_begins_with_its_last(tmp_path: Path) -> None:
    """As long as parts come, whose line takes longer than `partial_secs`, they are one line."""
    logs = Logs(tmp_path)

    async def follow() -> None:
        async with logs.agent(partial_secs=0.4):
            for _ in range(4):
                append(logs.live, cri_line("part ", partial=True))
                await asyncio.sleep(0.2)  # half of the time, and twice it in all
            append(logs.live, cri_line("end"))
            await logs.has_only("part " * 4 + "end")

    asyncio.run(follow())
    assert logs.flags_of("part " * 4 + "end") == []


def test_part_does_not_wait_in_vain_while_reading_is_paused(tmp_path: Path) -> None:
    """While its end may be there and is not read, a part is not taken for one without an end."""
    logs = Logs(tmp_path)

    async def follow() -> None:
        async with logs.agent(partial_secs=0.7) as agent:
            append(logs.live, cri_line("part ", partial=True))
            await until(lambda: agent.sources.pending_bytes > 0)
            logs.delivered.away = True
            while agent.spool.has_room():
                append(logs.directory / "filler.log", b"fill\n")
                await asyncio.sleep(0.01)
            append(logs.live, cri_line("end"))
            await asyncio.sleep(1.0)  # longer than a part waits
            logs.delivered.away = False
            await until(lambda: "part end" in logs.logs)

    asyncio.run(follow())
    assert logs.flags_of("part end") == []
    assert "part " not in logs.logs
    assert logs.lost() == {}


@pytest.mark.parametrize("ends", [True, False])
def test_part_is_read_again_after_a_kill(tmp_path: Path, *, ends: bool) -> None:
    """I4: until a part is delivered the position is before it: the same documents come of it."""
    logs = Logs(tmp_path)
    part = cri_line("part ", partial=True)
    before = cri_line("one", stream="stderr")

    async def follow() -> None:
        append(logs.live, before + part + cri_line("two", stream="stderr"))
        for _ in range(2):
            async with logs.agent(killed=True, partial_secs=60) as agent:
                await logs.has_only("one", "two")
                await until(lambda: agent.sources.pending_bytes == len(part))
                await agent.spool.flush()
            (saved,) = logs.saved()
            assert saved.position.pins == {"stdout": len(before)}
            assert saved.position.pending_bytes == len(part)
            logs.account()
        if ends:
            append(logs.live, cri_line("end"))
        async with logs.agent(partial_secs=60 if ends else 0.1):
            await logs.has_only("one", "two", "part end" if ends else "part ")

    asyncio.run(follow())
    assert logs.lost() == {}
    assert logs.account()["chunked_bytes"] == logs.account()["read_bytes"]


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
    assert logs.flags_of("part") == ["unfinished"]


@pytest.mark.parametrize("runtime", [True, False], ids=["runtime", "plain"])
@pytest.mark.parametrize("quiet", [True, False], ids=["quiet", "busy"])
def test_copytruncate_brings_nothing_twice(tmp_path: Path, *, runtime: bool, quiet: bool) -> None:
    """A copy that keeps its original's time, and the truncation, bring each line once."""
    logs = Logs(tmp_path)
    expected: list[str] = []

    def write(text: str) -> None:
        text += "\n" * runtime
        expected.append(text)
        append(
            logs.live, docker_line(text, number=len(expected)) if runtime else f"{text}\n".encode()
        )

    async def follow() -> None:
        async with logs.agent():
            for turn in range(4):
                for number in range(20 + turn):  # of another size each
                    write(f"{turn} {number:02}")
                if not runtime:  # of equal bytes, what is not read yet could be any file's
                    await until(lambda: len(logs.logs) == len(expected))
                if quiet:
                    await asyncio.sleep(0.25)  # longer than a writer takes to settle
                shutil.copy2(logs.live, logs.directory / f"a.log-2026112{turn}")
                os.truncate(logs.live, 0)
            write("last")
            await logs.has_only(*expected)
            await asyncio.sleep(0.3)  # until everything that was rotated is finished
            await logs.has_only(*expected)

    asyncio.run(follow())
    assert logs.lost().keys() <= {"gaps"}


def test_copy_that_is_found_before_its_original_is_seen_rewritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was written after a truncation and copied at once is read once."""
    logs, copy = Logs(tmp_path), tmp_path / "logs" / "a.log-20261123"
    logs.live.write_bytes(b"one\n")

    async def follow() -> None:
        refuse_watches(monkeypatch)
        slow = Poller(active_secs=0.5)  # a scan finds the copy before
        config = config_of(logs.state_dir, logs.directory, settle_secs=5)
        async with running(config, logs.delivered, poller=slow) as agent:
            await logs.has_only("one")
            logs.live.write_bytes(b"two\nthree\n")
            shutil.copy2(logs.live, copy)
            await until(lambda: agent.sources.open_files == 3)
            await logs.has_only("one", "two", "three")
            os.truncate(logs.live, 0)
            await logs.has_only("one", "two", "three")

    asyncio.run(follow())
    assert logs.lost() == {}


def test_hard_link_is_no_second_file(tmp_path: Path) -> None:
    """A file with a second name in another series is read once, also after a restart."""
    logs = Logs(tmp_path)

    async def follow() -> None:
        append(logs.live, b"one\n")
        for killed in (True, False):
            async with logs.agent(killed=killed) as agent:
                await logs.has_only("one")
                if not (logs.directory / "b.log").exists():
                    (logs.directory / "b.log").hardlink_to(logs.live)
                await until(lambda agent=agent: agent.sources.open_files == 3)  # type: ignore[misc]
                await logs.has_only("one")
        append(logs.live, b"two\n")
        async with logs.agent():
            await logs.has_only("one", "two")
            logs.live.unlink()
            append(logs.directory / "b.log", b"three\n")
            await logs.has_only("one", "two", "three")

    asyncio.run(follow())


@pytest.mark.parametrize("names", [1, 2])
def test_second_name_goes_on_where_the_first_was_left(tmp_path: Path, names: int) -> None:
    """A file that loses one name, or both at once, is not read again by way of the other one."""
    logs = Logs(tmp_path)
    second = logs.directory / "b.log"

    async def follow() -> None:
        async with logs.agent() as agent:
            append(logs.live, b"one\n")
            await logs.has_only("one")
            second.hardlink_to(logs.live)
            await until(lambda: agent.sources.open_files == 3)
            for path in (logs.live, second)[:names]:
                path.unlink()
            await until(lambda: agent.sources.open_files == 3 - names, within_secs=20)
            await logs.has_only("one")
        async with logs.agent():
            if names == 1:
                append(second, b"two\n")
            await logs.has_only("one", *["two"][: 2 - names])

    asyncio.run(follow())
    assert logs.lost() == {}


def test_inode_of_a_compressed_generation_is_used_again(tmp_path: Path) -> None:
    """A generation that kubelet compressed leaves its inode to the next live file."""
    logs = Logs(tmp_path)
    expected = []

    async def follow() -> None:
        async with logs.agent():
            for turn in range(8):
                text = f"turn {turn}\n"
                expected.append(text)
                append(logs.live, docker_line(text, number=turn))
                await until(lambda text=text: text in logs.logs)  # type: ignore[misc]
                if logs.rotated.exists():
                    compress(logs.rotated)
                    spare = logs.directory / "spare.tmp"
                    spare.touch()  # ext4 gives out the inode that has just become free
                    (logs.directory / "a.log.1.gz").rename(logs.directory / f"a.log.{9 - turn}.gz")
                    logs.live.rename(logs.rotated)
                    spare.rename(logs.live)
                else:
                    logs.live.rename(logs.rotated)
            await logs.has_only(*expected)

    asyncio.run(follow())
    assert logs.lost() == {}


def test_compressed_beside_its_original_brings_nothing(tmp_path: Path) -> None:
    """While gzip has not deleted the original there are two files of one content: one is read."""
    logs = Logs(tmp_path)

    async def follow() -> None:
        append(logs.live, b"one\ntwo\n")
        async with logs.agent() as agent:
            await logs.has_only("one", "two")
            logs.live.rename(logs.rotated)
            logs.live.write_bytes(b"three\n")
            data = gzip.compress(logs.rotated.read_bytes())
            archive = logs.directory / "a.log.1.gz"
            for part in (data[:5], data[5:15], data[15:]):
                append(archive, part)
                await logs.has_only("one", "two", "three")
            logs.rotated.unlink()
            await logs.has_only("one", "two", "three")
            await until(lambda: agent.sources.open_files == 2)
        async with logs.agent():
            await logs.has_only("one", "two", "three")

    asyncio.run(follow())
    assert logs.lost() == {}


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


def test_once_names_what_it_could_not_read(tmp_path: Path) -> None:
    """A damaged generation is tried again, then left and named; the others are delivered."""
    logs = Logs(tmp_path)
    damaged = bytearray(gzip.compress(os.urandom(100_000)))
    damaged[50_000:50_010] = bytes(10)
    (logs.directory / "a.log.2.gz").write_bytes(damaged)
    logs.live.write_bytes(b"one\n")
    config = config_of(tmp_path / "state", logs.directory)
    agent = asyncio.run(read_once(config, logs.delivered))
    assert agent.sources.unread == [str(logs.directory / "a.log.2.gz")]
    assert "one" in logs.logs


def test_once_reads_what_cannot_be_read_for_a_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error that passes costs nothing."""
    logs, faulty = Logs(tmp_path), Faulty(monkeypatch)
    logs.live.write_bytes(b"one\n")
    config = config_of(tmp_path / "state", logs.directory)

    async def read() -> Running:
        faulty.begin({"EIO": logs.live}, "open")
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(read_once(config, logs.delivered))
            await until(lambda: bool(faulty.met))
            faulty.end()
        return reading.result()

    assert asyncio.run(read()).sources.unread == []
    assert logs.logs == ["one"]


def test_once_does_not_wait_for_files_that_are_old(tmp_path: Path) -> None:
    """`--once` takes a last line at once whose writer has been quiet, by the file's own time."""
    logs = Logs(tmp_path)
    logs.live.write_bytes(b"one\ntwo")
    os.utime(logs.live, (1, 1))
    config = config_of(tmp_path / "state", logs.directory, settle_secs=60)
    started = time.monotonic()
    asyncio.run(read_once(config, logs.delivered))
    assert time.monotonic() - started < 30
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
