"""Cold: what is not in the system's memory is fetched by a thread, and the event loop goes on."""

import asyncio
import errno
import os
import threading
from pathlib import Path

import pytest

from shipper.source.cold import fetched
from tests.source.logs import Logs, append
from tests.source.running import until

MEBIBYTE = 1 << 20

pytestmark = pytest.mark.skipif(not hasattr(os, "RWF_NOWAIT"), reason="Linux alone can tell")


class SlowDisk:
    """The system's calls, for one file of which nothing is in memory from an offset on.

    Attributes:
        answers: Set when the disk does; what was read then is in memory.
        asked: Whether a thread waits, or has waited, for the disk.
        waited_in_loop: Whether the event loop did.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
        """Let all of the file be in memory."""
        self.answers = threading.Event()
        self.asked = self.waited_in_loop = False
        self._place = os.stat(path).st_ino  # noqa: PTH116
        self._hot_bytes: float = float("inf")
        self._pread, self._preadv = os.pread, os.preadv
        monkeypatch.setattr(os, "pread", self._read)
        monkeypatch.setattr(os, "preadv", self._read_at_once)

    def begin(self, offset: int) -> None:
        """Let nothing be in memory from here on."""
        self._hot_bytes = offset

    def _read(self, descriptor: int, size: int, offset: int) -> bytes:
        if self._is_cold(descriptor, offset + size):
            if threading.current_thread() is threading.main_thread():
                self.waited_in_loop = True
            else:
                self.asked = True
                assert self.answers.wait(10)
                self._hot_bytes = offset + size
        return self._pread(descriptor, size, offset)

    def _read_at_once(
        self, descriptor: int, buffers: list[bytearray], offset: int, flags: int
    ) -> int:
        assert flags == os.RWF_NOWAIT
        if self._is_cold(descriptor, offset + 1):
            raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")
        return self._preadv(descriptor, buffers, offset)

    def _is_cold(self, descriptor: int, end: int) -> bool:
        return os.fstat(descriptor).st_ino == self._place and end > self._hot_bytes


def test_disk_that_does_not_answer_holds_up_its_own_file_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others are read meanwhile; when it answers, its lines are there as well."""
    logs = Logs(tmp_path)
    other = logs.directory / "b.log"
    logs.live.write_bytes(b"first\n")
    disk = SlowDisk(monkeypatch, logs.live)

    async def follow() -> None:
        async with logs.agent():
            await until(lambda: logs.logs == ["first"])
            disk.begin(len(b"first\n"))
            append(logs.live, b"slow\n" * 1_000)
            await until(lambda: disk.asked)
            append(other, b"quick\n")
            await until(lambda: "quick" in logs.logs)
            assert "slow" not in logs.logs
            disk.answers.set()
            await logs.has_only("first", "quick", *["slow"] * 1_000)

    asyncio.run(follow())
    assert not disk.waited_in_loop
    assert logs.lost() == {}


@pytest.mark.parametrize("hot_bytes", [0, 10 * MEBIBYTE - 1])
def test_what_is_cold_at_its_beginning_or_end_is_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hot_bytes: int
) -> None:
    """All that will be read is in memory then, and some of what follows."""
    path = tmp_path / "a.log"
    path.write_bytes(bytes(10 * MEBIBYTE))
    disk = SlowDisk(monkeypatch, path)
    disk.begin(hot_bytes)
    disk.answers.set()
    descriptor = os.open(path, os.O_RDONLY)
    asyncio.run(fetched(descriptor, range(9 * MEBIBYTE, 10 * MEBIBYTE)))
    assert disk.asked
    disk.asked = False
    asyncio.run(fetched(descriptor, range(9 * MEBIBYTE, 10 * MEBIBYTE)))
    assert not disk.asked
    os.close(descriptor)


def test_real_file_that_left_memory_is_fetched(tmp_path: Path) -> None:
    """The system says so, and then that it is there; or it cannot tell."""
    path = tmp_path / "a.log"
    path.write_bytes(b"x" * MEBIBYTE)
    descriptor = os.open(path, os.O_RDWR)
    os.fsync(descriptor)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    asyncio.run(fetched(descriptor, range(MEBIBYTE)))
    buffer = bytearray(MEBIBYTE)
    try:
        assert os.preadv(descriptor, [buffer], 0, os.RWF_NOWAIT) == MEBIBYTE
    except OSError as error:
        assert error.errno == errno.EOPNOTSUPP  # noqa: PT017
    os.close(descriptor)


@pytest.mark.parametrize("fault", [errno.EOPNOTSUPP, errno.EIO, errno.EBADF])
def test_nothing_is_fetched_where_nobody_can_tell(
    monkeypatch: pytest.MonkeyPatch, fault: int
) -> None:
    """Whoever reads meets what is wrong, as ever."""

    def fails(*_: object) -> int:
        raise OSError(fault, os.strerror(fault))

    monkeypatch.setattr(os, "preadv", fails)
    monkeypatch.setattr(os, "pread", fails)
    asyncio.run(fetched(0, range(MEBIBYTE)))
