"""Losses: what vanished before it was read is counted, once, and with its reason (I9)."""

import asyncio
import gzip
import logging
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from shipper.buffer.chunk import Read
from shipper.buffer.spool import Spool
from shipper.metrics import Metrics
from shipper.model import Documents, Position, SavedFile
from shipper.source.identity import Identity
from shipper.source.losses import DELETED, MISSING, Losses
from tests.source.faulty import Faulty
from tests.source.logs import Logs, append, compress
from tests.source.running import Running, config_of, docker_line, until

LINES = [f"line {number}" for number in range(200)]
TEXT = "".join(f"{line}\n" for line in LINES).encode()


def file_of(key: str, *, seen: int = 100, end: int = 40, sequence: int = 1) -> SavedFile:
    """What is saved of a file of the series `/a.log`: `end` of `seen` bytes are read."""
    return SavedFile(key, key, "/a.log", 1, 2, Position(end), seen, "", sequence)


class Account:
    """Losses over a spool of its own, in one state directory."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.settled = True

    def after(self, act: Callable[[Losses, Spool], object]) -> dict[tuple[str, str], int]:
        """Let something happen in one life of the agent; returns the totals of all its lives."""

        async def live() -> dict[tuple[str, str], int]:
            spool = Spool(self._root, config_of(self._root, "/x").buffer, metrics=Metrics())
            losses = Losses(spool, Identity("n", spool.positions.of))
            try:
                async with asyncio.TaskGroup() as group:
                    sealing = group.create_task(spool.seal_loop())
                    act(losses, spool)
                    losses.sweep(lambda _: self.settled)
                    await spool.flush()
                    sealing.cancel()
                return {name: n for name, n in spool.totals.items() if n}
            finally:
                spool.close()

        return asyncio.run(live())


def test_missed_file_is_abandoned_once(tmp_path: Path) -> None:
    """What was seen of a file and not read is counted when its time is over, and never again."""
    account = Account(tmp_path)

    def miss(losses: Losses, _: Spool) -> None:
        losses.miss(file_of("k"), DELETED, within_secs=0)

    def sweep_again(losses: Losses, _: Spool) -> None:
        losses.sweep(lambda _: True)
        losses.sweep(lambda _: True)

    def start_again(losses: Losses, spool: Spool) -> None:
        losses.begin(spool.positions.all(), lambda _: 0.0)

    assert account.after(miss) == {("abandoned_bytes", "deleted"): 60}
    assert account.after(sweep_again) == {("abandoned_bytes", "deleted"): 60}
    assert account.after(start_again) == {("abandoned_bytes", "deleted"): 60}


def test_file_is_missed_until_its_time_is_over(tmp_path: Path) -> None:
    """Before that, and at the start while a file is not identified yet, nothing is counted."""
    account = Account(tmp_path)

    def miss_for_long(losses: Losses, _: Spool) -> None:
        losses.miss(file_of("k"), DELETED, within_secs=60)
        losses.sweep(lambda _: True)
        assert losses.misses("k")

    assert account.after(miss_for_long) == {}
    account.settled = False
    assert account.after(lambda losses, _: losses.miss(file_of("k"), MISSING, within_secs=0)) == {}


def test_many_missed_files_are_counted_bit_by_bit(tmp_path: Path) -> None:
    """One sweep looks at so many that the event loop turns; in the end each is counted once."""
    counted: list[int] = []

    def lose(losses: Losses, _: Spool) -> None:
        for number in range(2_000):
            losses.miss(file_of(f"k{number}"), DELETED, within_secs=0)
        for _sweep in range(6):
            losses.sweep(lambda _: True)
            counted.append(losses.abandoned_bytes["/a.log"] // 60)

    assert Account(tmp_path).after(lose) == {("abandoned_bytes", "deleted"): 2_000 * 60}
    assert counted == [500, 1000, 1500, 2000, 2000, 2000]


def test_files_that_are_awaited_hold_up_no_others(tmp_path: Path) -> None:
    """What is not due is looked at in turn with the others."""

    def lose(losses: Losses, _: Spool) -> None:
        for number in range(2_000):
            losses.miss(file_of(f"k{number}"), DELETED, within_secs=60)
        losses.miss(file_of("due"), DELETED, within_secs=0)
        for _sweep in range(5):
            losses.sweep(lambda _: True)

    assert Account(tmp_path).after(lose) == {("abandoned_bytes", "deleted"): 60}


def test_file_that_is_missed_again_under_another_path_is_counted_once(tmp_path: Path) -> None:
    """The last that was seen of it counts; the series that it was in may end."""

    def lose(losses: Losses, _: Spool) -> None:
        losses.miss(file_of("k"), DELETED, within_secs=60)
        losses.miss(replace(file_of("k"), stem="/b.log"), DELETED, within_secs=60)
        losses.settle("/a.log")
        assert losses.misses("k")
        losses.settle("/b.log")
        assert not losses.misses("k")

    assert Account(tmp_path).after(lose) == {("abandoned_bytes", "deleted"): 60}


def test_file_that_went_on_in_another_series_is_not_set_back(tmp_path: Path) -> None:
    """One that a start awaited, found under a second name, keeps the position that it has there."""
    account, there = Account(tmp_path), replace(file_of("k", end=90), base="b", stem="/b.log")
    ends: list[tuple[str, int]] = []

    def find_elsewhere(losses: Losses, spool: Spool) -> None:
        losses.begin([replace(file_of("k"), awaited=True)], lambda _: 0.0)
        spool.append(Read(Documents(), (there,), 50))
        losses.sweep(lambda _: True)
        ends.extend((file.stem, file.position.end) for file in spool.positions.all())

    assert account.after(find_elsewhere) == {("read_bytes", ""): 50}
    assert ends == [("/b.log", 90)]


def test_loss_is_told_while_the_destination_is_away(tmp_path: Path) -> None:
    """It is committed at once, though chunks stay open for longer then."""

    async def lose() -> None:
        spool = Spool(tmp_path, config_of(tmp_path, "/x").buffer, metrics=Metrics())
        losses = Losses(spool, Identity("n", spool.positions.of))
        spool.away = True
        async with asyncio.TaskGroup() as group:
            sealing = group.create_task(spool.seal_loop())
            losses.miss(file_of("k"), DELETED, within_secs=0)
            losses.sweep(lambda _: True)
            await until(lambda: spool.totals["abandoned_bytes", DELETED] == 60, within_secs=5)
            sealing.cancel()
        spool.close()

    asyncio.run(lose())


def test_end_of_the_series_ends_the_waiting(tmp_path: Path) -> None:
    """A series that has ended is settled at once, and its counts are not held in memory."""

    def end(losses: Losses, _: Spool) -> None:
        losses.miss(file_of("k"), DELETED, within_secs=60)
        losses.settle("/other.log")
        assert losses.misses("k")
        losses.settle("/a.log")
        assert not losses.misses("k")
        assert not losses.abandoned_bytes
        assert not losses.gaps

    assert Account(tmp_path).after(end) == {("abandoned_bytes", "deleted"): 60}


def test_newest_file_that_is_gone_at_the_start_is_a_gap(tmp_path: Path) -> None:
    """Behind the newest file known nobody knows what came; of older ones their bytes are known."""

    def begin(losses: Losses, _: Spool) -> None:
        files = [
            file_of("old", sequence=1, seen=50, end=50),
            file_of("mid", sequence=2),
            file_of("new", sequence=3, seen=70, end=70),
        ]
        losses.begin(files, lambda _: 0.0)
        assert not losses.misses("old"), "it was read to its end, and another one came after it"

    assert Account(tmp_path).after(begin) == {("abandoned_bytes", "missing"): 60, ("gaps", ""): 1}


def test_status_has_what_was_lost_of_a_series(tmp_path: Path) -> None:
    """Bytes and gaps are told by series since the start, also those of files without a key."""

    def lose(losses: Losses, _: Spool) -> None:
        losses.abandon("/b.log", DELETED, size=7)
        losses.gap("/b.log")
        losses.miss(file_of("k"), DELETED, within_secs=0, is_gap=True)
        losses.sweep(lambda _: True)
        assert losses.abandoned_bytes == {"/a.log": 60, "/b.log": 7}
        assert losses.gaps == {"/a.log": 1, "/b.log": 1}

    totals = Account(tmp_path).after(lose)
    assert totals == {("abandoned_bytes", "deleted"): 67, ("gaps", ""): 2}


# -- the whole reading side


async def leave_unread(logs: Logs, agent: Running) -> int:
    """Write until the agent's buffer is full, and more; returns how many bytes stay unread.

    The destination is away; what the agent has seen of the file is saved when this returns.
    """
    logs.delivered.away = True
    stem = str(logs.live)
    while not agent.spool.paused:
        append(logs.live, TEXT)
        await asyncio.sleep(0.02)
    append(logs.live, TEXT)
    size = logs.live.stat().st_size
    await until(lambda: [f.seen_bytes for f in agent.spool.positions.in_stem(stem)] == [size])
    await agent.spool.flush()
    (file,) = agent.spool.positions.in_stem(stem)
    assert file.unread_bytes >= len(TEXT)
    return file.unread_bytes


async def killed_with_unread_bytes(logs: Logs) -> int:
    """Kill the agent before it has read all; returns how many bytes it had seen and not read."""
    async with logs.agent(killed=True) as agent:
        unread = await leave_unread(logs, agent)
    logs.delivered.away = False
    return unread


async def counts(agent: Running, name: str, reason: str = "") -> None:
    """Wait until something is committed as lost."""
    await until(lambda: bool(agent.spool.totals[name, reason]))


def test_file_that_is_gone_at_the_start_is_counted_once(tmp_path: Path) -> None:
    """I9: its unread bytes are abandoned, and behind them is a gap; another start adds nothing."""
    logs = Logs(tmp_path)

    async def follow() -> dict[str, int]:
        unread = await killed_with_unread_bytes(logs)
        logs.live.unlink()
        logs.live.write_bytes(b"new\n")
        for _ in range(2):
            async with logs.agent() as agent:
                await counts(agent, "abandoned_bytes", "missing")
                await until(lambda: "new" in logs.logs)
            assert logs.lost() == {"abandoned_bytes.missing": unread, "gaps": 1}
        async with logs.agent(settle_secs=0.02) as agent:
            await agent.spool.flush()
            await asyncio.sleep(0.2)  # ten times as long as anything is missed
        return {"abandoned_bytes.missing": unread, "gaps": 1}

    expected = asyncio.run(follow())
    assert logs.lost() == expected


def compressed(logs: Logs) -> None:
    """Compress what was rotated, and begin a new file."""
    (logs.directory / "a.log.1.gz").write_bytes(gzip.compress(logs.live.read_bytes()))
    logs.live.unlink()
    logs.live.write_bytes(b"new\n")


def renamed(logs: Logs) -> None:
    """Rename it twice, and begin a new file."""
    logs.live.rename(logs.directory / "a.log.2")
    logs.rotated.write_bytes(b"between\n")
    logs.live.write_bytes(b"new\n")


def copied(logs: Logs) -> None:
    """Copy it, and truncate it."""
    shutil.copy(logs.live, logs.rotated)
    logs.live.write_bytes(b"new\n")


@pytest.mark.parametrize("change", [compressed, renamed, copied])
def test_file_that_is_found_again_is_not_counted(
    tmp_path: Path, change: Callable[[Logs], None]
) -> None:
    """I2: a file with another name, compressed or copied, is read on, and nothing is missed."""
    logs = Logs(tmp_path)

    async def follow() -> None:
        await killed_with_unread_bytes(logs)
        size = logs.live.stat().st_size
        change(logs)
        async with logs.agent(settle_secs=0.05):
            await until(lambda: logs.logs.count(LINES[-1]) == size // len(TEXT))
            await until(lambda: "new" in logs.logs)
            await asyncio.sleep(0.2)  # four times as long as anything is missed

    asyncio.run(follow())
    assert logs.lost() == {}
    assert len(logs.logs) == len(set(logs.delivered.by_id))


@pytest.mark.parametrize("is_copied", [True, False])
def test_truncated_file_is_abandoned_unless_it_was_copied(
    tmp_path: Path, *, is_copied: bool
) -> None:
    """What was not read at the truncation is in the copy, or counted; so is the gap behind it."""
    logs = Logs(tmp_path)

    async def follow() -> int:
        async with logs.agent() as agent:
            unread = await leave_unread(logs, agent)
            if is_copied:
                shutil.copy(logs.live, logs.rotated)
            logs.live.write_bytes(b"new\n")
            logs.delivered.away = False
            await until(lambda: "new" in logs.logs)
            if not is_copied:
                await counts(agent, "abandoned_bytes", "truncated")
            await logs.has_only(*logs.logs)
            status = next(s for s in agent.sources.status() if s.path == str(logs.live))
            assert status.abandoned_bytes == (0 if is_copied else unread)
        return unread

    unread = asyncio.run(follow())
    assert logs.lost() == ({} if is_copied else {"abandoned_bytes.truncated": unread, "gaps": 1})


def test_lost_part_is_dropped_where_its_end_cannot_come(tmp_path: Path) -> None:
    """I9: bytes that wait for their end in a file that is gone are no document: counted, once."""
    logs = Logs(tmp_path)
    part = docker_line("part ", number=1)

    async def follow() -> None:
        async with logs.agent(killed=True) as agent:
            append(logs.live, part)
            await until(lambda: agent.sources.pending_bytes == len(part))
            await agent.spool.flush()
        logs.live.write_bytes(b"new\n")
        for _ in range(2):
            async with logs.agent() as agent:
                await counts(agent, "dropped_bytes", "lost_part")
                await until(lambda: "new" in logs.logs)

    asyncio.run(follow())
    assert logs.lost() == {"dropped_bytes.lost_part": len(part), "gaps": 1}


def test_deleted_file_that_is_open_is_not_lost(tmp_path: Path) -> None:
    """A deleted file is read from its handle when there is room again; nothing is counted."""
    logs = Logs(tmp_path)

    async def follow() -> int:
        async with logs.agent() as agent:
            await leave_unread(logs, agent)
            times = logs.live.stat().st_size // len(TEXT)
            logs.live.unlink()
            logs.live.write_bytes(b"new\n")
            logs.delivered.away = False
            await until(lambda: "new" in logs.logs)
            return times

    times = asyncio.run(follow())
    assert logs.logs == sorted([*LINES * times, "new"])
    assert logs.lost() == {}


def test_loss_is_named_in_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The log says of which file how many bytes vanished, and why."""
    logs = Logs(tmp_path)

    async def follow() -> int:
        unread = await killed_with_unread_bytes(logs)
        logs.live.unlink()
        logs.live.write_bytes(b"new\n")
        async with logs.agent() as agent:
            await counts(agent, "abandoned_bytes", "missing")
        return unread

    with caplog.at_level(logging.WARNING):
        unread = asyncio.run(follow())
    assert f"{logs.live}: {unread} bytes vanished unread (missing)" in caplog.text
    assert f"{logs.live}: more may be gone than was seen (missing)" in caplog.text


