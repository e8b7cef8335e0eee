"""Numbered lines: a program that keeps writing logs of which every line is known beforehand.

Theory of operation: it owns a directory with two series. One is a container's: docker's json-file
format, two streams, and now and then a line of 38 KiB in parts, between which the other stream goes
on. The other is plain text: each generation begins with the same banner, and now and then a line
is written in two halves. Both are rotated by rename wherever that falls: between the parts of a
line, and between two halves, of which the second still goes into the renamed file. No generation
is removed. At SIGTERM it says how much it has written.

`Written.faults` holds documents against that: all lines, each exactly once, byte by byte.
"""

import argparse
import hashlib
import json
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path
from typing import Any

from tests.e2e.program import Program, program, stop, until_stopped

CONTAINER_ID = "c0ffee00" * 8
CONTAINER = f"numbers-0_test_writer-{CONTAINER_ID}.log"
PLAIN = "plain.log"
BANNER = "==== service started ===="
PART_CHARS = 16 << 10
"""Where docker splits a line (it counts bytes, which here is nearly the same)."""
LONG_EVERY = 97
HALVES_EVERY = 31
SHOWN = 5

Key = tuple[str, str, str, bytes]


def text_of(series: str, number: int) -> str:
    """The text of a line: its number, and what can only be that line's."""
    digest = hashlib.blake2b(f"{series} {number}".encode()).hexdigest()
    long = series == CONTAINER and number % LONG_EVERY == 0
    return f'{number} \u00e9\u6f22\U0001f600 \\"<{digest * (300 if long else 1)}>'


def stream_of(number: int) -> str:
    """The stream of a container's line."""
    return "stderr" if number % 3 == 1 else "stdout"


# -- writing


@dataclass(slots=True)
class Series:
    """A file and the generations before it."""

    path: Path
    rotate_bytes: int
    generations: int = 0
    file: FileIO | None = None

    def write(self, data: bytes) -> None:
        """Append in one write, as writers of logs do."""
        if self.file is None:
            self.file = FileIO(self.path, "a")
            self.generations += 1
        self.file.write(data)

    @property
    def fresh(self) -> bool:
        """Whether the next write begins a generation."""
        return self.file is None

    @property
    def full(self) -> bool:
        """Whether it is time to rotate."""
        return self.file is not None and self.file.tell() >= self.rotate_bytes

    def rename(self) -> None:
        """Give each generation its next name; writes go on into the same file until `close`."""
        for number in range(self.generations - 1, 0, -1):
            self._numbered(number).rename(self._numbered(number + 1))
        self.path.rename(self._numbered(1))

    def close(self) -> None:
        """Let go of the file: the next write begins a new one."""
        if self.file is not None:
            self.file.close()
        self.file = None

    def _numbered(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}")


@dataclass(slots=True)
class ContainerLog:
    """What docker would write."""

    series: Series
    rest: list[bytes] = field(default_factory=list)
    rest_stream: str = ""

    def write(self, number: int) -> None:
        """A line; the last parts of a long one wait until the other stream has had its say."""
        text, stream = text_of(CONTAINER, number) + "\n", stream_of(number)
        first, *rest = [
            docker_line(text[start : start + PART_CHARS], stream)
            for start in range(0, len(text), PART_CHARS)
        ]
        if rest or stream == self.rest_stream:
            self.finish()
        self._append(first)
        if rest:
            self.rest, self.rest_stream = rest, stream

    def finish(self) -> None:
        """The parts that wait."""
        for line in self.rest:
            self._append(line)
        self.rest, self.rest_stream = [], ""

    def _append(self, line: bytes) -> None:
        self.series.write(line)
        if self.series.full:
            self.series.rename()
            self.series.close()


def docker_line(text: str, stream: str) -> bytes:
    """A line of docker's json-file driver, with the time of now."""
    secs, nanos = divmod(time.time_ns(), 10**9)
    stamp = f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(secs))}.{nanos:09d}Z"
    entry = {"log": text, "stream": stream, "time": stamp}
    return f"{json.dumps(entry, ensure_ascii=False, separators=(',', ':'))}\n".encode()


