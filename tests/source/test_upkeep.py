"""Upkeep: bounds over all series are kept, and what they cost is counted to the byte (I9)."""

import asyncio
import errno
import gzip
import shutil
import sqlite3
from collections import Counter
from contextlib import closing, suppress
from pathlib import Path

import pytest

from shipper.buffer.chunk import Read
from shipper.buffer.spool import Spool
from shipper.metrics import Metrics
from shipper.model import Documents, Position, SavedFile
from shipper.source.surroundings import surroundings_of
from shipper.source.upkeep import Upkeep
from tests.source.faulty import SETTLE_SECS, Faulty
from tests.source.logs import Logs, append, compress
from tests.source.running import Running, config_of, counted, docker_line, running, until

CALLS = ("pread", "fstat")


def lines_of(name: str, count: int) -> list[str]:
    return [f"{name} {number:05}" for number in range(count)]


def text_of(lines: list[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()


async def pause(logs: Logs, agent: Running) -> None:
    """Take the destination away, and fill the buffer, by a series of its own."""
    logs.delivered.away = True
    filler = logs.directory / "filler.log"
    while not agent.spool.paused or agent.spool.has_room():
        append(filler, b"fill\n")
        await asyncio.sleep(0.02)
    append(filler, b"fill\n")


def held(agent: Running) -> dict[str, list[int]]:
    """Return the sizes of the deleted files that are open, by the name of their series."""
    return {
        Path(series.path).name: [file.size_bytes for file in series.files if file.held]
        for series in agent.sources.status()
    }


def generation(path: Path, content: bytes) -> None:
    """Delete the live file of a series, and begin the next one: nothing keeps the old one."""
    new = path.with_suffix(".new.tmp")
    new.write_bytes(content)
    new.replace(path)


# -- held_bytes


def test_noisiest_series_is_abandoned_first(tmp_path: Path) -> None:
    """Over `held_bytes` the oldest generation of whoever holds most goes, counted to the byte."""
    logs = Logs(tmp_path)
    noisy, quiet = logs.directory / "noisy.log", logs.directory / "quiet.log"
    old, middle, new = (lines_of(f"noisy{n}", 1000) for n in range(3))  # 13 KB each
    kept = lines_of("quiet", 100)

    async def follow() -> None:
        append(noisy, b"begin\n")
        append(quiet, b"begin\n")
        async with logs.agent(held_bytes=20_000) as agent:
            await until(lambda: logs.logs.count("begin") == 2)
            await pause(logs, agent)
            append(noisy, text_of(old))
            append(quiet, text_of(kept))
            await until(lambda: _lag(agent, "noisy.log") == [len(text_of(old))])
            await until(lambda: _lag(agent, "quiet.log") == [len(text_of(kept))])
            generation(quiet, b"end\n")
            generation(noisy, text_of(middle))
            await until(lambda: len(held(agent)["noisy.log"]) == 1)
            generation(noisy, text_of(new))
            left = {"noisy.log": [len(text_of(middle))], "quiet.log": [6 + 1200], "filler.log": []}
            await until(lambda: held(agent) == left)
            logs.delivered.away = False
            expected = {*middle, *new, *kept, "begin", "end", "fill"}
            await until(lambda: set(logs.logs) == expected)
            await until(lambda: bool(agent.spool.totals["abandoned_bytes", "held_bytes"]))

    asyncio.run(follow())
    assert logs.lost() == {"abandoned_bytes.held_bytes": len(text_of(old))}
    assert Counter(logs.logs)["begin"] == 2
    assert sorted(set(logs.logs) - {"begin", "fill"}) == sorted(
        log for log in logs.logs if log not in {"begin", "fill"}
    )


def _lag(agent: Running, name: str) -> list[int]:
    return [s.lag_bytes for s in agent.sources.status() if Path(s.path).name == name]


def test_partly_read_file_is_abandoned_from_its_position_on(tmp_path: Path) -> None:
    """What was read of an abandoned file is delivered; exactly the rest is counted."""
    logs = Logs(tmp_path)
    written: list[str] = []

    def write(count: int) -> None:
        lines = [f"a {len(written) + number:06}" for number in range(count)]
        written.extend(lines)
        append(logs.live, text_of(lines))

    async def follow() -> None:
        logs.live.write_bytes(b"begin\n")
        async with logs.agent(held_bytes=1000) as agent:
            await until(lambda: logs.logs == ["begin"])
            logs.delivered.away = True
            while not agent.spool.paused:
                write(200)
                await asyncio.sleep(0.02)
            write(200)
            await until(lambda: _lag(agent, "a.log")[0] > 0)
            generation(logs.live, b"end\n")
            await until(lambda: held(agent)["a.log"] == [] and _lag(agent, "a.log") == [4])
            logs.delivered.away = False
            await until(lambda: "end" in logs.logs)
            await until(lambda: bool(agent.spool.totals["abandoned_bytes", "held_bytes"]))

    asyncio.run(follow())
    read = [log for log in logs.logs if log.startswith("a ")]
    assert 0 < len(read) < len(written)
    assert read == written[: len(read)]
    assert logs.lost() == {"abandoned_bytes.held_bytes": len(text_of(written[len(read) :]))}


def test_held_file_that_is_read_costs_nothing(tmp_path: Path) -> None:
    """A deleted file that was read to its end is closed for the budget, and nothing is counted."""
    logs = Logs(tmp_path)

    async def follow() -> None:
        logs.live.write_bytes(text_of(lines_of("a", 500)))
        async with logs.agent(held_bytes=1000, settle_secs=60) as agent:
            await until(lambda: len(logs.logs) == 500)
            generation(logs.live, b"end\n")
            await until(lambda: "end" in logs.logs)
            await until(lambda: held(agent)["a.log"] == [], within_secs=5)

    asyncio.run(follow())
    assert logs.lost() == {}


def docker_lines(name: str, count: int) -> bytes:
    """Lines with times of their own: no other generation begins as this one."""
    stamp = sum(name.encode()) * 1_000
    return b"".join(docker_line(f"{name} {n}\n", number=stamp + n) for n in range(count))


async def rotated(logs: Logs, agent: Running, content: bytes, *, number: int) -> None:
    """Rotate the live file while reading is paused, and compress it, as docker does."""
    names = [file.path for series in agent.sources.status() for file in series.files]
    assert str(logs.live) in names
    plain = logs.directory / f"a.log.{number}"
    logs.live.rename(plain)
    logs.live.write_bytes(content)
    await until(lambda: _lag(agent, "a.log")[0] >= len(content))
    compress(plain)
    await until(lambda: f"{plain}.gz" in _paths(agent))


def _paths(agent: Running) -> list[str]:
    return [file.path for series in agent.sources.status() for file in series.files]


def test_deleted_file_gives_way_to_its_compressed_form(tmp_path: Path) -> None:
    """It goes before an older file, which has none, and every line comes."""
    logs = Logs(tmp_path)
    old, new = docker_lines("old", 500), docker_lines("new", 1000)

    async def follow() -> None:
        logs.live.write_bytes(docker_lines("begin", 1))
        async with logs.agent(held_bytes=len(new)) as agent:
            await until(lambda: len(logs.logs) == 1)
            await pause(logs, agent)
            append(logs.live, old)
            await until(lambda: _lag(agent, "a.log") == [len(old)])
            generation(logs.live, new)
            await until(lambda: len(held(agent)["a.log"]) == 1)
            await rotated(logs, agent, docker_lines("end", 1), number=1)
            await until(lambda: held(agent)["a.log"] == [len(old) + len(docker_lines("begin", 1))])
            logs.delivered.away = False
            await until(lambda: "end 0\n" in logs.logs)

    asyncio.run(follow())
    texts = Counter(log.split()[0] for log in logs.logs if not log.startswith("fill"))
    assert texts == {"begin": 1, "old": 500, "new": 1000, "end": 1}
    assert logs.lost() == {}


def test_compressed_files_without_a_name_are_held_within_the_bound(tmp_path: Path) -> None:
    """What goes with the last of them is counted while reading is still paused, to the byte."""
    logs = Logs(tmp_path)
    first, second = (docker_lines(name, 1000) for name in ("first", "second"))

    async def follow() -> None:
        logs.live.write_bytes(first[: first.index(b"\n") + 1])
        async with logs.agent(held_bytes=1) as agent:
            await until(lambda: len(logs.logs) == 1)
            await pause(logs, agent)
            append(logs.live, first[first.index(b"\n") + 1 :])
            await rotated(logs, agent, second, number=1)
            await rotated(logs, agent, docker_lines("third", 10), number=2)
            (logs.directory / "a.log.1.gz").unlink()
            (logs.directory / "a.log.2.gz").unlink()
            lost = len(first) + len(second) - first.index(b"\n") - 1
            held_bytes = "abandoned_bytes", "held_bytes"
            await until(lambda: agent.spool.totals[held_bytes] == lost)
            assert agent.spool.paused
            logs.delivered.away = False
            await until(lambda: "third 9\n" in logs.logs)

    asyncio.run(follow())
    assert logs.lost() == {
        "abandoned_bytes.held_bytes": logs.account()["abandoned_bytes.held_bytes"]
    }
    assert not any(log.startswith("second") for log in logs.logs)


def test_compressed_file_that_nobody_has_seen_is_a_gap_when_it_goes(tmp_path: Path) -> None:
    """How long it was is not known; a `.gz` that is not read says only that there was one."""
    logs = Logs(tmp_path)

    async def follow() -> None:
        logs.live.write_bytes(docker_lines("begin", 1))
        async with logs.agent(held_bytes=1) as agent:
            await until(lambda: len(logs.logs) == 1)
            await pause(logs, agent)
            unseen = logs.directory / "a.log.1.gz"
            unseen.write_bytes(gzip.compress(docker_lines("unseen", 100)))
            await until(lambda: str(unseen) in _paths(agent))
            unseen.unlink()
            await until(lambda: agent.spool.totals["gaps", ""] == 1)
            logs.delivered.away = False

    asyncio.run(follow())
    assert logs.lost() == {"gaps": 1}


def test_file_that_is_given_up_while_its_turn_is_awaited_is_not_read(tmp_path: Path) -> None:
    """It is closed then; whoever has waited for room for it goes on with the next one."""
    logs = Logs(tmp_path)
    text = docker_lines("gone", 100)

    async def follow() -> None:
        logs.live.write_bytes(docker_lines("begin", 1))
        async with logs.agent(killed=True) as agent:
            await until(lambda: len(logs.logs) == 1)
            await pause(logs, agent)
            await agent.spool.flush()
        append(logs.live, docker_lines("end", 1))
        (logs.directory / "a.log.1.gz").write_bytes(gzip.compress(text))
        async with logs.agent(held_bytes=1) as agent:
            await until(lambda: sum(_lag(agent, "a.log")) >= len(text), within_secs=2)
            (logs.directory / "a.log.1.gz").unlink()
            await until(lambda: agent.spool.totals["abandoned_bytes", "held_bytes"] == len(text))
            assert agent.spool.paused
            logs.delivered.away = False
            await until(lambda: "end 0\n" in logs.logs)
            assert counted(agent.metrics.read_errors) == 0

    asyncio.run(follow())
    assert logs.lost() == {"abandoned_bytes.held_bytes": len(text)}


def test_no_line_goes_over_files_that_were_given_up(tmp_path: Path) -> None:
    """A part whose end went with the next generation is not put together with a later end."""
    logs = Logs(tmp_path)
    part, end = docker_line("half ", number=1), docker_line("end\n", number=3)
    full = docker_lines("full", 500)

    async def follow() -> None:
        logs.live.write_bytes(docker_lines("begin", 1))
        async with logs.agent(held_bytes=1) as agent:
            await until(lambda: len(logs.logs) == 1)
            await pause(logs, agent)
            append(logs.live, part)
            logs.live.rename(logs.rotated)  # it stays
            logs.live.write_bytes(full)
            await until(lambda: _lag(agent, "a.log") == [len(part) + len(full)])
            generation(logs.live, end)
            await until(lambda: _lag(agent, "a.log") == [len(part) + len(end)])
            logs.delivered.away = False
            await until(lambda: "end\n" in logs.logs)
            await until(lambda: "half " in logs.logs)
            await until(lambda: bool(agent.spool.totals["abandoned_bytes", "held_bytes"]))

    asyncio.run(follow())
    assert logs.flags_of("half ") == ["unfinished"]
    assert logs.lost() == {"abandoned_bytes.held_bytes": len(full)}


# -- pipeline.max_pending_bytes


def test_longest_lines_that_wait_are_given_up_first(tmp_path: Path) -> None:
    """Over the bound the series with most parts goes, marked and counted; the others' wait on."""
    logs, most = Logs(tmp_path), 1 << 20
    config = config_of(logs.state_dir, logs.directory, partial_secs=60)
    pipeline = config.pipeline.model_copy(update={"max_pending_bytes": most})
    long, short = (logs.directory / f"{name}.log" for name in ("long", "short"))
    parts = [docker_line("x" * 16_384, number=number) for number in range(50)]

    async def follow() -> None:
        limited = config.model_copy(update={"pipeline": pipeline})
        async with running(limited, logs.delivered) as agent:
            append(short, b"".join(parts[:20]))
            append(long, b"".join(parts[:30]))
            await until(
                lambda: agent.sources.pending_bytes == sum(map(len, parts[:20] + parts[:30]))
            )
            await asyncio.sleep(0.5)  # five looks
            assert not logs.delivered.logs, "it is below the bound"
            append(long, b"".join(parts[30:]))
            await until(lambda: bool(logs.delivered.logs))
            assert agent.sources.pending_bytes == sum(map(len, parts[:20]))
            append(short, docker_line("end\n", number=100))
            await until(lambda: len(logs.delivered.logs) == 2)
            assert counted(agent.metrics.marked) == 1
            assert agent.sources.pending_bytes == 0

    asyncio.run(follow())
    whole, cut = sorted(logs.delivered.logs)
    assert whole == "x" * 16_384 * 20 + "end\n"
    assert cut == "x" * 16_384 * 50
    assert logs.flags_of(cut) == ["unfinished"]
    assert logs.flags_of(whole) == []
    assert logs.lost() == {}


# -- open_files


def test_more_files_than_descriptors_are_all_read(tmp_path: Path) -> None:
    """With fewer descriptors than files every line comes once, and the bound is kept."""
    logs = Logs(tmp_path)
    paths = [logs.directory / f"{number:02}.log" for number in range(60)]
    most: list[int] = []

    async def follow() -> None:
        for path in paths:
            append(path, f"{path.stem} 0\n".encode())
        async with logs.agent(open_files=16) as agent, asyncio.TaskGroup() as group:
            watch = group.create_task(_watch(agent, most))
            for turn in range(3):
                if turn:
                    for path in paths[:: turn + 1]:
                        append(path, f"{path.stem} {turn}\n".encode())
                expected = 60 + (30 if turn else 0) + (20 if turn > 1 else 0)
                await until(lambda n=expected: len(logs.delivered.by_id) >= n, within_secs=20)  # type: ignore[misc]
            watch.cancel()

    asyncio.run(follow())
    assert max(most) <= 16
    turns = [(turn, path) for turn in range(3) for path in paths[:: turn + 1]]
    assert logs.logs == sorted(f"{path.stem} {turn}" for turn, path in turns)
    assert logs.lost() == {}


def test_file_is_not_closed_in_the_middle(tmp_path: Path) -> None:
    """Of more files than descriptors, none to which nobody writes is closed before its end."""
    logs = Logs(tmp_path)
    paths = [logs.directory / f"{number:02}.log" for number in range(40)]
    lines = [f"{path.stem} {number}" for path in paths for number in range(5_000)]

    async def follow() -> None:
        for path in paths:
            path.write_text("".join(f"{path.stem} {number}\n" for number in range(5_000)))
        async with logs.agent(open_files=16, block_bytes=4_096):
            await until(lambda: len(logs.delivered.by_id) == len(lines), within_secs=20)

    asyncio.run(follow())
    assert logs.logs == sorted(lines)
    assert logs.lost() == {}


def test_half_line_that_waits_is_not_closed(tmp_path: Path) -> None:
    """The end of a rotated file that has no newline comes before what is in the next file."""
    logs = Logs(tmp_path)
    paths = [logs.directory / f"{number:02}.log" for number in range(40)]

    async def follow() -> None:
        for path in paths:
            path.with_name(f"{path.name}.1").write_text(f"zero {path.stem}\none {path.stem}")
            path.write_text(f"two {path.stem}\n")
        async with logs.agent(open_files=16, settle_secs=1.0):
            await until(lambda: len(logs.delivered.by_id) == 120, within_secs=60)

    asyncio.run(follow())
    assert Counter(log.split()[0] for log in logs.logs) == {"zero": 40, "one": 40, "two": 40}
    assert logs.lost() == {}


def test_files_that_are_not_identified_keep_nobody_out(tmp_path: Path) -> None:
    """More empty files, and files without a whole line, than descriptors: others are read."""
    logs = Logs(tmp_path)
    paths = [logs.directory / f"{number:02}.log" for number in range(60)]

    async def follow() -> None:
        for path in paths[:20]:
            path.touch()
        for path in paths[20:40]:
            path.write_text("half")
        for path in paths[40:]:
            path.write_text(f"whole {path.stem}\n")
        async with logs.agent(open_files=16):
            await until(lambda: len(logs.delivered.by_id) == 20, within_secs=20)
            for path in paths[:40]:
                append(path, f" line {path.stem}\n".encode())
            await until(lambda: len(logs.delivered.by_id) == 60, within_secs=20)

    asyncio.run(follow())
    assert Counter(log.split()[0] for log in logs.logs) == {"line": 20, "half": 20, "whole": 20}
    assert logs.lost() == {}


async def _watch(agent: Running, most: list[int]) -> None:
    """Note how many log files the process has open, as the system says."""
    while True:
        most.append(_open_logs())
        assert agent.sources.open_files <= 16
        await asyncio.sleep(0.005)


def _open_logs() -> int:
    """Return how many files of a log directory this process has open."""
    count = 0
    for link in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # it is closed by now
            target = str(link.readlink())
            count += "/logs/" in target and ".log" in target
    return count


def test_fault_of_a_file_does_not_end_the_agent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file system that fails at all calls is waited for, while bounds ask for files to close."""
    logs, faulty = Logs(tmp_path), Faulty(monkeypatch)
    paths = [logs.directory / f"{number:02}.log" for number in range(24)]

    async def follow() -> None:
        for path in paths:
            append(path, f"{path.stem} 0\n".encode())
        async with logs.agent(open_files=16, held_bytes=1) as agent:
            await until(lambda: len(logs.logs) == 24)
            faulty.begin(dict(zip(errno.errorcode.values(), paths, strict=False)), *CALLS)
            for path in paths:
                append(path, f"{path.stem} 1\n".encode())
            await until(lambda: len(faulty.met) >= 16)  # those that are open
            await asyncio.sleep(3 * SETTLE_SECS)  # as often the bounds are looked at
            assert not agent.task.done()
            faulty.end()
            await until(lambda: len(logs.logs) == 48)

    asyncio.run(follow())
    assert logs.lost() == {}


def test_parked_file_that_is_rotated_is_read_on(tmp_path: Path) -> None:
    """A file that was closed for lack of descriptors is read on under its new name, once."""
    logs = Logs(tmp_path)
    paths = [logs.directory / f"{number:02}.log" for number in range(40)]

    async def follow() -> None:
        for path in paths:
            append(path, b"one " + path.stem.encode() + b"\n")
        async with logs.agent(open_files=16):
            await until(lambda: len(logs.logs) == 40, within_secs=20)
            for path in paths:
                append(path, b"two " + path.stem.encode() + b"\n")
                path.rename(path.with_name(f"{path.name}.1"))
                append(path, b"three " + path.stem.encode() + b"\n")
            await until(lambda: len(logs.logs) == 120, within_secs=20)

    asyncio.run(follow())
    assert Counter(log.split()[0] for log in logs.logs) == {"one": 40, "two": 40, "three": 40}
    assert logs.lost() == {}


# -- expiry


def stems(logs: Logs) -> set[str]:
    """Return the names of the series that have positions, as state.db says."""
    with closing(sqlite3.connect(logs.state_dir / "state.db")) as db:
        return {Path(stem).name for (stem,) in db.execute("SELECT stem FROM files")}


def test_position_of_deleted_series_goes_at_once(tmp_path: Path) -> None:
    """A series that was deleted leaves no row behind, and its bytes stay in the account."""
    logs = Logs(tmp_path)

    async def follow() -> None:
        logs.live.write_bytes(b"one\n")
        async with logs.agent() as agent:
            await logs.has_only("one")
            await agent.spool.flush()
            assert stems(logs) == {"a.log", "z.log"}
            logs.live.unlink()
            await until(lambda: stems(logs) == {"z.log"})
            assert logs.account()["forgotten_bytes"] == 4
            logs.live.write_bytes(b"one\n")
            await logs.has_only("one", "one")

    asyncio.run(follow())
    assert logs.lost() == {}


def test_position_whose_file_is_gone_expires(tmp_path: Path) -> None:
    """After `expire_secs` without a file its position goes; one that is on disk never does."""
    logs = Logs(tmp_path)

    async def follow() -> None:
        logs.live.write_bytes(b"one\n")
        logs.rotated.write_bytes(b"zero\n")
        async with logs.agent():
            await logs.has_only("one", "zero")
        logs.rotated.unlink()
        async with logs.agent(expire_secs=0.4) as agent:
            assert len(_rows(logs)) == 2
            await until(lambda: len(_rows(logs)) == 1)
            assert _rows(logs) == [4]
            await asyncio.sleep(0.8)  # twice as long: those on disk stay
            assert _rows(logs) == [4]
            append(logs.live, b"two\n")
            await logs.has_only("one", "zero", "two")
            assert agent.sources.open_files == 2

    asyncio.run(follow())
    assert logs.lost() == {}


def _rows(logs: Logs) -> list[int]:
    """Return the positions of the series, as state.db says."""
    with closing(sqlite3.connect(logs.state_dir / "state.db")) as db:
        found = db.execute("SELECT end_offset FROM files WHERE stem = ?", (str(logs.live),))
        return [end for (end,) in found]


def test_position_of_a_part_that_waits_does_not_expire(tmp_path: Path) -> None:
    """A line that began in a file that is gone long since goes on in the next one (I4)."""
    logs = Logs(tmp_path)

    async def follow() -> None:
        logs.live.write_bytes(docker_line("half ", number=1))
        async with logs.agent(expire_secs=0.1, partial_secs=60) as agent:
            await until(lambda: agent.sources.pending_bytes > 0)
            logs.live.rename(logs.rotated)
            logs.live.touch()
            await until(lambda: logs.rotated.name not in _open_names(agent))
            logs.rotated.unlink()
            await asyncio.sleep(1)  # ten times `expire_secs`
            append(logs.live, docker_line("and half\n", number=2))
            await logs.has_only("half and half\n")

    asyncio.run(follow())
    assert logs.lost() == {}


def _open_names(agent: Running) -> set[str]:
    return {Path(path).name for path in _paths(agent)}


def test_position_of_a_file_that_waits_to_be_identified_does_not_expire(tmp_path: Path) -> None:
    """While reading is paused a `.gz` has no key: its position is there when it gets it."""
    logs = Logs(tmp_path)
    text = b"=== begin ===\n" + text_of(lines_of("a", 100))

    async def follow() -> None:
        logs.live.write_bytes(text)
        async with logs.agent(expire_secs=0.1, held_bytes=1) as agent:
            await until(lambda: len(logs.logs) == 101)
            await pause(logs, agent)
            logs.live.rename(logs.rotated)
            append(logs.live, b"=== begin ===\nnew\n")
            await until(lambda: _lag(agent, "a.log") == [18])
            compress(logs.rotated)
            await until(lambda: held(agent)["a.log"] == [] and "a.log.1.gz" in _open_names(agent))
            await asyncio.sleep(1)  # ten times `expire_secs`
            logs.delivered.away = False
            await until(lambda: "new" in logs.logs)
            await logs.has_only(*logs.logs)

    asyncio.run(follow())
    assert Counter(log for log in logs.logs if log.startswith("a ")).total() == 100
    assert logs.lost() == {}


def test_unread_bytes_are_counted_before_their_position_goes(tmp_path: Path) -> None:
    """I9: what nobody misses is missed when its position expires, and goes when it is counted."""
    config = config_of(tmp_path, "/x", expire_secs=0.01)
    rest = (1, 2, Position(40, {"stdout": 30}, "", 10), 100)

    async def run() -> dict[tuple[str, str], int]:
        spool = Spool(tmp_path, config.buffer, metrics=Metrics())
        around = surroundings_of(config, spool, node="n", metrics=Metrics(), once=False)
        upkeep = Upkeep(around, {})
        spool.append(Read(Documents(), (SavedFile("k", "k", "/a.log", *rest),), 40))
        async with asyncio.timeout(10), asyncio.TaskGroup() as group:
            sealing = group.create_task(spool.seal_loop())
            while spool.positions.all():
                upkeep.tick()
                await asyncio.sleep(0.01)
            await spool.flush()
            sealing.cancel()
        spool.close()
        return spool.totals

    totals = asyncio.run(run())
    assert totals["abandoned_bytes", "missing"] == 60
    assert totals["dropped_bytes", "lost_part"] == 10
    assert totals["forgotten_bytes", ""] == 40


def test_directory_out_of_sight_keeps_its_positions(tmp_path: Path) -> None:
    """Files that are unmounted are read on where they were left when they come back."""
    logs = Logs(tmp_path)
    place, away = logs.directory / "mounted", logs.directory.parent / "away"

    async def follow() -> None:
        place.mkdir()
        append(place / "m.log", b"one\n")
        async with logs.agent() as agent:
            await logs.has_only("one")
            place.rename(away)
            await until(lambda: len(agent.sources.followers) == 1)
            assert stems(logs) == {"m.log", "z.log"}
            append(away / "m.log", b"two\n")
            away.rename(place)
            await logs.has_only("one", "two")
            place.rename(away)
            await until(lambda: len(agent.sources.followers) == 1)
        async with logs.agent() as agent:
            await until(lambda: len(agent.sources.followers) == 1)
            away.rename(place)
            append(place / "m.log", b"three\n")
            await logs.has_only("one", "two", "three")
        shutil.rmtree(place)

    asyncio.run(follow())
    assert logs.lost() == {}


def test_finished_generation_keeps_its_position(tmp_path: Path) -> None:
    """A file that was read to its end and closed does not expire while it is on disk."""
    logs = Logs(tmp_path)

    async def follow() -> None:
        logs.rotated.write_bytes(b"one\n")
        logs.live.write_bytes(docker_line("two\n"))
        async with logs.agent(expire_secs=0.2) as agent:
            await logs.has_only("one", "two\n")
            await until(lambda: agent.sources.open_files == 2)
            await asyncio.sleep(0.5)  # more than twice `expire_secs`
            await agent.spool.flush()
        async with logs.agent(expire_secs=0.2):
            await logs.has_only("one", "two\n")

    asyncio.run(follow())
    assert logs.lost() == {}
