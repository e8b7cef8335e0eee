"""The command line: what is printed where, and with which exit status."""

import gzip
import json
import logging
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from shipper.cli import main
from shipper.sink.bulk import Refusal
from shipper.sink.deadletter import DeadLetters
from tests.fakes import elasticsearch as fakes
from tests.fakes.elasticsearch import FakeElasticsearch

SHIPPER = (sys.executable, "-m", "shipper")
SECS = 30


@pytest.fixture(autouse=True)
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A user with folders of its own, in a directory with some logs."""
    root = logging.getLogger()  # a command that runs in this process sets it up
    level, handlers = root.level, list(root.handlers)
    for variable in ("XDG_STATE_HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(variable, str(tmp_path / variable))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.chdir(tmp_path)
    write("logs/a.log", "one", "two")
    yield tmp_path
    root.setLevel(level)
    root.handlers[:] = handlers


def write(path: str, *lines: str) -> None:
    """Append lines as docker writes them."""
    Path(path).parent.mkdir(exist_ok=True)
    with Path(path).open("a") as file:
        for line in lines:
            stamp = {"stream": "stdout", "time": "2026-11-23T10:11:12.123456789Z"}
            file.write(json.dumps({"log": f"{line}\n", **stamp}, separators=(",", ":")) + "\n")


def shipper(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, as a process."""
    return subprocess.run(
        [*SHIPPER, *arguments], capture_output=True, check=False, timeout=SECS, encoding="utf-8"
    )


def piped(command: str) -> subprocess.CompletedProcess[str]:
    """Run a pipeline that begins with a command."""
    return subprocess.run(
        ["bash", "-c", f"{' '.join(SHIPPER)} {command}"],
        capture_output=True,
        check=False,
        timeout=SECS,
        encoding="utf-8",
    )


