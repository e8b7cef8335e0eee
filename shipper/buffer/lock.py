"""One agent per state directory: a lock that the kernel drops with its holder.

`flock`, not a pid file: it has to hold across containers that share the directory, and a killed
agent must leave nothing that stops the next one.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path

_FILE = "lock"


class StateLock:
    """The lock of a state directory."""

    def __init__(self, state_dir: Path) -> None:
        """Open the lock's file.

        Raises:
            OSError: The directory cannot be written.
        """
        self._path = state_dir / _FILE
        self._fd = os.open(self._path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)

    def acquire(self) -> bool:
        """Take the lock if it is free; it is held until `release` or the process's end."""
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        with contextlib.suppress(OSError):  # a full disk: the lock holds, only its text is missing
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, f"pid {os.getpid()} on {os.uname().nodename}".encode(), 0)
        return True

    def holder(self) -> str:
        """Return who said last that it holds the lock."""
        return os.pread(self._fd, 200, 0).decode(errors="replace") or "another process"

    def release(self) -> None:
        """Give the lock back."""
        os.close(self._fd)
