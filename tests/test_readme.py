"""The README's first screen does what it says; tests/e2e does it on a fresh clone."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.pages import blocks

ROOT = Path(__file__).parents[1]


def test_first_screen_works(tmp_path: Path) -> None:
    """The README's first block runs, each further line of it beside the first."""
    port = _free_port()
    venv = sys.prefix
    # What is installed already is not installed anew, nothing is left in the checkout, and another
    # agent may have the usual port.
    run = (
        f"make --old-file={venv}/.runtime-installed run VENV={venv} SAMPLE={tmp_path}/sample"
        f" ARGS='--listen 127.0.0.1:{port}'"
    )
    first, *others = _first_block()
    assert first.startswith("make run")
    with _running(first.replace("make run", run), ROOT, tmp_path):
        for line in others:
            here = line.replace(".venv/bin/", f"{venv}/bin/").replace(":9880", f":{port}")
            _until_it_says_something(here, ROOT, tmp_path, secs=30)


def _first_block() -> list[str]:
    return blocks((ROOT / "README.md").read_text(), "sh")[0].splitlines()


@contextmanager
def _running(command: str, directory: Path, home: Path) -> Iterator[None]:
    """Run a command in a process group of its own, and end all of it."""
    log = home / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            ["sh", "-c", command],
            cwd=directory,
            env=_environ(home),
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
        try:
            yield
            assert process.poll() is None, log.read_text()
        finally:
            os.killpg(process.pid, 15)
            process.wait()


def _until_it_says_something(command: str, directory: Path, home: Path, *, secs: float) -> None:
    deadline = time.monotonic() + secs
    while True:
        done = subprocess.run(
            ["sh", "-c", command],
            check=False,
            cwd=directory,
            env=_environ(home),
            capture_output=True,
            text=True,
        )
        if done.returncode == 0 and done.stdout.strip():
            return
        assert time.monotonic() < deadline, (command, done, (home / "log").read_text())
        time.sleep(0.2)


def _environ(home: Path) -> dict[str, str]:
    # What `make test` was called with is not what the reader's `make run` is called with.
    foreign = ("XDG_", "MAKE", "MFLAGS", "VENV", "PYTHON", "LOGS", "OUTPUT", "ARGS")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    return {**kept, "HOME": str(home)}


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
