"""The README's first screen, word by word, on a fresh clone: it does what it says."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from tests.servers.process import is_free, wait_until

REPOSITORY = Path(__file__).parents[2]
INSTALL_SECS = 300.0
"""A virtual environment with all that the lock names, over a slow line."""
SECONDS = 60.0
PORT = 9880
OF_THE_OUTER_MAKE = ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES")
OF_ITS_COMMAND_LINE = ("VENV", "PYTHON", "LOGS", "OUTPUT", "ARGS")


def first_commands(text: str) -> list[str]:
    """The commands of the first block of shell in a page; with prompts, the lines behind them."""
    block = re.search(r"^```(?:sh|console|bash)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert block is not None, "README.md has no block of commands"
    lines = [line for line in block[1].splitlines() if line.strip()]
    behind_prompts = [line[2:] for line in lines if line.startswith("$ ")]
    return behind_prompts or lines


def clone(to: Path) -> None:
    """Copy what git has, or would have with the next commit."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY,
        capture_output=True,
        check=True,
    )
    for name in map(os.fsdecode, listed.stdout.split(b"\0")):
        if (REPOSITORY / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(REPOSITORY / name, to / name)


@pytest.fixture
def newcomer(tmp_path: Path) -> dict[str, str]:
    """An environment without what this test run is called with, and without the user's state."""
    dropped = {*OF_THE_OUTER_MAKE, *OF_ITS_COMMAND_LINE, "CI"}
    kept = {name: value for name, value in os.environ.items() if name not in dropped}
    folders = {f"XDG_{name}_HOME": str(tmp_path / name) for name in ("STATE", "DATA")}
    return {**kept, **folders, "TERM": "xterm", "COLUMNS": "120", "LINES": "40"}


@contextmanager
def on_a_terminal(command: str, *, cwd: Path, env: dict[str, str], screen: Path) -> Iterator[None]:
    """Run a command as in a terminal's window; at the end, Ctrl-C is pressed."""
    with subprocess.Popen(
        ["script", "--quiet", "--flush", "--command", command, str(screen)],
        cwd=cwd,
        env=env,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    ) as terminal:
        try:
            yield
            terminal.communicate(b"\x03", timeout=SECONDS)
        finally:
            terminal.kill()


def run(command: str, *, cwd: Path, env: dict[str, str]) -> str:
    """Run a command as in a second window; what it prints, nothing where it fails."""
    done = subprocess.run(
        ["bash", "-c", command], cwd=cwd, env=env, capture_output=True, check=False, text=True
    )
    return done.stdout if done.returncode == 0 else ""


def answers(command: str, *, cwd: Path, env: dict[str, str]) -> bool:
    """Whether a command prints something."""
    return bool(run(command, cwd=cwd, env=env).strip())


@pytest.mark.timeout(600)
def test_first_screen_works_word_by_word(tmp_path: Path, newcomer: dict[str, str]) -> None:
    """On a fresh clone each command of the README's first block does what is said of it."""
    checkout, screen = tmp_path / "shipper", tmp_path / "screen"
    clone(checkout)
    first, *others = first_commands((checkout / "README.md").read_text(encoding="utf-8"))
    assert first.startswith("make run")
    assert any("shipper search" in other for other in others)
    assert any("/metrics" in other for other in others)
    wait_until(lambda: is_free(PORT), seconds=SECONDS, what=f"port {PORT}, which others use")
    with on_a_terminal(first, cwd=checkout, env=newcomer, screen=screen):

        def shown() -> str:
            return screen.read_text(errors="replace") if screen.exists() else ""

        wait_until(lambda: "following" in shown(), seconds=INSTALL_SECS, what="the live view")
        for other in others:
            wait_until(
                partial(answers, other, cwd=checkout, env=newcomer),
                seconds=SECONDS,
                what=f"an answer to `{other}`",
            )
        wait_until(lambda: "docs/s" in shown(), seconds=SECONDS, what="the speed")
        metrics = next(other for other in others if "/metrics" in other)
        assert "shipper_delivered_documents_total" in run(metrics, cwd=checkout, env=newcomer)
        assert "behind" in shown()
        assert "shipper search" in shown()
    wait_until(lambda: is_free(PORT), seconds=SECONDS, what="the end of the agent")


def test_tests_that_the_readme_names_can_be_made() -> None:
    """`make test` is a target."""
    subprocess.run(["make", "--dry-run", "test"], cwd=REPOSITORY, capture_output=True, check=True)
