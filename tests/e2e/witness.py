"""Sees every generation of log files that a runtime rotates, and keeps a copy of each.

Theory of operation: a process looks at each live path every millisecond, before all others that
want the processor. When that shows another file, the one before, which is open here, is final: a
thread, since disks may be slow, copies and closes it, so that its inode is used again as it would
be without a witness. No link is made, since the agent looks at link counts. A generation that came
and went between two looks is missing here; whoever uses the copies has to hold them against what
was written.
"""

import os
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tests.e2e.program import Program, program

LOOK_SECS = 0.001


@dataclass(slots=True)
class Series:
    """The generations of one path, and the folder that takes their copies."""

    live: Path
    folder: Path
    copier: ThreadPoolExecutor
    copies: int = 0
    file: IO[bytes] | None = None
    inode: int = 0

    def look(self) -> None:
        """Open the live file if it is another than the one that is open, which is done then."""
        with suppress(FileNotFoundError):  # a rotation is on its way
            if self.file is not None and self.live.stat().st_ino == self.inode:
                return
            file = self.live.open("rb")
            self.finish()
            self.file, self.inode = file, os.fstat(file.fileno()).st_ino

    def finish(self) -> None:
        """Have what is open copied and closed."""
        if self.file is not None:
            self.copier.submit(copy, self.file, self.folder / f"{self.copies:06}")
            self.copies += 1
        self.file = None


def copy(file: IO[bytes], to: Path) -> None:
    """Copy a file, and close it."""
    with file, to.open("wb") as target:
        shutil.copyfileobj(file, target, 1 << 20)


def main(out: Path, lives: Sequence[Path]) -> None:
    """Look until standard input ends."""
    with ThreadPoolExecutor(1) as copier:
        every = [Series(live, out / live.name, copier) for live in lives]
        for series in every:
            series.folder.mkdir(parents=True)
            series.look()
        copier.submit(int).result()  # its thread is there, and is to stay as it is
        with suppress(PermissionError):
            os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
        os.set_blocking(0, False)
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        while not _ended():
            for series in every:
                series.look()
            time.sleep(LOOK_SECS)
        for series in every:
            series.look()
            series.finish()


def _ended() -> bool:
    try:
        return not os.read(0, 1)
    except BlockingIOError:
        return False


# -- what a test sees of it


@dataclass(frozen=True, slots=True)
class Witness:
    """The witness as a process."""

    process: Program
    out: Path

    def stop(self) -> None:
        """End it; every generation is copied then, the live one, too."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        assert self.process.wait(60) == 0

    def generations(self, live: Path) -> list[bytes]:
        """What the generations of a path held, oldest first."""
        return [path.read_bytes() for path in sorted((self.out / live.name).iterdir())]


@contextmanager
def witnessing(out: Path, lives: Sequence[Path]) -> Iterator[Witness]:
    """Start the witness of these live files; it is killed at the end unless it was stopped."""
    with program("witness", str(out), *map(str, lives)) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield Witness(process, out)


if __name__ == "__main__":
    main(Path(sys.argv[1]), [Path(path) for path in sys.argv[2:]])
