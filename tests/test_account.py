"""What a running agent says of itself, asked over its server, and its check of the account."""

import asyncio
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from shipper import __version__
from shipper.app import Options
from shipper.buffer.audit import audit
from shipper.buffer.lock import StateLock
from shipper.metrics import LAWS
from shipper.ops.status import Status, decode
from tests.buffer.running import until
from tests.fakes import elasticsearch as fakes
from tests.fakes import kubernetes as fakes_kubernetes
from tests.fakes.elasticsearch import FakeElasticsearch, says
from tests.fakes.kubernetes import FakeKubernetes
from tests.inprocess import Run, agent, lines
from tests.kube.pods import pod_json

Samples = dict[tuple[str, str], float]
AWAY = [says(503)] * 10_000


async def status(run: Run) -> Status:
    code, body = await run.get("/status")
    assert code == 200
    return decode(body.encode())


async def until_delivered(run: Run, documents: int) -> None:
    await until(lambda: run.seen.last.delivered == documents)


async def samples(run: Run, label: str) -> Samples:
    """The samples of /metrics by name and value of a label."""
    families = text_string_to_metric_families((await run.get("/metrics"))[1])
    found = (sample for family in families for sample in family.samples)
    return {(s.name, s.labels[label]): s.value for s in found if label in s.labels}


def plant(run: Run, *statements: str) -> None:
    """Change state.db behind the agent's back."""
    with closing(sqlite3.connect(run.config.state_dir / "state.db")) as db, db:
        for statement in statements:
            db.execute(statement)


# -- /readyz


def test_agent_is_ready_while_only_noisy_series_wait(tmp_path: Path) -> None:
    """Where the reserve is left to quiet series it is ready, and says so; else it is not."""
    fake = FakeElasticsearch(script=[fakes.take_and_hang] * 100)

    async def run() -> None:
        answers = []
        async with agent(tmp_path, fake, buffer={"max_chunks": 8}) as run:
            for number in range(1, 9):
                lines(tmp_path, "line")
                await until(lambda n=number: run.seen.last.buffered == n)  # type: ignore[misc]
                answers.append(await run.get("/readyz"))
        why = "buffer.max_chunks (8) is reached"
        paused = f"ready\nreading of noisy series is paused: {why} but for its reserve\n"
        assert answers[:6] == [(200, "ready\n")] * 6
        assert answers[6:] == [(200, paused), (503, f"not ready: {why}\n")]

    asyncio.run(run())


# -- /status


def test_status_says_what_the_agent_does(tmp_path: Path) -> None:
    """Who and where, what is read, delivered and refused, and how far each file is."""
    fake = FakeElasticsearch(script=[fakes.refuses([(400, "mapper_parsing_exception")])])

    async def run() -> None:
        async with agent(tmp_path, fake, node_name="node-1") as run:
            size = lines(tmp_path, "one", "two")
            (tmp_path / "logs/x.txt").touch()
            await until(lambda: run.seen.last.delivered == 1)
            told = await status(run)
            assert (told.version, told.node, told.pid) == (__version__, "node-1", os.getpid())
            assert told.state_dir == str(run.config.state_dir)
            assert told.output == f"{fake.url}/logstash-*"
            assert (told.waiting, told.trouble, told.paused) == ("", "", "")
            assert told.totals == {
                "read_bytes": size,
                "chunked_bytes": size,
                "chunked": 2,
                "delivered": 1,
                "dead": 1,
                "lost_documents": 0,
                "gaps": 0,
            }
            assert told.buffer.documents == told.lag_bytes == told.held_bytes == 0
            assert told.buffer.quota_bytes == run.config.buffer.max_bytes
            (series,) = told.series
            assert series.path == series.name == str(tmp_path / "logs/a.log")
            assert series.size_bytes == series.read_bytes == size
            assert [(file.path, file.live) for file in series.files] == [(series.path, True)]
            assert list(told.skipped) in ([], [str(tmp_path / "logs/x.txt")])

    asyncio.run(run())