def write_plain(series: Series, number: int) -> None:
    """A line, perhaps in two halves; it is the writer that comes late to a rotation."""
    if series.fresh:
        series.write(f"{BANNER}\n".encode())
    line = f"{text_of(PLAIN, number)}\n".encode()
    half = len(line) // 2 if number % HALVES_EVERY == 0 else 0
    if half:
        series.write(line[:half])
    rotate = series.full
    if rotate:
        series.rename()
    series.write(line[half:])
    if rotate:
        series.close()


def write_until_stopped(directory: Path, *, lines_per_sec: float, rotate_bytes: int) -> None:
    """Write at about this pace until SIGTERM, or until the parent has ended."""
    container = ContainerLog(Series(directory / CONTAINER, rotate_bytes))
    plain = Series(directory / PLAIN, rotate_bytes)
    started, written = time.monotonic(), 0
    for number in until_stopped():
        container.write(number)
        write_plain(plain, number)
        due = started + 2 * number / lines_per_sec
        time.sleep(max(0.0, due - time.monotonic()))
        written = number + 1
    container.finish()
    sys.stdout.write(json.dumps({"lines": written, "banners": plain.generations}))


def main() -> None:
    """Run the writer."""
    parser = argparse.ArgumentParser()
    parser.add_argument("directory", type=Path)
    parser.add_argument("--lines-per-sec", type=float, required=True)
    parser.add_argument("--rotate-bytes", type=int, required=True)
    chosen = parser.parse_args()
    write_until_stopped(
        chosen.directory, lines_per_sec=chosen.lines_per_sec, rotate_bytes=chosen.rotate_bytes
    )


# -- what a test sees of it


@dataclass(frozen=True, slots=True)
class Written:
    """What was written: so many lines in each series, and so many banners."""

    lines: int
    banners: int

    @property
    def documents(self) -> int:
        """How many documents that makes."""
        return 2 * self.lines + self.banners

    def faults(self, documents: Iterable[dict[str, Any]]) -> list[str]:
        """Say which lines are lost, doubled or changed, the first few of each; best nothing."""
        expected: Counter[Key] = Counter({_key(PLAIN, "", BANNER): self.banners})
        for number in range(self.lines):
            expected[_key(CONTAINER, stream_of(number), text_of(CONTAINER, number) + "\n")] += 1
            expected[_key(PLAIN, "", text_of(PLAIN, number))] += 1
        seen = Counter(_key_of(document["_source"]) for document in documents)
        return [*_few("lost", expected - seen), *_few("too many", seen - expected)]


@dataclass(frozen=True, slots=True)
class Writer:
    """The writer as a process."""

    process: Program

    def stop(self) -> Written:
        """End it with a whole line, and return what there is now."""
        return Written(**json.loads(stop(self.process)))


@contextmanager
def writing(
    directory: Path, *, lines_per_sec: float, rotate_bytes: int = 1 << 20
) -> Iterator[Writer]:
    """Start the writer; it is killed at the end unless it was stopped."""
    directory.mkdir(parents=True, exist_ok=True)
    pace = (f"--lines-per-sec={lines_per_sec}", f"--rotate-bytes={rotate_bytes}")
    with program("numbered", str(directory), *pace) as process:
        yield Writer(process)


def _key_of(source: dict[str, Any]) -> Key:
    series = CONTAINER if "docker" in source else PLAIN
    return _key(series, source.get("stream", ""), source["log"])


def _key(series: str, stream: str, text: str) -> Key:
    """Small, so that a million fit: where it belongs, its number, a hash of all of it."""
    number = text.partition(" ")[0][:20]
    return series, stream, number, hashlib.blake2b(text.encode(), digest_size=12).digest()


def _few(what: str, lines: Counter[Key]) -> list[str]:
    shown = [f"{what}: {times} × {key[:3]}" for key, times in list(lines.items())[:SHOWN]]
    return [*shown, f"{what}: {lines.total()} lines in all"] if shown else []


if __name__ == "__main__":
    main()
