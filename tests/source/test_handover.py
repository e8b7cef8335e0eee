"""Handover: what a block became goes into the spool with every position that it moved."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from shipper.buffer.chunk import Read
from shipper.buffer.spool import Spool
from shipper.metrics import Metrics
from shipper.model import Documents, Position, SavedFile
from shipper.pipeline.chain import Chain
from shipper.pipeline.enrich import Enrichment
from shipper.source.block import Limits
from shipper.source.handover import Handover
from shipper.source.identity import Identity
from shipper.source.recognise import identify
from shipper.source.tail import Tail
from tests.source.running import Delivered, config_of, counted, docker_line

HOSTILE = docker_line("hostile\n", stream="stderr", number=9)


class Fragile(Chain):
    """A chain with a fault: it fails on one line, when it has taken all of its block."""

    def block(
        self,
        block: bytes,
        offset: int,
        *,
        key: str,
        now: str,
        saved: Position | None = None,
        since: str = "",
    ) -> Documents:
        documents = Chain.block(self, block, offset, key=key, now=now, saved=saved, since=since)
        if HOSTILE in block:
            raise RecursionError
        return documents


class Reading:
    """A file, read block by block into a spool."""

    def __init__(self, root: Path, spool: Spool, metrics: Metrics) -> None:
        self.path = root / "a.log"
        self.spool = spool
        self.metrics = metrics
        enrichment = Enrichment(b',"tag":"a.log"}\n', "logstash")
        self.chain = Fragile("a.log", enrichment, container=False, max_record_bytes=1 << 20)
        self.handover = Handover("/a.log", self.chain, spool=spool, metrics=metrics)
        self.identity = Identity("n", spool.positions.of)

    def deliver(self, content: bytes, *, max_line_bytes: int = 1 << 20) -> SavedFile:
        """Hand over what is new in a file with this content; returns what is saved of it."""
        self.path.write_bytes(content)
        tail = Tail(
            str(self.path), "/a.log", limits=Limits(min(1 << 18, max_line_bytes), max_line_bytes)
        )
        assert tail.update()
        assert identify(tail, self.identity, final=False, held=self.handover.holds)
        while block := tail.read():
            self.handover.deliver(tail, block)
        assert tail.claim
        self.identity.release(tail.claim.key)
        tail.close()
        (saved,) = self.spool.positions.of(tail.claim.base)
        return saved


def reading(root: Path, steps: Callable[[Reading], None]) -> tuple[Delivered, Reading]:
    """Do these steps, seal what came of them, and deliver it."""
    delivered = Delivered()

    async def read() -> Reading:
        metrics, config = Metrics(), config_of(root, root)
        spool = Spool(root, config.buffer, metrics=metrics)
        try:
            async with asyncio.TaskGroup() as group:
                sealing = group.create_task(spool.seal_loop())
                shipping = group.create_task(delivered.take(spool))
                await asyncio.sleep(0)
                steps(opened := Reading(root, spool, metrics))
                await spool.flush()
                await spool.empty()
                sealing.cancel()
                shipping.cancel()
            return opened
        finally:
            spool.close()

    return delivered, asyncio.run(read())


def test_positions_stand_behind_the_last_whole_line(tmp_path: Path) -> None:
    """I3: a position counts the bytes of all whole lines, whatever became of them."""

    def steps(read: Reading) -> None:
        assert read.deliver(b"one\n\n\xff\ntw").position.end == 7
        assert read.deliver(b"one\n\n\xff\ntwo\n").position.end == 11

    delivered, read = reading(tmp_path, steps)
    assert len(delivered.by_id) == 4
    assert read.spool.totals["read_bytes", ""] == 11


def test_file_that_is_missed_is_missed_until_it_is_found(tmp_path: Path) -> None:
    """I9: a part that is given up changes nothing in whether a restart looks for its file."""
    begun = docker_line("begun", number=1)
    seen: list[bool] = []

    def steps(read: Reading) -> None:
        saved = read.deliver(begun)
        for awaited, streams in ((True, ["stderr"]), (False, ["stderr"]), (True, None)):
            read.spool.append(Read(Documents(), (replace(saved, awaited=awaited),), 0))
            read.handover.flush(streams)
            (now,) = read.spool.positions.all()
            seen.append(now.awaited)

    reading(tmp_path, steps)
    assert seen == [True, False, True]


def test_waiting_part_pins_its_stream(tmp_path: Path) -> None:
    """I4: while the end of a line is missing its first part is pinned, and no other stream."""
    first = docker_line("err\n", stream="stderr", number=1)
    part, other = docker_line("one ", number=2), docker_line("e2\n", stream="stderr", number=3)

    def steps(read: Reading) -> None:
        before = read.deliver(first + part + other).position
        assert before.pins == {"stdout": len(first)}
        assert before.resume == len(first)
        assert before.committed("stderr", len(first + part))
        after = read.deliver(first + part + other + docker_line("two\n", number=4)).position
        assert after.pins == {}

    delivered, read = reading(tmp_path, steps)
    assert delivered.logs == ["e2\n", "err\n", "one two\n"]
    totals = read.spool.totals
    assert totals["read_bytes", ""] == totals["chunked_bytes", ""]


def test_hostile_line_does_not_take_its_neighbours_along(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A line on which the chain fails is kept verbatim and counted; the others are as ever."""
    block = docker_line("one ", number=1) + b"plain\r\n" + HOSTILE

    def steps(read: Reading) -> None:
        before = read.deliver(block).position
        assert (before.end, before.pins) == (len(block), {"stdout": 0})
        read.deliver(block + docker_line("two\n", number=2))

    delivered, read = reading(tmp_path, steps)
    assert delivered.logs == sorted(["one two\n", "plain\r", HOSTILE.decode().rstrip("\n")])
    assert counted(read.metrics.pipeline_errors) == 1
    assert "redone by lines" in caplog.text


def test_overlong_line_is_cut_with_its_length(tmp_path: Path) -> None:
    """A line over the limit keeps its head, a visible mark, and all its bytes in the position."""

    def steps(read: Reading) -> None:
        line = b"x" * 5000 + b"\n"
        assert read.deliver(line + b"next\n", max_line_bytes=1024).position.end == 5006

    delivered, read = reading(tmp_path, steps)
    cut = next(d for d in delivered.by_id.values() if d["log"] != "next")
    assert cut["log"].startswith("x" * 1024 + " [truncated")
    assert cut["shipper"] == {"flags": ["truncated"], "original_bytes": 5001}
    assert read.spool.totals["chunked_bytes", ""] == 5006


def test_given_up_parts_move_their_positions(tmp_path: Path) -> None:
    """I2: a part whose end never comes is delivered, flagged, and not pinned any more."""

    def steps(read: Reading) -> None:
        assert read.deliver(docker_line("one ", number=1)).position.pins
        read.handover.flush()
        assert not read.deliver(docker_line("one ", number=1)).position.pins

    delivered, _ = reading(tmp_path, steps)
    (document,) = delivered.by_id.values()
    assert (document["log"], document["shipper"]["flags"]) == ("one ", ["unfinished"])