def test_status_says_what_is_the_matter(tmp_path: Path) -> None:
    """While the destination takes nothing its words are there, and what waits for it."""

    async def run() -> None:
        async with agent(tmp_path, FakeElasticsearch(script=list(AWAY))) as run:
            lines(tmp_path, "one")
            await until(lambda: "503" in run.seen.last.trouble)
            told = await status(run)
            assert "503" in told.trouble
            assert (told.buffer.chunks, told.buffer.documents) == (1, 1)
            assert told.buffer.bytes > 0

    asyncio.run(run())


def test_status_holds_no_secret(tmp_path: Path) -> None:
    """Whoever may read metrics may read it."""
    login = {"username": "elastic", "password": "hunter2-is-it"}

    async def run() -> None:
        fake = FakeElasticsearch(version=None, root_status=401)
        output = {"elasticsearch": {"url": "http://127.0.0.1:1", **login}}
        async with agent(tmp_path, fake, output=output) as run:
            await until(lambda: run.seen.last.trouble)
            _, body = await run.get("/status")
            assert "127.0.0.1:1/logstash-*" in body
            assert login["password"] not in body

    asyncio.run(run())


def test_waiting_agent_says_for_whom(tmp_path: Path) -> None:
    """It has nothing else to say yet, and takes nobody's place: the state directory names none."""
    (tmp_path / "state").mkdir()
    lock = StateLock(tmp_path / "state")
    assert lock.acquire()

    async def run() -> None:
        async with agent(tmp_path, FakeElasticsearch()) as run:
            await run.until_ready_says("is in use")
            told = await status(run)
            assert f"is in use by pid {os.getpid()}" in told.waiting
            assert (told.state_dir, told.series) == (str(tmp_path / "state"), [])
            announced = tmp_path / "state/server"
            assert not announced.exists()
            lock.release()
            await until(announced.exists)
            await run.end()

    asyncio.run(run())


def test_state_directory_says_where_the_agent_listens(tmp_path: Path) -> None:
    """As long as it runs, with the port that it has taken."""

    async def run() -> None:
        announced = tmp_path / "state/server"
        async with agent(tmp_path, FakeElasticsearch()) as run:
            await until(lambda: run.seen.last.server_url)
            await until(announced.exists)
            assert announced.read_text().strip() == run.seen.last.server_url
            await run.end()
            assert not announced.exists()

    asyncio.run(run())


def test_agent_without_a_server_removes_what_a_killed_one_left(tmp_path: Path) -> None:
    """Nobody is sent to an address at which somebody else may listen by now."""
    (tmp_path / "state").mkdir()
    (tmp_path / "state/server").write_text("http://127.0.0.1:1\n")

    async def run() -> None:
        async with agent(tmp_path, FakeElasticsearch(), Options(once=True)) as run:
            await run.task

    asyncio.run(run())
    assert not (tmp_path / "state/server").exists()


# -- /metrics by series


def test_only_the_series_most_behind_have_samples(tmp_path: Path) -> None:
    """Twenty of those that are behind, with the names of their containers, until they are not."""
    pod = "web-7d4f-x2x7p_shop_web-" + "0123456789abcdef" * 4
    name, stop = "shipper_series_lag_bytes", {"max_chunks": 8, "chunk_documents": 1}

    async def run() -> None:
        fake = FakeElasticsearch(script=list(AWAY))
        async with agent(tmp_path, fake, buffer=stop) as run:
            for number in range(40):
                lines(tmp_path, *("x" * number for _ in range(9)), name=f"{number:02}.log")
            await until(lambda: len(run.seen.last.paths) == 40)
            lines(tmp_path, *("x" * 1000 for _ in range(100)), name=f"{pod}.log")
            await until(lambda: len(run.seen.last.paths) == 41)
            behind = {p: n for (what, p), n in (await samples(run, "path")).items() if what == name}
            assert len(behind) == 20
            assert min(behind.values()) > 0
            (most,) = [path for path in behind if pod in path]
            assert (name, "shop") in await samples(run, "namespace")
            assert behind[most] == max(behind.values())
            fake.script.clear()
            await until_delivered(run, 40 * 9 + 100)
            assert await samples(run, "path") == {}
            assert (await status(run)).lag_bytes == 0

    asyncio.run(run())


