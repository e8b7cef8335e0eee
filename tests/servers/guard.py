"""Ends a server whose test run ended without saying so (SIGKILL, a timeout, a lost terminal).

`process.py` runs this file beside each server, with a pipe as its input that the test run holds
open. The end of that pipe means that the test run is gone: only then does the guard act. In a
normal stop the test run kills the guard first.

A signal at the parent's death (PR_SET_PDEATHSIG) would not do: it follows the death of the thread
that made the server, and pytest and asyncio make servers in threads that end.
"""

import os
import shutil
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

DYING_SECONDS = 10.0
"""How long a killed server may go on writing into its folder (it flushes; the kernel frees)."""


def sweep(folder: Path) -> None:
    """Removes a run folder, and the control groups that carry its name, whatever is left of them.

    Retries while something that is dying still writes there, then gives up in silence: what is
    left is a folder under /tmp.
    """
    deadline = time.monotonic() + DYING_SECONDS
    while True:
        shutil.rmtree(folder, ignore_errors=True)
        _remove_cgroups(folder.name)
        if not folder.exists() or time.monotonic() > deadline:
            return
        time.sleep(0.1)


def _remove_cgroups(name: str) -> None:
    root = Path("/sys/fs/cgroup")
    for group in (*root.glob(name), *root.glob(f"*/{name}")):  # version 2, version 1
        for path, _, _ in os.walk(group, topdown=False):
            with suppress(OSError):
                Path(path).rmdir()


def main(process_group: int, folder: Path) -> None:
    """Waits for the end of the input, then kills the process group and removes the folder."""
    sys.stdin.buffer.read()
    with suppress(ProcessLookupError):
        os.killpg(process_group, signal.SIGKILL)
    sweep(folder)


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
