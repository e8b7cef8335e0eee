"""Shipping, over a real spool, into a server that misbehaves by a script."""

import asyncio
import json
import logging
import random
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shipper.buffer.chunk import Read
from shipper.buffer.spool import Spool
from shipper.config import ElasticsearchConfig
from shipper.errors import SinkUnavailable
from shipper.metrics import Metrics
from shipper.model import Documents
from shipper.sink.bulk import Refusal
from shipper.sink.deadletter import DeadLetters, list_letters, read_letter
from shipper.sink.elastic import Elasticsearch
from shipper.sink.ship import Shipping
from tests.buffer.powerloss.model import GivenPace
from tests.buffer.running import running, until
from tests.fakes import elasticsearch as fakes
from tests.fakes.elasticsearch import Act, FakeElasticsearch, says
from tests.sink.documents import bulk_lines

INDEX = "logs"


@dataclass(slots=True)
class Ship:
    """A shipping side with all that belongs to it."""

    root: Path
    spool: Spool
    shipping: Shipping
    letters: DeadLetters
    metrics: Metrics

    async def add(self, *sources: dict[str, str]) -> None:
        """Seal a chunk of documents; the value of `log` is the id."""
        lines = [bulk_lines(INDEX, str(s["log"]), json.dumps(s).encode()) for s in sources]
        documents = Documents(b"".join(lines), len(lines), len(lines), {})
        self.spool.append(Read(documents, (), len(lines)))
        await self.spool.flush()

    async def add_each(self, *chunks: Sequence[str]) -> None:
        """Seal a chunk of each of these sets of ids."""
        for ids in chunks:
            await self.add(*[{"log": name} for name in ids])

    async def done(self) -> None:
        """Wait until nothing is left to ship."""
        async with asyncio.timeout(20):
            await self.spool.empty()

    @property
    def dead(self) -> list[str]:
        """Ids of the dead letters."""
        path = self.root / "dead.db"
        return [letter.id for letter in list_letters(path)]

    def total(self, name: str) -> int:
        return self.spool.totals[name, ""]

    def count(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(name, labels) or 0.0


@asynccontextmanager
async def shipping(
    root: Path,
    fake: FakeElasticsearch,
    *,
    concurrency: int = 2,
    letter_bytes: int = 1 << 20,
    retry_max_secs: float = 0.02,
    starts: bool = True,
) -> AsyncIterator[Ship]:
    """Ship from a spool in a directory into a fake, with waits that are short."""
    config = ElasticsearchConfig(url=fake.url, request_timeout_secs=0.5, max_response_bytes=1 << 20)
    metrics, sink = Metrics(), Elasticsearch(config, connections=concurrency + 1)
    letters = DeadLetters(root / "dead.db", max_bytes=letter_bytes)
    try:
        async with running(root) as spool, asyncio.TaskGroup() as group:
            side = Shipping(
                spool, sink, letters=letters, metrics=metrics, retry_max_secs=retry_max_secs
            )
            ship = Ship(root, spool, side, letters, metrics)
            task = group.create_task(side.run(concurrency)) if starts else None
            try:
                yield ship
            finally:
                if task:
                    task.cancel()
    finally:
        await sink.close()
        letters.close()


def ids_of(fake: FakeElasticsearch) -> list[str]:
    return sorted(name for _, name in fake.documents)


def names(*numbers: int) -> list[str]:
    return [f"id-{number:03}" for number in numbers]


def deliver(root: Path, fake: FakeElasticsearch, *chunks: Sequence[str]) -> Ship:
    """Ship these chunks to the end, and return what is to be looked at."""

    async def run() -> Ship:
        async with fake.serving(), shipping(root, fake) as ship:
            await ship.add_each(*chunks)
            await ship.done()
            return ship

    return asyncio.run(run())


# -- whatever happens

documents_of_chunks = st.lists(st.integers(1, 5), min_size=1, max_size=4)
refused = (400, "mapper_parsing_exception")
turned_away = (429, "es_rejected_execution_exception")
acts: st.SearchStrategy[Act] = st.one_of(
    st.sampled_from(
        [
            fakes.take,
            fakes.close,
            fakes.take_and_reset,
            fakes.take_and_babble,
            says(429, headers={"retry-after": "0"}),
            says(503, b"<html>no</html>", indexed=1),
            says(500),
            says(413),
            says(413, b"too large"),
            says(400, fakes.error_answer("malformed", 400)),
            says(401),
            says(302, headers={"location": "/elsewhere"}),
            says(200, b'{"errors":false,"items":[]}', indexed=1),
            says(200, b'{"errors":true,"items":[{"create":', indexed=None),
            says(200, b"", indexed=None),
        ]
    ),
    st.lists(st.sampled_from([None, refused, turned_away]), min_size=1, max_size=5).map(
        fakes.refuses
    ),
)


@settings(max_examples=40)
@given(documents_of_chunks, st.lists(acts, max_size=12), st.integers(1, 3))
def test_every_document_ends_in_exactly_one_place(
    sizes: list[int], script: list[Act], concurrency: int
) -> None:
    """Whatever a server does, each document is there once, or a dead letter, or both (I2, I5)."""
    # Both: indexed by a request whose answer was lost, and refused when it was sent again.
    numbers = iter(range(100))
    chunks = [[f"id-{next(numbers):03}" for _ in range(size)] for size in sizes]
    everything = [name for chunk in chunks for name in chunk]

    async def run(root: Path) -> None:
        fake = FakeElasticsearch(script=list(script))
        async with (
            fake.serving(),
            shipping(root, fake, concurrency=concurrency) as ship,
        ):
            await ship.add_each(*chunks)
            await ship.done()
            assert sorted({*ids_of(fake), *ship.dead}) == everything
            assert len(ship.dead) == len(set(ship.dead))
            assert ship.total("delivered") + ship.total("dead") == len(everything)
            assert ship.total("chunked") == len(everything)

    with tempfile.TemporaryDirectory() as root:
        asyncio.run(run(Path(root)))


def test_interrupted_shipping_loses_and_doubles_nothing(tmp_path: Path) -> None:
    """Ended in the middle of a request and started again, all is delivered once (I5, I7)."""
    everything = names(*range(6))

    async def run() -> list[str]:
        fake = FakeElasticsearch(script=[fakes.take_and_hang, fakes.take_and_hang])
        async with fake.serving():
            async with shipping(tmp_path, fake) as ship:
                await ship.add_each(everything[:3], everything[3:])
                await until(lambda: len(fake.bulks) == 2)
            async with shipping(tmp_path, fake) as ship:
                await ship.done()
                assert ship.total("delivered") == 6
                assert ship.count("shipper_outcomes_total", outcome="duplicate") == 6
        return ids_of(fake)

    assert asyncio.run(run()) == everything


# -- one bad document, or chunk, holds up nobody


def test_refused_document_is_a_dead_letter_with_its_reason(tmp_path: Path) -> None:
    """A document that is refused for its own sake is kept; the others are delivered (I2)."""
    fake = FakeElasticsearch(script=[fakes.refuses([None, refused, None])])
    ship = deliver(tmp_path, fake, names(0, 1, 2))
    assert ids_of(fake) == names(0, 2)
    letter = read_letter(tmp_path / "dead.db", 1)
    assert (letter.id, letter.index, letter.status, letter.type) == ("id-001", INDEX, *refused)
    assert letter.reason == "refused by the script: id-001"
    assert json.loads(letter.document) == {"log": "id-001"}
    assert (ship.total("delivered"), ship.total("dead")) == (2, 1)


def test_only_what_was_not_taken_is_sent_again(tmp_path: Path) -> None:
    """Documents that a server could not take are sent again, without those that it has."""
    fake = FakeElasticsearch(script=[fakes.refuses([turned_away, None, turned_away])])
    deliver(tmp_path, fake, names(0, 1, 2))
    again = [line["log"] for line in fake.bulks[1].lines[1::2]]
    assert again == names(0, 2)
    assert ids_of(fake) == names(0, 1, 2)


def test_dead_letters_are_durable_before_the_chunk_is_replaced(tmp_path: Path) -> None:
    """While the letter cannot be written its document stays in the chunk, to be sent again (I2)."""
    fake = FakeElasticsearch(script=[fakes.refuses([refused])] * 3)

    async def run() -> None:
        async with fake.serving(), shipping(tmp_path, fake) as ship:
            ship.letters._db.execute("PRAGMA query_only = ON")  # noqa: SLF001  # a disk that refuses
            await ship.add_each(names(0))
            await until(lambda: "dead.db" in ship.shipping.trouble)
            assert (ship.spool.buffered_documents, ship.total("dead")) == (1, 0)
            ship.letters._db.execute("PRAGMA query_only = OFF")  # noqa: SLF001
            await ship.done()
            assert len(ship.dead) + len(fake.documents) == 1

    asyncio.run(run())


@pytest.mark.parametrize("concurrency", [1, 2])
def test_closed_index_holds_up_nobody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, concurrency: int
) -> None:
    """Documents that are turned away again and again wait by themselves; the rest goes on."""
    closed = fakes.refuses_where(
        lambda source: (403, "cluster_block_exception") if source["log"] == "id-000" else None
    )

    async def run() -> None:
        fake = FakeElasticsearch(script=[closed] * 200)
        async with (
            fake.serving(),
            shipping(tmp_path, fake, concurrency=concurrency) as ship,
        ):
            await ship.add_each(names(0), names(0, 1), *(names(n) for n in range(2, 20)))
            await until(lambda: ids_of(fake) == names(*range(1, 20)))
            await until(lambda: ship.spool.buffered_documents == 2)
            await until(lambda: len(fake.bulks) > 40)
            complaints = [m for m in caplog.messages if m.startswith("the destination does not")]
            assert len(complaints) <= 2, "each chunk passes for trouble once"
            fake.script.clear()
            await ship.done()
            assert ids_of(fake) == names(*range(20))

    asyncio.run(run())