# -- the check of the account


def test_agent_that_counts_right_says_so(tmp_path: Path) -> None:
    """Reading, refused documents, rotation and a stop: every check is right, the last as well."""

    async def run() -> None:
        fake = FakeElasticsearch(script=[fakes.refuses([(400, "mapper_parsing_exception")])])
        async with agent(tmp_path, fake, buffer={"audit_secs": 0.05}) as run:
            for number in range(1, 6):
                lines(tmp_path, *(f"{number} {n}" for n in range(100)))
                await until_delivered(run, 100 * number - 1)
            checks = await samples(run, "result")
            assert checks["shipper_account_checks_total", "ok"] > 0
            assert checks["shipper_account_checks_total", "mismatch"] == 0
            assert await samples(run, "law") == {
                ("shipper_account_mismatch", law): 0 for law in LAWS
            }
            await run.end()

    asyncio.run(run())
    assert audit(tmp_path / "state") == []


def test_planted_miscounts_are_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """By every law: in the log, in /metrics, in /status, with the difference (I9)."""

    async def run() -> None:
        async with agent(
            tmp_path,
            FakeElasticsearch(script=list(AWAY)),
            buffer={"audit_secs": 0.05, "grace_secs": 0},
        ) as run:
            lines(tmp_path, "one")
            await until(lambda: "503" in run.seen.last.trouble)
            (chunk,) = (run.config.state_dir / "chunks").iterdir()
            chunk.unlink()
            plant(
                run,
                "UPDATE files SET end_offset = end_offset + 100",
                "UPDATE totals SET value = value + 7 WHERE name = 'chunked_bytes'",
                "INSERT INTO totals VALUES ('delivered', '', 3)",
            )
            await until(lambda: "the account does not add up" in caplog.text, secs=20)
            found = {law: n for (_, law), n in (await samples(run, "law")).items()}
            assert found == {
                "positions": 100,
                "bytes": 7,
                "documents": 3,
                "chunks": 1,
                "sizes": 100,
                "counters": 7,
            }
            assert (await status(run)).mismatches == found
            checks = await samples(run, "result")
            assert checks["shipper_account_checks_total", "mismatch"] >= 1

    asyncio.run(run())
    for law in LAWS:
        assert f"the account does not add up ({law}): " in caplog.text


# -- pods


def test_agent_says_what_is_known_of_pods(tmp_path: Path) -> None:
    """While the API answers, how many there are; while it does not, why, and it stays ready."""
    api = FakeKubernetes()
    api.put(pod_json(node="node-1"))

    async def run() -> None:
        async with (
            api.serving(),
            agent(
                tmp_path, FakeElasticsearch(), node_name="node-1", kubernetes={"url": api.url}
            ) as run,
        ):
            await until_kube_is(run, 1)
            assert (await status(run)).kubernetes == "1 there, 0 gone"
            assert await run.get("/readyz") == (200, "ready\n")
            api.script += [fakes_kubernetes.refuse(403, "pods is forbidden")] * 10_000
            api.end_watches()
            await run.until_ready_says('verbs: ["list", "watch"]')
            code, body = await run.get("/readyz")
            assert (code, body.splitlines()[0]) == (200, "ready")
            assert "403" in (await status(run)).kubernetes
            await until_kube_is(run, 0)
            api.script.clear()
            await until_kube_is(run, 1)

    asyncio.run(run())


def test_agent_without_an_api_says_nothing_of_pods(tmp_path: Path) -> None:
    """Where no API is asked, nothing is said of it."""

    async def run() -> None:
        async with agent(tmp_path, FakeElasticsearch(), kubernetes={"enabled": False}) as run:
            await run.until_ready_says("ready")
            assert (await status(run)).kubernetes == ""

    asyncio.run(run())


async def until_kube_is(run: Run, synced: int) -> None:
    """Wait until the agent says that it follows the API, or does not."""
    async with asyncio.timeout(20):
        while f"shipper_kube_synced {synced}.0" not in (await run.get("/metrics"))[1]:  # noqa: ASYNC110  # seen from outside
            await asyncio.sleep(0.01)
