"""Corpora of container logs, the same bytes for the same parameters.

Owns what a benchmark's input looks like: the mix of lines (half access log, three tenths JSON, the
rest klog and stack frames; a tenth on stderr; a tenth with a letter beyond ASCII), their times, and
the names of the files. Each file is drawn from its own seed, so its content does not depend on how
many others there are.
"""

import argparse
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from random import Random
from typing import Protocol

DAY = "2026-11-23"
_START_SECS = 2 * 3600
# Mean distance of two lines of one file. 22 hours hold 396 million of them, so a corpus stays
# inside its day, as the yardstick demands of every block.
_MEAN_STEP_NS = 200_000
_LINES_PER_WRITE = 10_000

_PATHS = ("/api/v1/users", "/healthz", "/checkout", "/static/js/app.9f2c.js", "/search?q=caf\u00e9")
_LEVELS = ("info", "warn", "error")
_STREAMS = ("stdout",) * 9 + ("stderr",)
_BROWSER = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36"


class LineFormat(Protocol):
    """How a container runtime writes one message into its log file."""

    def __call__(self, message: str, /, *, stream: str, time: str) -> str:
        """Return the line, with its newline."""


_quote = json.JSONEncoder(ensure_ascii=False).encode


@dataclass(frozen=True, slots=True)
class Corpus:
    """A directory of log files that were written for a benchmark."""

    directory: Path
    lines: int
    size_bytes: int


def docker_line(message: str, /, *, stream: str, time: str) -> str:
    """Return the line that docker's json-file driver writes for one message.

    Source: Go's encoding/json escapes <, > and & (HTML safety) and leaves other letters as UTF-8.
    """
    log = _quote(message).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    return f'{{"log":{log},"stream":"{stream}","time":"{time}"}}\n'


def cri_line(message: str, /, *, stream: str, time: str) -> str:
    """Return the line that containerd writes for one message."""
    return f"{time} {stream} F {message}"


LINE_FORMATS: Mapping[str, LineFormat] = {"docker": docker_line, "cri": cri_line}


def file_name(index: int, *, seed: int = 7, namespace: str = "shop", container: str = "web") -> str:
    """Return the name that kubelet's symlink has in /var/log/containers for one container."""
    container_id = Random(f"id/{seed}/{index}").getrandbits(256)
    return f"web-7d4f8c9b6-x{index}abc_{namespace}_{container}-{container_id:064x}.log"


def write_corpus(
    directory: Path,
    *,
    lines: int,
    files: int = 10,
    day: str = DAY,
    seed: int = 7,
    line_format: LineFormat = docker_line,
) -> Corpus:
    """Write ``lines`` lines, spread evenly over ``files`` files, and sync them to the disk."""
    directory.mkdir(parents=True, exist_ok=True)
    size_bytes = 0
    for index in range(files):
        count = lines * (index + 1) // files - lines * index // files
        content = islice(_lines(Random(f"{seed}/{index}"), day, line_format=line_format), count)
        size_bytes += _write_file(directory / file_name(index, seed=seed), content)
    return Corpus(directory, lines, size_bytes)


def _write_file(path: Path, content: Iterator[str]) -> int:
    with path.open("wb") as out:
        while piece := "".join(islice(content, _LINES_PER_WRITE)):
            out.write(piece.encode())
        # Written back now: the kernel would do it later, beside the fdatasync of the agent that is
        # being measured.
        out.flush()
        os.fsync(out.fileno())
        return out.tell()


def _lines(rng: Random, day: str, *, line_format: LineFormat) -> Iterator[str]:
    draw = rng.random
    now_ns = _START_SECS * 10**9
    while True:
        now_ns += 1 + int(draw() * 2 * _MEAN_STEP_NS)
        secs = now_ns // 10**9
        message = _MIX[int(draw() * len(_MIX))](rng, secs)
        stream = _STREAMS[int(draw() * len(_STREAMS))]
        yield line_format(message, stream=stream, time=f"{day}T{_time_of_day(now_ns)}Z")


def _time_of_day(now_ns: int) -> str:
    """Return the time as Go's RFC3339Nano has it: a fraction without trailing zeros, or none."""
    secs, fraction = divmod(now_ns, 10**9)
    text = f"{secs // 3600:02d}:{secs // 60 % 60:02d}:{secs % 60:02d}.{fraction:09d}"
    return text.rstrip("0").rstrip(".")


def _access_line(rng: Random, secs: int) -> str:
    draw = rng.random
    return (
        f"10.244.{int(draw() * 256)}.{int(draw() * 256)} - - "
        f"[23/Nov/2026:02:{secs // 60 % 60:02d}:{secs % 60:02d} +0000] "
        f'"GET {_PATHS[int(draw() * 5)]} HTTP/1.1" 200 {100 + int(draw() * 99900)} '
        f'"-" "{_BROWSER}" {draw():.3f}\n'
    )


def _json_line(rng: Random, secs: int) -> str:
    draw = rng.random
    return (
        f'{{"level": "{_LEVELS[int(draw() * 3)]}", "ts": {1795312800 + secs + draw():.6f}, '
        f'"msg": "request handled", "request_id": "{rng.getrandbits(128):032x}", '
        f'"latency_ms": {1 + int(draw() * 999)}, '
        f'"user": {{"id": {1 + int(draw() * 1e6)}, "plan": "pro"}}}}\n'
    )


def _klog_line(rng: Random, secs: int) -> str:
    draw = rng.random
    return (
        f"I1123 02:{secs // 60 % 60:02d}:{secs % 60:02d}.{int(draw() * 1e6):06d}       1 "
        f'controller.go:{1 + int(draw() * 999)}] Reconciling "default/web-{int(draw() * 51)}" '
        f"took {1 + int(draw() * 500)}ms\n"
    )


def _stack_frame(rng: Random, _secs: int) -> str:
    line = 1 + int(rng.random() * 900)
    return f"\tat com.example.service.OrderHandler.handle(OrderHandler.java:{line})\n"


_MIX: tuple[Callable[[Random, int], str], ...] = (
    *[_access_line] * 10,
    *[_json_line] * 6,
    *[_klog_line] * 3,
    _stack_frame,
)


def main() -> None:
    """Write a corpus into a directory and say how large it is."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.corpus", description=main.__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--lines", type=int, default=2_000_000)
    parser.add_argument("--files", type=int, default=10)
    parser.add_argument(
        "--day", default=DAY, help="the UTC day of every line (default %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--format", choices=LINE_FORMATS, default="docker")
    options = parser.parse_args()
    corpus = write_corpus(
        options.directory,
        lines=options.lines,
        files=options.files,
        day=options.day,
        seed=options.seed,
        line_format=LINE_FORMATS[options.format],
    )
    print(f"{corpus.lines} lines, {corpus.size_bytes / 1e6:.0f} MB in {corpus.directory}")


if __name__ == "__main__":
    main()
