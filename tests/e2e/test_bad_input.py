"""What no log should hold and no operator should write: it is kept, or refused, and said so."""

import json
import random
import socket
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.agent import SECONDS, Agent, configure, environment, running, shipper
from tests.servers.elasticsearch import Elasticsearch

DEFAULT_PORT = 9880
MEBIBYTE = 1 << 20
MAX_LINE_BYTES = MEBIBYTE
HUGE_BYTES = 100 * MEBIBYTE
MAX_RSS_BYTES = 110e6
"""The bound that also holds for a long outage: the line itself is never in memory."""
DELIVERED = "shipper_delivered_documents_total"

WITHOUT_ROOTS_RIGHTS = (
    *("setpriv", "--bounding-set=-dac_override,-dac_read_search"),
    "--inh-caps=-dac_override,-dac_read_search",
)
"""Takes from root what lets it pass over permissions. Not another user: that one may not get at
this Python, which can lie in root's home."""


def run_once(*arguments: str, before: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
    """Run shipper to its end."""
    return subprocess.run(
        [*before, *shipper(*arguments)],
        capture_output=True,
        check=False,
        encoding="utf-8",
        timeout=60,
        env=environment(),
    )


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """A directory to follow."""
    path = tmp_path / "logs"
    path.mkdir()
    return path


@pytest.fixture
def agent(elasticsearch: Elasticsearch, prefix: str, logs: Path, tmp_path: Path) -> Iterator[Agent]:
    """An agent that follows it."""
    setup = configure(tmp_path / "agent", paths=[logs], url=elasticsearch.url, prefix=prefix)
    with running(setup) as started:
        yield started


def sources(elasticsearch: Elasticsearch, prefix: str) -> list[dict[str, Any]]:
    """All documents of a test."""
    return [document["_source"] for document in elasticsearch.documents(f"{prefix}-*")]


def flags_of(source: dict[str, Any]) -> list[str]:
    flags: list[str] = source.get("shipper", {}).get("flags", [])
    return flags


def test_garbage_is_kept_line_by_line(
    elasticsearch: Elasticsearch, prefix: str, logs: Path, agent: Agent
) -> None:
    """Random bytes are documents, one a line without its NULs; what is no UTF-8 is marked."""
    garbage = random.Random(3).randbytes(200_000) + b"\n"
    (logs / "garbage.log").write_bytes(garbage)
    lines = garbage.removesuffix(b"\n").split(b"\n")
    agent.until(lambda: agent.metric(DELIVERED) >= len(lines), "a document of each line")
    found = Counter((s["log"], tuple(flags_of(s))) for s in sources(elasticsearch, prefix))
    assert found == Counter(map(expected_of_plain, lines))


def expected_of_plain(line: bytes) -> tuple[str, tuple[str, ...]]:
    """The text and the flags of a line of a file that is no container's."""
    line = line.lstrip(b"\0")
    text = line.decode(errors="replace")
    return text, () if text.encode() == line else ("invalid_utf8",)


def test_garbage_in_a_containers_log_is_kept(
    elasticsearch: Elasticsearch, prefix: str, logs: Path, agent: Agent
) -> None:
    """Between docker's lines, what docker cannot have written is kept verbatim, and marked."""
    good = b'{"log":"good\\n","stream":"stdout","time":"2026-11-23T10:00:00.123456789Z"}'
    bad = [
        b'{"log":"bad \xff\\n","stream":"stderr","time":"2026-11-23T10:00:00.5Z"}',
        b'{"log":"cut off',
        b"",
        b"{" * 5_000,
        b'{"log":1,"stream":"stdout","time":"2026-11-23T10:00:00Z"}',
        b'{"log":"no such day\\n","stream":"stdout","time":"2026-02-30T10:00:00Z"}',
        b"\x00\xfe\xff",
    ]
    content = b"".join(good + b"\n" + line + b"\n" for line in bad)
    (logs / f"pod-0_ns_c-{'ab' * 32}.log").write_bytes(content)
    agent.until(lambda: agent.metric(DELIVERED) >= 2 * len(bad), "a document of each line")
    documents = sources(elasticsearch, prefix)
    assert sum(d["log"] == "good\n" and "shipper" not in d for d in documents) == len(bad)
    (undecodable,) = [d for d in documents if d["log"] == "bad \ufffd\n"]
    assert (undecodable["stream"], flags_of(undecodable)) == ("stderr", ["invalid_utf8"])
    kept = {d["log"]: flags_of(d) for d in documents if "unparsed" in flags_of(d)}
    verbatim = [line.lstrip(b"\0") for line in bad[1:]]
    assert kept == {line.decode(errors="replace"): flags_of_unparsed(line) for line in verbatim}


def flags_of_unparsed(line: bytes) -> list[str]:
    _, flags = expected_of_plain(line)
    return ["unparsed", *flags]


@pytest.mark.timeout(180)
def test_huge_line_is_cut_and_costs_no_memory(
    elasticsearch: Elasticsearch,
    prefix: str,
    logs: Path,
    agent: Agent,
    record_property: Callable[[str, object], None],
) -> None:
    """A line of 100 MiB is cut, with a mark and its length, in less than 110 MB of memory."""
    log = logs / "huge.log"
    with log.open("ab", buffering=0) as file:
        file.write(b"before\n")
        for _ in range(100):
            file.write(b"x" * MEBIBYTE)
        agent.until_metric(DELIVERED, 1)
        agent.until(lambda: agent.metric("shipper_lag_bytes") >= HUGE_BYTES, "to see all of it")
        file.write(b"\nafter\n")
    agent.until_metric(DELIVERED, 3)
    (cut,) = [s for s in sources(elasticsearch, prefix) if s["log"][0] == "x"]
    length = HUGE_BYTES + 1  # with its newline
    assert cut["log"] == f"{'x' * MAX_LINE_BYTES} [truncated by shipper: {length} bytes]"
    assert cut["shipper"] == {"flags": ["truncated"], "original_bytes": length}
    assert sorted(s["log"] for s in sources(elasticsearch, prefix))[:2] == ["after", "before"]
    record_property("peak RSS", f"{agent.peak_rss_bytes / 1e6:.0f} MB")
    assert agent.peak_rss_bytes < MAX_RSS_BYTES


def test_huge_line_without_an_end_is_cut(logs: Path, tmp_path: Path) -> None:
    """With --once, a file that is one line of 100 MiB without a newline is one cut document."""
    with (logs / "huge.log").open("wb") as file:
        for _ in range(100):
            file.write(b"x" * MEBIBYTE)
    command = ["run", str(logs), "--once", "--output=stdout", f"--state-dir={tmp_path / 'state'}"]
    done = run_once(*command)
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    assert json.loads(line)["shipper"] == {"flags": ["truncated"], "original_bytes": HUGE_BYTES}


def test_file_without_permission_is_named_and_the_others_are_read(
    logs: Path, tmp_path: Path
) -> None:
    """A file and a directory that may not be read are skipped, with the reason, the rest read."""
    (logs / "open.log").write_text("readable\n")
    (logs / "closed.log").write_text("secret\n")
    (logs / "closed.log").chmod(0)
    (logs / "closed").mkdir(mode=0)
    command = ["run", str(logs), "--once", "--output=stdout", f"--state-dir={tmp_path / 'state'}"]
    done = run_once(*command, "--log-format=plain", before=WITHOUT_ROOTS_RIGHTS)
    assert done.returncode == 1, done.stderr
    assert [json.loads(line)["log"] for line in done.stdout.splitlines()] == ["readable"]
    assert f"{logs}/closed.log is skipped: no permission to read it" in done.stderr
    assert f"{logs}/closed is skipped: cannot be listed: Permission denied" in done.stderr
    assert "2 cannot be read: closed, closed.log" in done.stderr


def test_file_that_may_be_read_later_is_read_then(
    elasticsearch: Elasticsearch, prefix: str, logs: Path, tmp_path: Path
) -> None:
    """A followed file without permission is not forgotten: with the permission it is read."""
    setup = configure(tmp_path / "agent", paths=[logs], url=elasticsearch.url, prefix=prefix)
    (logs / "closed.log").write_text("secret\n")
    (logs / "closed.log").chmod(0)
    with running(setup, before=WITHOUT_ROOTS_RIGHTS) as agent:
        agent.until_metric("shipper_skipped_files", 1)
        assert agent.said.count("closed.log is skipped: no permission to read it") == 1
        (logs / "closed.log").chmod(0o400)
        agent.until_metric(DELIVERED, 1)
        assert agent.metric("shipper_skipped_files") == 0


def test_unknown_key_ends_it_before_anything_is_touched(tmp_path: Path) -> None:
    """A misspelt key is exit status 2, with all wrong keys named, and no state directory."""
    config = tmp_path / "shipper.yaml"
    state_dir = tmp_path / "state"
    config.write_text(
        f"state_dir: {state_dir}\nbuffer:\n  flush_sec: 1\noutput:\n  concurrency: 0\n"
    )
    done = run_once("run", "--config", str(config))
    assert done.returncode == 2
    assert "buffer.flush_sec: unknown key" in done.stderr
    assert "output.concurrency: " in done.stderr
    assert "Traceback" not in done.stderr
    assert not state_dir.exists()


def test_port_in_use_ends_an_agent_and_says_whose_it_is(logs: Path, tmp_path: Path) -> None:
    """A configured port that is taken is exit status 1 with what to do, before state is touched."""
    setup = configure(tmp_path / "agent", paths=[logs], url="http://127.0.0.1:9", prefix="p")
    with socket.create_server(("127.0.0.1", setup.port)):
        done = run_once(*setup.command()[3:])
    assert done.returncode == 1
    assert f"127.0.0.1:{setup.port}" in done.stderr
    assert "choose another address" in done.stderr
    assert "Traceback" not in done.stderr
    assert not setup.state_dir.exists()


def test_default_port_in_use_does_not_stop_a_first_look(logs: Path, tmp_path: Path) -> None:
    """Where nobody asked for a port, any free one will do: two can be run side by side."""
    (logs / "a.log").write_text("line\n")
    command = ["run", str(logs), "--output=stdout", f"--state-dir={tmp_path / 'state'}"]
    with (
        taken(DEFAULT_PORT),
        (tmp_path / "said").open("w+") as said,
        subprocess.Popen(
            shipper(*command), stdout=subprocess.PIPE, stderr=said, env=environment()
        ) as process,
    ):
        try:
            assert process.stdout is not None
            assert json.loads(process.stdout.readline())["log"] == "line"
            process.terminate()
            assert process.wait(SECONDS) == 0
        finally:
            process.kill()


@contextmanager
def taken(port: int) -> Iterator[None]:
    """Take a port, if nobody else has it."""
    with ExitStack() as stack:
        with suppress(OSError):
            stack.enter_context(socket.create_server(("127.0.0.1", port)))
        yield
