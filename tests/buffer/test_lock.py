"""The lock of a state directory, against a second process."""

import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shipper.buffer.lock import StateLock

HOLDER = """
import sys, time
from pathlib import Path
from shipper.buffer.lock import StateLock
lock = StateLock(Path(sys.argv[1]))
print(lock.acquire(), flush=True)
sys.stdin.read()
"""


@contextmanager
def _second_process(state_dir: Path) -> Iterator[tuple[subprocess.Popen[str], bool]]:
    """Run a process that tries to take the lock, and keeps it until it ends."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(state_dir)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            yield process, process.stdout.readline() == "True\n"
        finally:
            process.kill()


def test_second_process_does_not_get_it(tmp_path: Path) -> None:
    """A lock that is held is held against another process, until it is released."""
    lock = StateLock(tmp_path)
    assert lock.acquire()
    with _second_process(tmp_path) as (_, acquired):
        assert not acquired
    lock.release()
    with _second_process(tmp_path) as (_, acquired):
        assert acquired


def test_killed_process_frees_it(tmp_path: Path) -> None:
    """I7: a killed holder leaves nothing that stops the next one."""
    lock = StateLock(tmp_path)
    with _second_process(tmp_path) as (process, acquired):
        assert acquired
        assert not lock.acquire()
        assert lock.holder().startswith(f"pid {process.pid} on ")
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert lock.acquire()
    lock.release()


def test_holder_is_named(tmp_path: Path) -> None:
    """The lock's file says who holds it, and is its owner's alone."""
    lock = StateLock(tmp_path)
    assert lock.holder() == "another process"
    (tmp_path / "lock").write_text("pid 4711 on " + "x" * 90)
    assert lock.acquire()
    assert "4711" not in lock.holder()
    assert stat.S_IMODE((tmp_path / "lock").stat().st_mode) == 0o600
    lock.release()