@contextmanager
def started(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Start a command; what is left of it at the end is killed."""
    with subprocess.Popen(
        [*SHIPPER, *arguments], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def texts(output: str) -> list[str]:
    return [json.loads(line)["log"] for line in output.splitlines()]


def until_says(process: subprocess.Popen[str], words: str) -> str:
    """Read the log up to a line with these words."""
    assert process.stderr is not None
    for line in process.stderr:
        if words in line:
            return line
    raise AssertionError(f"it ended without saying {words!r}")


# -- shipper run, as a process


def test_once_prints_documents_and_a_summary() -> None:
    """Documents alone on stdout, in order; what was done, and left out, in the summary."""
    write("logs/b.txt", "no log")
    done = shipper("run", "logs", "--once", "--output", "stdout")
    assert done.returncode == 0
    assert texts(done.stdout) == ["one\n", "two\n"]
    summary = done.stderr.splitlines()[-1]
    assert summary.startswith("delivered 2 documents from 1 file, 1")
    assert summary.endswith("(1 skipped: b.txt)")
    again = shipper("run", "logs", "--once", "--output", "stdout")
    assert (again.returncode, again.stdout) == (0, "")
    assert again.stderr.splitlines()[-1].startswith("nothing new in 1 file")
    forgotten = shipper("run", "logs", "--once", "--output", "stdout", "--from-beginning")
    assert texts(forgotten.stdout) == ["one\n", "two\n"]


def test_once_fails_where_a_file_could_not_be_read() -> None:
    """The rest is delivered; exit status and summary say that something is left."""
    Path("logs/a.log.2.gz").write_bytes(gzip.compress(b"zero\n")[:-8] + bytes(8))
    done = shipper("run", "logs", "--once", "--output", "stdout")
    assert done.returncode == 1
    assert {"one\n", "two\n"} <= set(texts(done.stdout))
    assert done.stderr.splitlines()[-1].endswith("(1 cannot be read: a.log.2.gz)")


def test_file_that_is_named_is_read_whatever_its_name() -> None:
    """Also one that is no *.log."""
    write("b.txt", "three")
    done = shipper("run", "b.txt", "--once", "--output=stdout")
    assert texts(done.stdout) == ["three\n"]


def test_reader_of_stdout_may_leave() -> None:
    """`| head -1` gets its line; no traceback, and the rest is kept for the next run."""
    write("logs/a.log", *(f"{number} {'x' * 1000}" for number in range(3000)))
    done = piped("run logs --once --output stdout | head -1")
    assert texts(done.stdout) == ["one\n"]
    assert done.stderr.splitlines()[-1] == (
        "shipper: standard output was closed; what is not written is kept for the next run"
    )
    assert "Traceback" not in done.stderr
    rest = shipper("run", "logs", "--once", "--output", "stdout")
    assert len(rest.stdout.splitlines()) == 3002, "no chunk was delivered whole"


def test_signal_ends_an_agent_in_good_order() -> None:
    """SIGTERM: everything is delivered, exit status 0."""
    with FakeElasticsearch().in_thread() as fake:
        with started("run", "logs", "--output", fake.url, "--listen", "off") as process:
            _until(lambda: len(fake.documents) == 2)
            process.send_signal(signal.SIGTERM)
            assert until_says(process, "stopping")
            assert process.wait(SECS) == 0
        assert len(fake.documents) == 2


def test_second_signal_ends_it_at_once() -> None:
    """While it delivers to a server that hangs, a second SIGTERM is not kept waiting."""
    with FakeElasticsearch(script=[fakes.take_and_hang] * 10).in_thread() as fake:
        with started("run", "logs", "--output", fake.url, "--listen", "off") as process:
            _until(lambda: len(fake.documents) == 2)
            process.send_signal(signal.SIGTERM)
            until_says(process, "stopping")
            process.send_signal(signal.SIGTERM)
            assert process.wait(SECS) == 128 + signal.SIGTERM
        fake.script.clear()
        done = shipper("run", "logs", "--once", "--output", fake.url)
        assert "delivered 2 documents" in done.stderr, "what was not acknowledged was kept"
        assert len(fake.documents) == 2


def _until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + SECS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_two_folders_are_followed_at_once() -> None:
    """Two ad-hoc agents have state of their own, and find a free port for their metrics."""
    write("other/b.log", "three")
    with FakeElasticsearch().in_thread() as fake:
        options = ("--output", fake.url, "--log-format", "plain")
        with started("run", "logs", *options) as one, started("run", "other", *options) as two:
            _until(lambda: len(fake.documents) == 3)
            for process in (one, two):
                process.send_signal(signal.SIGTERM)
                assert process.wait(SECS) == 0


def test_same_folder_twice_is_refused() -> None:
    """The second one says who has it and what to do, with exit status 3."""
    with FakeElasticsearch().in_thread() as fake:
        options = ("run", "logs", "--output", fake.url, "--listen", "off")
        with started(*options) as first:
            _until(lambda: len(fake.documents) == 2)
            second = shipper(*options)
            assert second.returncode == 3
            assert f"is in use by pid {first.pid}" in second.stderr
            assert "stop it, or choose another --state-dir" in second.stderr


def test_configured_agent_waits_for_the_one_before() -> None:
    """A rollout never loses a node: the new one takes over when the old one ends."""
    with FakeElasticsearch().in_thread() as fake:
        Path("c.yaml").write_text(
            f"state_dir: {Path.cwd()}/state\nsources: [{{paths: [{Path.cwd()}/logs]}}]\n"
            f"server: {{enabled: false}}\noutput: {{elasticsearch: {{url: '{fake.url}'}}}}\n"
        )
        with started("run", "--config", "c.yaml") as first:
            _until(lambda: len(fake.documents) == 2)
            with started("run", "--config", "c.yaml") as second:
                assert f"pid {first.pid}" in until_says(second, "waiting: ")
                first.send_signal(signal.SIGTERM)
                assert first.wait(SECS) == 0
                write("logs/a.log", "three")
                _until(lambda: len(fake.documents) == 3)


# -- errors


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["run"], 2, "nothing to follow"),
        (["run", "nowhere"], 2, "nowhere: no such file or directory"),
        (["run", "logs", "--output", "x:1"], 2, "http://x:1"),
        (["check", "--config", "none.yaml"], 2, "cannot be read"),
        (["deadletters", "ls"], 2, "--state-dir DIR or --config FILE"),
        (["deadletters", "ls", "--state-dir", "."], 1, "no document was ever refused"),
        (["status", "--listen", "127.0.0.1:1"], 1, "no agent is running"),
        (["status", "--listen", "here"], 2, "--listen: must be IP-ADDRESS:PORT"),
        (["status", "--state-dir", "nowhere"], 1, "no agent is running on nowhere"),
        (["status", "--config", "none.yaml"], 2, "cannot be read"),
        (["search", "x", "--limit", "0"], 2, "limit 0"),
        (["search", '"x'], 2, "quotes"),
        (["search", "x"], 1, "there is no store"),
    ],
)
def test_error_is_one_message_with_an_exit_status(
    capsys: pytest.CaptureFixture[str], arguments: list[str], status: int, words: str
) -> None:
    """What is wrong is said in one message on stderr, with what to do; nothing was touched."""
    assert main(arguments) == status
    out, err = capsys.readouterr()
    assert not out
    assert err.startswith("shipper: ")
    assert words in err
    assert not list(Path().glob("XDG*"))


@pytest.mark.parametrize("arguments", [[], ["fly"], ["run", "--nope"], ["deadletters"]])
def test_unknown_usage_is_exit_status_2(arguments: list[str]) -> None:
    """The parser's own errors have the status of the configuration's."""
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2


def test_changed_output_is_exit_status_3(capfd: pytest.CaptureFixture[str]) -> None:
    """Documents in the buffer that were for another output need a decision."""
    away = ("--once", "--output", "http://127.0.0.1:9", "--state-dir", "s")
    with started("run", "logs", *away, "--log-format", "plain") as process:
        until_says(process, "they stay in the buffer")
        _until(lambda: list(Path("s/chunks").glob("*.gz")))
        process.send_signal(signal.SIGTERM)
        assert process.wait(SECS) == 0
    assert main(["run", "logs", "--once", "--output", "stdout", "--state-dir", "s"]) == 3
    out, err = capfd.readouterr()
    assert not out
    assert "2 documents in" in err
    assert "--move-buffer" in err
    moved = ["run", "logs", "--once", "--output", "stdout", "--state-dir", "s", "--move-buffer"]
    assert main(moved) == 0
    assert texts(capfd.readouterr().out) == ["one\n", "two\n"]


# -- other commands


def test_check_prints_what_is_in_effect_without_secrets(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Variables and defaults are filled in; a password is stars."""
    monkeypatch.setenv("ES_PASSWORD", "s3cret")
    Path("c.yaml").write_text(
        "output:\n  elasticsearch:\n    username: u\n    password: ${ES_PASSWORD}\n"
    )
    assert main(["check", "--config", "c.yaml"]) == 0
    out, err = capsys.readouterr()
    assert "url: http://127.0.0.1:9200\n" in out
    assert "password: '**********'\n" in out
    assert "s3cret" not in out + err


def test_status_asks_the_running_agent() -> None:
    """It is found by its state directory, whatever port it has; after its end none is there."""
    listen = ("--listen", "127.0.0.1:0", "--log-format", "plain")
    with started("run", "logs", "--output", "stdout", "--state-dir", "s", *listen) as process:
        until_says(process, "state is in")
        _until(lambda: "2 documents" in shipper("status", "--state-dir", "s").stdout)
        told = shipper("status", "--state-dir", "s")
        assert (told.returncode, told.stderr) == (0, "")
        assert told.stdout.splitlines()[-1].split()[0] == str(Path("logs/a.log").absolute())
        document = json.loads(shipper("status", "--state-dir", "s", "--json").stdout)
        assert document["totals"]["delivered"] == 2
        assert shipper("status", "--state-dir", "s", "--files").returncode == 0
        assert shipper("health", "--state-dir", "s").stdout == "alive\n"
        Path("c.yaml").write_text(f"state_dir: {Path('s').absolute()}\n")
        assert shipper("status", "--config", "c.yaml").stdout.startswith("shipper   ")
        process.kill()
        process.wait()
    assert shipper("health", "--state-dir", "s").returncode == 1
    gone = shipper("status", "--state-dir", "s")
    assert gone.returncode == 1
    assert gone.stderr.startswith("shipper: no agent is running on s: ")


def test_dead_letters_are_listed_and_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """`ls` has a line for each, `show` the document as it was sent."""
    letters = DeadLetters(Path("dead.db"), max_bytes=1 << 20)
    why = Refusal(0, 400, "mapper_parsing_exception", "failed to parse field [n]")
    action = b'{"create":{"_index":"logs","_id":"i-%d"}}'
    letters.keep([(action % number, b'{"n":%d}' % number, why) for number in range(3)])
    assert main(["deadletters", "ls", "--state-dir", "."]) == 0
    rows = capsys.readouterr().out.splitlines()
    assert [row.split()[0] for row in rows] == ["1", "2", "3"]
    assert all(
        row.endswith("400  mapper_parsing_exception: failed to parse field [n]") for row in rows
    )
    assert main(["deadletters", "show", "2", "--state-dir", "."]) == 0
    assert capsys.readouterr().out.splitlines()[1:] == ["_id i-1", '{"n":1}']
    assert main(["deadletters", "show", "9", "--state-dir", "."]) == 1
    assert "no dead letter 9" in capsys.readouterr().err
    letters.close()


def test_local_store_is_filled_and_searched(capsys: pytest.CaptureFixture[str]) -> None:
    """`run PATH` and `search` agree on where the store is."""
    assert main(["run", "logs", "--once", "--log-level", "error"]) == 0
    assert main(["search", "two"]) == 0
    out, _ = capsys.readouterr()
    assert out.rstrip().endswith("| two")
    assert main(["search", "--json", "one"]) == 0
    assert json.loads(capsys.readouterr().out)["_source"]["log"] == "one\n"
    assert main(["search", "nothing"]) == 0
    assert capsys.readouterr().err.startswith("nothing found in ")


def test_reader_of_a_list_may_leave() -> None:
    """`| head` of a long list is no error."""
    letters = DeadLetters(Path("dead.db"), max_bytes=1 << 30)
    why = Refusal(0, 400, "t", "x" * 1000)
    action = b'{"create":{"_index":"logs","_id":"i-%d"}}'
    letters.keep([(action % number, b"{}", why) for number in range(2000)])
    letters.close()
    done = piped("deadletters ls --state-dir . | head -1; exit ${PIPESTATUS[0]}")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("1  ")


def test_version_and_help_name_the_exit_status(capsys: pytest.CaptureFixture[str]) -> None:
    """`--help` is where a newcomer looks first."""
    for option in ("--version", "--help"):
        with pytest.raises(SystemExit) as end:
            main([option])
        assert end.value.code == 0
    out = capsys.readouterr().out
    assert out.startswith("shipper ")
    assert "exit status: 0 done, 1 failure, 2 usage or configuration, 3 state" in out
