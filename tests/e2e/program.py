"""Programs of these tests that run beside the agent, each a module of this package."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

Program = subprocess.Popen[bytes]
STOP_SECS = 60.0


@contextmanager
def program(name: str, *arguments: str) -> Iterator[Program]:
    """Start a module; it is killed at the end, unless it has ended.

    It reads what is written to it, and what it prints can be read.
    """
    with subprocess.Popen(
        [sys.executable, "-m", f"tests.e2e.{name}", *arguments],
        cwd=Path(__file__).parents[2],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def stop(process: Program) -> bytes:
    """Tell a program to end in good order; returns what it has printed."""
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=STOP_SECS)
    return said


def until_stopped() -> Iterator[int]:
    """Count, inside of such a program, until it is told to end, or whoever started it has ended."""
    stopping: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: stopping.append(number))
    parent = os.getppid()
    for number in count():
        if stopping or os.getppid() != parent:
            return
        yield number
