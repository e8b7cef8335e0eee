"""Two streams of one container write long lines at the same time, while their file is rotated."""

import gzip
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import pytest

from tests.e2e.agent import configure, running
from tests.e2e.numbered import CONTAINER, PART_CHARS, Series, docker_line
from tests.e2e.texts import faults
from tests.fakes.elasticsearch import FakeElasticsearch
from tests.servers.docker import IMAGE, DockerEngine

STREAMS = ("stdout", "stderr")
ROTATIONS = 50
ROTATE_BYTES = 400_000
INTERLEAVED_SECS = 0.001
LINE_CHARS = 64 << 10


def line_of(stream: str, number: int) -> str:
    """A line of about 64 KiB, in one of four exactly that, of which each part can be told."""
    length = LINE_CHARS + (random.Random(number).randint(-2_000, 20_000) if number % 4 else 0)
    return "".join(f"<{stream} {number} {place:05}>" for place in range(length // 16 + 1))[:length]


def parts_of(text: str) -> Iterator[tuple[str, bool]]:
    """The parts of a line as a runtime makes them, and whether more follow."""
    for start in range(0, len(text), PART_CHARS):
        yield text[start : start + PART_CHARS], start + PART_CHARS < len(text)


class Docker:
    """A container's file as docker writes and rotates it."""

    def __init__(self, folder: Path) -> None:
        self._series = Series(folder / CONTAINER, ROTATE_BYTES)

    @property
    def rotations(self) -> int:
        return self._series.generations

    def lines(self, text: str, stream: str) -> Iterator[bytes]:
        return (docker_line(part, stream) for part, _ in parts_of(f"{text}\n"))

    def close(self) -> None:
        self._series.close()

    def write(self, line: bytes) -> None:
        self._series.write(line)
        if self._series.full:
            self._series.rename()
            self._series.close()


class Kubelet:
    """A container's file as containerd writes it, and the kubelet rotates and compresses it."""

    def __init__(self, folder: Path) -> None:
        self.rotations = 0
        self._path = folder / "shop_web-0_01234567-89ab-cdef-0123-456789abcdef" / "web" / "0.log"
        self._path.parent.mkdir(parents=True)
        self._file = self._path.open("ab", buffering=0)
        self._rotated: list[Path] = []

    def lines(self, text: str, stream: str) -> Iterator[bytes]:
        for part, more in parts_of(text):
            secs, nanos = divmod(time.time_ns(), 10**9)
            stamp = f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(secs))}.{nanos:09d}Z"
            yield f"{stamp} {stream} {'P' if more else 'F'} {part}\n".encode()

    def close(self) -> None:
        self._file.close()

    def write(self, line: bytes) -> None:
        self._file.write(line)
        if self._file.tell() >= ROTATE_BYTES:
            self._rotate()

    def _rotate(self) -> None:
        for path in self._rotated:
            self._compress(path)
        minutes, seconds = divmod(self.rotations, 60)
        rotated = self._path.with_name(f"0.log.20261123-10{minutes:02}{seconds:02}")
        self._path.rename(rotated)
        self._rotated = [rotated]
        self._file.close()
        self._file = self._path.open("ab", buffering=0)
        self.rotations += 1

    @staticmethod
    def _compress(path: Path) -> None:
        temporary = path.with_name(f"{path.name}.tmp")
        with gzip.open(temporary, "wb", compresslevel=1) as file:
            file.write(path.read_bytes())
        temporary.rename(path.with_name(f"{path.name}.gz"))
        path.unlink()


Runtime = Docker | Kubelet


def write_interleaved(runtime: Runtime, texts: list[str]) -> None:
    """Write a part of one stream or the other each millisecond, and add each line to the texts."""
    chance = random.Random(0)
    ahead: dict[str, list[bytes]] = {stream: [] for stream in STREAMS}
    while runtime.rotations < ROTATIONS or any(ahead.values()):
        stream = chance.choice(STREAMS)
        if not ahead[stream] and runtime.rotations < ROTATIONS:
            texts.append(line_of(stream, len(texts)))
            ahead[stream] = list(runtime.lines(texts[-1], stream))
        if ahead[stream]:
            runtime.write(ahead[stream].pop(0))
        time.sleep(INTERLEAVED_SECS)
    runtime.close()


@contextmanager
def writing(runtime: Runtime, texts: list[str]) -> Iterator[Thread]:
    """Write in a thread, which has ended when this is over."""
    thread = Thread(target=lambda: write_interleaved(runtime, texts))
    thread.start()
    try:
        yield thread
    finally:
        thread.join()


@pytest.mark.parametrize("runtime", [Docker, Kubelet])
@pytest.mark.parametrize("kills", [0, 3])
def test_interleaved_streams_stay_apart(
    runtime: type[Runtime], kills: int, fake: FakeElasticsearch, tmp_path: Path
) -> None:
    """No line is glued to another, cut or lost, across 50 rotations, killed or not (I4)."""
    logs = tmp_path / "logs"
    logs.mkdir()
    setup = configure(
        tmp_path / "agent",
        paths=[logs],
        url=fake.url,
        prefix="test",
        follow={"settle_secs": 1},
        buffer={"flush_secs": 0.05, "min_free_percent": 0},
    )
    texts: list[str] = []
    with writing(runtime(logs), texts) as thread:
        for _ in range(kills):
            with running(setup) as agent:
                agent.pass_time(random.uniform(0.4, 1.0))
        with running(setup) as agent:
            agent.until_ready()
            agent.until(lambda: not thread.is_alive(), "all to be written")
            agent.until(lambda: len(fake.documents) >= len(texts), "all lines")
            assert agent.stop() == 0
    assert faults(texts, fake) == []


def test_interleaved_streams_of_docker_stay_apart(
    docker: DockerEngine, fake: FakeElasticsearch, tmp_path: Path
) -> None:
    """What a real engine interleaves and rotates at full speed is as whole (I4)."""
    lines = {stream: [line_of(stream, n) for n in range(200)] for stream in STREAMS}
    for stream, texts in lines.items():
        (tmp_path / stream).write_text("".join(f"{text}\n" for text in texts))
    setup = configure(
        tmp_path / "agent",
        paths=[docker.data_root / "containers" / "*" / "*-json.log"],
        url=fake.url,
        prefix="test",
        follow={"settle_secs": 1},
        buffer={"flush_secs": 0.05, "min_free_percent": 0},
    )
    script = "cat /in/stdout & cat /in/stderr >&2; wait"
    options = {"max-size": f"{ROTATE_BYTES}", "max-file": "1000"}
    with running(setup) as agent:
        container = docker.run(
            IMAGE, "sh", "-c", script, volumes={str(tmp_path): "/in"}, log_opts=options
        )
        try:
            docker.wait(container)
            assert len(list(docker.log_path(container).parent.glob("*.log.*"))) >= ROTATIONS
            agent.until(lambda: len(fake.documents) >= 400, "all lines")
            assert agent.stop() == 0
        finally:
            docker.remove(container)
    assert faults([*lines["stdout"], *lines["stderr"]], fake) == []