def test_reason_of_the_server_outlives_a_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A dead letter that the disk does not take for a while has the reason why it is one."""
    poison = fakes.refuses_request_where(lambda source: source["log"] == "id-000", 400)

    async def run() -> None:
        fake = FakeElasticsearch(script=[poison] * 10_000)
        async with fake.serving(), shipping(tmp_path, fake) as ship:
            tries, keep = 0, ship.letters.keep

            def full_at_first(letters: Sequence[tuple[bytes, bytes, Refusal]]) -> int:
                nonlocal tries
                tries += 1
                if tries < 8:
                    raise SinkUnavailable("dead.db cannot be written: the disk is full")
                return keep(letters)

            monkeypatch.setattr(ship.letters, "keep", full_at_first)
            await ship.add_each(names(0))
            number = 10
            while ship.spool.buffered_chunks:
                await ship.add_each(names(number))  # life goes on
                number += 1
                await asyncio.sleep(0.005)
                assert number < 990
            (letter,) = list_letters(tmp_path / "dead.db")
            assert (letter.id, letter.status) == ("id-000", 400)
            assert "the disk" not in letter.reason

    asyncio.run(run())


@pytest.mark.parametrize("status", [400, 403, 500])
@pytest.mark.parametrize("concurrency", [1, 2])
def test_poison_is_isolated_while_the_rest_passes(
    tmp_path: Path, status: int, concurrency: int
) -> None:
    """A document for which the request as a whole is refused ends alone, as a dead letter."""
    poison = fakes.refuses_request_where(lambda source: source["log"] == "id-002", status)

    async def run() -> None:
        fake = FakeElasticsearch(script=[poison] * 10_000)
        async with (
            fake.serving(),
            shipping(tmp_path, fake, concurrency=concurrency) as ship,
        ):
            await ship.add_each(names(0, 1, 2, 3, 4))
            number = 10
            while ship.spool.buffered_chunks:
                await ship.add_each(names(number))  # life goes on
                number += 1
                await asyncio.sleep(0.005)
                assert number < 990
            assert ship.dead == names(2)
            assert ids_of(fake) == names(0, 1, 3, 4, *range(10, number))
            assert not ship.shipping._tries  # noqa: SLF001  # nothing else shows it

    asyncio.run(run())


@pytest.mark.parametrize("status", [400, 401, 403, 500])
def test_whole_refusal_of_everything_keeps_everything(tmp_path: Path, status: int) -> None:
    """While no chunk passes, none is split and nothing is given up, however long it lasts."""

    async def run() -> None:
        fake = FakeElasticsearch(script=[says(status, fakes.error_answer("no", status))] * 40)
        async with fake.serving(), shipping(tmp_path, fake) as ship:
            await ship.add_each(names(0, 1), names(2, 3))
            await until(lambda: len(fake.script) < 5)
            assert ship.spool.buffered_chunks == 2
            assert f"answered {status}" in ship.shipping.trouble
            assert ship.shipping.away.is_set()
            await ship.done()
            assert ids_of(fake) == names(0, 1, 2, 3)
            assert not ship.dead
            assert not ship.shipping.trouble

    asyncio.run(run())


def test_outage_after_a_pass_blames_no_chunk(tmp_path: Path) -> None:
    """A chunk that failed once, before others passed, is not to blame for a later outage."""

    async def run() -> None:
        fake = FakeElasticsearch(script=[says(503), fakes.take, *[says(503)] * 30])
        async with (
            fake.serving(),
            shipping(tmp_path, fake, concurrency=1) as ship,
        ):
            await ship.add_each(names(0, 1, 2, 3), names(4))
            await ship.done()
            assert not ship.dead
            sizes = {len(request.lines) // 2 for request in fake.bulks}
            assert sizes == {1, 4}, "nothing was split"

    asyncio.run(run())


def test_outage_gives_up_no_document_that_failed_before(tmp_path: Path) -> None:
    """Also a document that was to blame before is kept while nothing at all passes."""

    async def run() -> None:
        down = False

        async def act(
            es: FakeElasticsearch, request: fakes.Request, writer: asyncio.StreamWriter
        ) -> None:
            is_bad = any(source["log"] == "bad" for source in request.lines[1::2])
            await (says(503) if down else fakes.close if is_bad else fakes.take)(
                es, request, writer
            )

        fake = FakeElasticsearch(script=[act] * 10_000)
        async with fake.serving(), shipping(tmp_path, fake) as ship:
            await ship.add({"log": "bad"})
            for number in range(60):
                await ship.add_each(names(number))
                await until(lambda: ship.spool.buffered_documents == 1)
                await asyncio.sleep(0.01)
            down = True
            requests = len(fake.bulks)
            await until(lambda: len(fake.bulks) > requests + 20)
            assert (ship.dead, ship.spool.buffered_documents) == ([], 1)

    asyncio.run(run())


# -- noisy series


async def _add_noisy(ship: Ship, *chunks: Sequence[str]) -> None:
    """Seal a bulk chunk of each of these sets of ids."""
    pace = GivenPace()
    pace.noisy, ship.spool._lanes._pace = True, pace  # noqa: SLF001  # what a clock would decide
    await ship.add_each(*chunks)
    pace.noisy = False


def _noisy(source: dict[str, str]) -> bool:
    return source["log"] >= "id-100"


@pytest.mark.parametrize("concurrency", [1, 2])
def test_slow_answers_to_noisy_series_delay_no_quiet_one(tmp_path: Path, concurrency: int) -> None:
    """While every other connection waits for an answer to a bulk chunk, express chunks pass."""

    async def run() -> None:
        answered = asyncio.Event()

        async def act(
            es: FakeElasticsearch, request: fakes.Request, writer: asyncio.StreamWriter
        ) -> None:
            if any(_noisy(source) for source in request.lines[1::2]):
                await answered.wait()
            await fakes.take(es, request, writer)

        fake = FakeElasticsearch(script=[act] * 1_000)
        async with fake.serving(), shipping(tmp_path, fake, concurrency=concurrency) as ship:
            await _add_noisy(ship, *(names(n) for n in range(100, 110)))
            await until(lambda: len(fake.bulks) == concurrency)
            for number in range(10):
                await ship.add_each(names(number))
            await until(lambda: ids_of(fake) == names(*range(10)), secs=0.4)
            answered.set()
            await ship.done()
            assert ids_of(fake) == names(*range(10), *range(100, 110))

    asyncio.run(run())


def test_too_many_requests_blame_nobody(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A server that turns bulk chunks away for now gets them whole later; it is not away."""
    caplog.set_level(logging.INFO)

    async def run() -> None:
        busy = fakes.refuses_request_where(_noisy, 429)
        fake = FakeElasticsearch(script=[busy] * 10_000)
        async with fake.serving(), shipping(tmp_path, fake) as ship:
            await ship.add_each(names(0))
            await until(lambda: ids_of(fake) == names(0))
            await _add_noisy(ship, names(100, 101), names(102))
            for number in range(1, 50):
                await ship.add_each(names(number))
                await until(lambda: ids_of(fake) == names(*range(number + 1)))  # noqa: B023
                await asyncio.sleep(0.01)
            assert ship.count("shipper_retries_total", reason="unavailable") > 20
            assert (ship.spool.buffered_chunks, ship.dead) == (2, [])
            assert (ship.spool.away, ship.shipping.trouble) == (False, "")
            fake.script.clear()
            await ship.done()
            assert ids_of(fake) == names(*range(50), 100, 101, 102)

    asyncio.run(run())
    assert not [m for m in caplog.messages if "does not take" in m or "is split" in m]


