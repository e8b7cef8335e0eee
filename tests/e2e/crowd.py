"""A noisy pod and a hundred quiet ones, as two programs.

The noisy one writes as many bytes a second as it is told to, and rotates its file by rename at
64 MiB; three generations are kept, so what is not read in time is gone, and the disk stays bounded.
The quiet ones write a line a second each, with the time in it; at SIGTERM the program says how many
those were.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

from benchmarks.corpus import docker_line, file_name
from tests.e2e.program import Program, program, stop, until_stopped

GENERATION_BYTES = 64 << 20
KEPT_GENERATIONS = 3
BLOCK_LINES = 4_000
NOISY = 1_000
"""Number of the noisy pod; those of the others begin at 0."""


def main() -> None:
    """Run one of the two."""
    parser = argparse.ArgumentParser()
    parser.add_argument("directory", type=Path)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--noise-bytes-per-sec", type=float)
    what.add_argument("--quiet-files", type=int)
    chosen = parser.parse_args()
    if chosen.quiet_files:
        lines = whisper(chosen.directory, chosen.quiet_files)
        sys.stdout.write(json.dumps({"lines": lines}))
    else:
        written = shout(chosen.directory, chosen.noise_bytes_per_sec)
        sys.stdout.write(json.dumps({"bytes": written}))


def whisper(directory: Path, files: int) -> int:
    """Write a line a second to each file, one file after the other; returns how many lines."""
    open_files = [FileIO(directory / file_name(number), "a") for number in range(files)]
    started, lines = time.monotonic(), 0
    for _ in until_stopped():
        time.sleep(max(0.0, started + lines / files - time.monotonic()))
        now_ns = time.time_ns()
        line = docker_line(f"all is well lat={now_ns}\n", stream="stdout", time=_stamp(now_ns))
        open_files[lines % files].write(line.encode())
        lines += 1
    return lines


def shout(directory: Path, bytes_per_sec: float) -> int:
    """Write at this pace; returns how many bytes."""
    path, block = directory / file_name(NOISY), _block()
    started, written = time.monotonic(), 0
    file = FileIO(path, "a")
    for number in until_stopped():
        if file.tell() >= GENERATION_BYTES or not number:
            file.close()
            _rotate(path)
            file = FileIO(path, "a")
            first = f"generation {number}\n"  # no two begin alike
            written += file.write(
                docker_line(first, stream="stdout", time=_stamp(time.time_ns())).encode()
            )
        written += file.write(block)
        time.sleep(max(0.0, started + written / bytes_per_sec - time.monotonic()))
    return written


def _rotate(path: Path) -> None:
    for number in range(KEPT_GENERATIONS, 0, -1):
        older = path.with_name(f"{path.name}.{number}")
        newer = path.with_name(f"{path.name}.{number - 1}") if number > 1 else path
        if newer.exists():
            newer.rename(older)


def _block() -> bytes:
    now_ns = time.time_ns()
    lines = [
        docker_line(
            f'10.0.{n % 256}.{n * 7 % 256} - - "GET /api/v1/users/{n * 7919} HTTP/1.1" 200 {n}\n',
            stream="stdout",
            time=_stamp(now_ns + n * 1_000),
        )
        for n in range(BLOCK_LINES)
    ]
    return "".join(lines).encode()


def _stamp(now_ns: int) -> str:
    secs, nanos = divmod(now_ns, 10**9)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(secs))}.{nanos:09d}Z"


# -- what a test sees of it


@dataclass(frozen=True, slots=True)
class Writer:
    """One of the two, at work."""

    process: Program

    def stop(self) -> int:
        """End it with a whole line; returns how much it has written: lines, or bytes."""
        (much,) = json.loads(stop(self.process)).values()
        return int(much)


@contextmanager
def writing(directory: Path, *how: str) -> Iterator[Writer]:
    """Start one of the two; it is killed at the end unless it was stopped."""
    directory.mkdir(parents=True, exist_ok=True)
    with program("crowd", str(directory), *how) as process:
        yield Writer(process)


if __name__ == "__main__":
    main()