def test_file_that_was_deleted_while_it_could_not_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that was closed for an error and is gone before it was read is counted."""
    logs = Logs(tmp_path)
    append(logs.live, b"one\n")
    faulty = Faulty(monkeypatch)

    async def follow() -> None:
        async with logs.agent() as agent:
            await logs.has_only("one")
            faulty.begin({"EIO": logs.live}, "pread")
            append(logs.live, b"two\n")
            await faulty.last()
            faulty.end()
            vanish(logs, reused=False)
            await logs.has_only("one", "four")
            await until(
                lambda: bool(agent.spool.totals["abandoned_bytes", "deleted"]), within_secs=2
            )

    asyncio.run(follow())
    assert logs.lost() == {"abandoned_bytes.deleted": 4, "gaps": 1}, "more may have been written"


@pytest.mark.parametrize("reused", [False, True], ids=["inode free", "inode in use"])
def test_gap_is_not_forgotten_by_a_second_kill(tmp_path: Path, *, reused: bool) -> None:
    """A kill before a missing file is counted leaves it missed, also when newer ones are read."""
    logs = Logs(tmp_path)

    async def follow() -> None:
        append(logs.live, b"one\n")
        async with logs.agent():
            await logs.has_only("one")
        logs.rotated.write_bytes(b"three\n")  # after a second file, which nobody has seen
        vanish(logs, reused=reused)
        async with logs.agent(killed=True, settle_secs=60) as agent:
            await logs.has_only("one", "three", "four")
            await agent.spool.flush()
        async with logs.agent() as agent:
            await counts(agent, "gaps")

    asyncio.run(follow())
    assert logs.lost() == {"gaps": 1}


def vanish(logs: Logs, *, reused: bool) -> None:
    """Let the live file be another one, which may have got its inode."""
    new = logs.directory / "new.tmp"
    new.write_bytes(b"four\n")
    new.replace(logs.live)
    if reused:  # whether the file system gives it out again at once cannot be relied on
        with closing(sqlite3.connect(logs.state_dir / "state.db")) as db, db:
            row = logs.live.stat().st_ino, str(logs.live)
            db.execute("UPDATE files SET inode = ? WHERE stem = ?", row)


def test_part_that_a_copy_does_not_have_is_counted(tmp_path: Path) -> None:
    """I9: a `.gz` made before the last part was written brings the others, and the line's end."""
    logs = Logs(tmp_path)
    first = docker_line("first ", number=1)
    second = docker_line("second ", number=2, stream="stderr")

    async def follow() -> None:
        async with logs.agent(killed=True) as agent:
            append(logs.live, first)
            await until(lambda: agent.sources.pending_bytes == len(first))
            append(logs.live, second)
            await until(lambda: agent.sources.pending_bytes == len(first + second))
            await agent.spool.flush()
        logs.live.rename(logs.rotated)
        logs.rotated.write_bytes(first)
        compress(logs.rotated)
        append(logs.live, docker_line("end\n", number=3))
        for _ in range(2):
            async with logs.agent() as agent:
                await counts(agent, "dropped_bytes", "lost_part")
                await logs.has_only("first end\n")

    asyncio.run(follow())
    assert logs.lost() == {"dropped_bytes.lost_part": len(second)}


def test_part_in_a_deleted_file_is_delivered_at_a_stop(tmp_path: Path) -> None:
    """Nobody can read it again, and its end has not come: it goes as it is, flagged."""
    logs = Logs(tmp_path)
    part = docker_line("part ", number=1)

    async def follow() -> None:
        async with logs.agent() as agent:
            append(logs.live, part)
            await until(lambda: agent.sources.pending_bytes == len(part))
            logs.live.unlink()
            append(logs.live, docker_line("other\n", number=2, stream="stderr"))
            await until(lambda: "other\n" in logs.logs)

    asyncio.run(follow())
    assert logs.logs == ["other\n", "part "]
    assert logs.flags_of("part ") == ["unfinished"]
    assert logs.lost() == {}