def test_quiet_series_starve_no_noisy_one(tmp_path: Path) -> None:
    """However many express chunks there are, bulk chunks are sent beside them."""

    async def run() -> list[str]:
        fake = FakeElasticsearch()
        async with fake.serving(), shipping(tmp_path, fake, starts=False) as ship:
            await ship.add_each(*(names(n) for n in range(60)))
            await _add_noisy(ship, *(names(n) for n in range(100, 120)))
            async with asyncio.TaskGroup() as group:
                task = group.create_task(ship.shipping.run(2))
                await ship.done()
                task.cancel()
        return [str(request.lines[1]["log"]) for request in fake.bulks]

    order = asyncio.run(run())
    assert order.index("id-119") < order.index("id-059")


# -- size


def test_too_large_chunk_is_split_until_it_fits(tmp_path: Path) -> None:
    """After 413 a chunk goes in halves, as often as needed; nothing is lost or doubled (I2)."""
    fake = FakeElasticsearch(script=[fakes.limits(200)] * 1000)
    deliver(tmp_path, fake, names(*range(33)))
    assert ids_of(fake) == names(*range(33))
    assert len(fake.documents) == 33


def test_document_that_is_too_large_by_itself_is_a_dead_letter(tmp_path: Path) -> None:
    """What cannot be split further, while others pass, is kept with the reason."""

    async def run() -> None:
        fake = FakeElasticsearch(script=[fakes.limits(200)] * 10_000)
        async with fake.serving(), shipping(tmp_path, fake) as ship:
            await ship.add({"log": "big", "padding": "x" * 300}, {"log": "small"})
            number = 0
            while ship.spool.buffered_chunks:
                await ship.add_each(names(number))
                number += 1
                await asyncio.sleep(0.005)
                assert number < 990
            assert ship.dead == ["big"]
            assert read_letter(tmp_path / "dead.db", 1).status == 413

    asyncio.run(run())


def test_chunk_that_old_versions_close_on_is_split(tmp_path: Path) -> None:
    """2.4 closes the connection where others say 413: that is found out as well."""

    async def closing(
        es: FakeElasticsearch, request: fakes.Request, writer: asyncio.StreamWriter
    ) -> None:
        act = fakes.close if len(request.lines) > 4 else fakes.take
        await act(es, request, writer)

    fake = FakeElasticsearch(version="2.4.1", reads_gzip=False, script=[closing] * 1000)
    deliver(tmp_path, fake, names(*range(8)))
    assert ids_of(fake) == names(*range(8))


# -- a destination that is away


def test_trouble_is_said_once_and_its_end_too(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """However often it is tried, the log has one line when it begins and one when it is over."""
    caplog.set_level(logging.INFO)
    fake = FakeElasticsearch(script=[says(503, fakes.error_answer("no master", 503))] * 10)
    ship = deliver(tmp_path, fake, names(0))
    begin = [m for m in caplog.messages if m.startswith("the destination does not take documents")]
    assert len(begin) == 1
    assert "no master" in begin[0]
    assert caplog.messages.count("the destination takes documents again") == 1
    assert ship.count("shipper_retries_total", reason="unavailable") == 10
    assert ship.count("shipper_retry_wait_seconds_count") == 10
    assert ship.count("shipper_sink_up") == 1


def test_server_that_is_away_from_the_start_is_waited_for(tmp_path: Path) -> None:
    """Without an answer nothing is sent, all stays in the buffer, and the reason is told."""

    async def run() -> None:
        fake = FakeElasticsearch(version=None, root_status=503)
        async with fake.serving(), shipping(tmp_path, fake) as ship:
            await ship.add_each(names(0))
            await until(lambda: len(fake.requests) > 3)
            assert (ship.shipping.checked, ship.spool.away) == (False, True)
            assert "answered 503" in ship.shipping.trouble
            assert not fake.bulks
            fake.version, fake.root_status = "9.5.3", 200
            await ship.done()
            assert (ship.shipping.checked, ship.spool.away) == (True, False)

    asyncio.run(run())


def test_full_write_queue_slows_everybody_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where every document of chunk after chunk is turned away, the chunks do not rush by."""
    monkeypatch.setattr(random, "random", lambda: 0.999)

    async def run() -> None:
        overloaded = fakes.refuses([turned_away] * 9)
        fake = FakeElasticsearch(script=[overloaded] * 1000)
        async with fake.serving(), shipping(tmp_path, fake, retry_max_secs=3600) as ship:
            started = time.monotonic()
            await ship.add_each(*(names(n) for n in range(40)))
            await until(lambda: len(fake.bulks) >= 5)
            assert time.monotonic() - started > 0.9  # three at once, 0.5 s, 1 s
            assert "es_rejected_execution_exception" in ship.shipping.trouble

    asyncio.run(run())


def test_broken_chunk_stops_nothing(tmp_path: Path) -> None:
    """A chunk file that rots is kept and told of; neither the agent nor the others stop."""

    async def run() -> None:
        reset = says(400, fakes.error_answer("not in gzip format", 400))

        async def read(
            es: FakeElasticsearch, request: fakes.Request, writer: asyncio.StreamWriter
        ) -> None:
            act = fakes.take if request.body[:2] == b"\x1f\x8b" else reset
            await act(es, request, writer)

        fake = FakeElasticsearch(script=[read] * 10_000)
        async with (
            fake.serving(),
            shipping(tmp_path, fake, starts=False) as ship,
            asyncio.TaskGroup() as group,
        ):
            await ship.add_each(names(0, 1))
            (path,) = ship.spool.directory.iterdir()
            path.write_bytes(b"rotten")
            task = group.create_task(ship.shipping.run(2))
            for number in range(2, 40):
                await ship.add_each(names(number))
                await asyncio.sleep(0.005)
            await until(lambda: ids_of(fake) == names(*range(2, 40)))
            await until(lambda: ship.spool.buffered_documents == 2)
            assert path.read_bytes() == b"rotten"
            task.cancel()

    asyncio.run(run())


def test_tries_of_chunks_that_are_gone_are_forgotten(tmp_path: Path) -> None:
    """What is remembered of failures does not grow with them."""
    script = [fakes.refuses([turned_away, None]), says(503), says(413), *[says(500)] * 5]
    ship = deliver(
        tmp_path, FakeElasticsearch(script=script * 5), *(names(2 * n, 2 * n + 1) for n in range(9))
    )
    assert not ship.shipping._tries  # noqa: SLF001  # nothing else shows it
