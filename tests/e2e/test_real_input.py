"""What a real Docker engine writes, held against every document that a real Elasticsearch has.

The expected documents come from docker's own files, read here by nothing of ours, and those again
are held against what was put into the containers.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.agent import Agent, configure, running
from tests.servers.docker import IMAGE, DockerEngine
from tests.servers.elasticsearch import Elasticsearch

both_versions = pytest.mark.parametrize("version", ["9.5.3", "2.4.1"])
INDICES = "logstash-*"
POD, NAMESPACE = "web-7d4f8c9b6-x2x7p", "shop"

COMMON = [
    "plain text",
    "",
    "   blanks around   ",
    "\u00e9\u00df\u6f22\u5b57 \U0001f600\U00010348 \u2028\u2029\ufeff",
    'quotes " and \\ and \\n and \\u0041 and </script> & <b>',
    '{"log":"not\\n","stream":"stderr","time":"2020-01-01T00:00:00Z"}',
    '"}\\n{"log":"',
    "".join(map(chr, [*range(1, 10), *range(11, 32), 127])),
    "nul\0inside",
    "carriage\rreturn\r",
    "x" * (16 << 10),
    "y" * ((16 << 10) - 1),
    "z" * ((16 << 10) + 1),
    "0123456789" * 4_000,
    "last but one",
]
"""Lines that both streams carry; each is made unlike all others by the stream's name before it."""


@dataclass(frozen=True, slots=True)
class Pod:
    """A container, linked as the kubelet links it."""

    container: str
    log: Path
    link: Path

    def entries(self) -> list[dict[str, str]]:
        """What docker has written, oldest generation first."""
        generations = sorted(
            self.log.parent.glob(f"{self.log.name}*"),
            key=lambda path: int(path.name.removeprefix(self.log.name).strip(".") or 0),
            reverse=True,
        )
        lines = (line for path in generations for line in path.read_bytes().splitlines())
        return [json.loads(line) for line in lines]

    def document(self, entry: dict[str, str]) -> dict[str, Any]:
        """The document of a whole line."""
        return {
            "log": entry["log"],
            "stream": entry["stream"],
            "@timestamp": entry["time"],
            "docker": {"container_id": self.container},
            "kubernetes": {
                "container_name": "web",
                "namespace_name": NAMESPACE,
                "pod_name": POD,
            },
            "tag": "kubernetes." + str(self.link).strip("/").replace("/", "."),
        }

    def expected(self) -> list[dict[str, Any]]:
        """The documents of all lines that have their end; parts joined, under the first's time."""
        waiting: dict[str, dict[str, str]] = {}
        made = []
        for entry in self.entries():
            line = waiting.setdefault(entry["stream"], {**entry, "log": ""})
            line["log"] += entry["log"]
            if line["log"].endswith("\n"):
                made.append(self.document(waiting.pop(entry["stream"])))
        return made


@contextmanager
def pod(
    docker: DockerEngine, folder: Path, script: str, *, log_opts: dict[str, str] | None = None
) -> Iterator[Pod]:
    """Run a script in a container and link its log; the container is removed at the end."""
    container = docker.run(
        IMAGE, "sh", "-c", script, volumes={str(folder): "/in"}, log_opts=log_opts or {}
    )
    log = docker.log_path(container)
    links = folder / "containers"
    links.mkdir(exist_ok=True)
    link = links / f"{POD}_{NAMESPACE}_web-{container}.log"
    link.symlink_to(log)
    try:
        yield Pod(container, log, link)
    finally:
        docker.remove(container)
        link.unlink()


def lines_of(stream: str) -> list[str]:
    """What one stream carries, its last line without a newline."""
    long = "".join(f"{stream} {number:07} " for number in range(100_000 // 15))
    return [*(f"{stream} {text}" for text in COMMON), long, f"{stream} the end"]


def index_of(document: dict[str, Any]) -> str:
    day: str = document["@timestamp"][:10]
    return f"logstash-{day.replace('-', '.')}"


def canonical(documents: Iterable[dict[str, Any]]) -> Counter[str]:
    return Counter(json.dumps(document, sort_keys=True) for document in documents)


def differences(server: Elasticsearch, container: str, expected: Sequence[dict[str, Any]]) -> str:
    """Say how the documents of a container differ from what is expected; best nothing."""
    mine = [
        document
        for document in server.documents(INDICES)
        if document["_source"]["docker"]["container_id"] == container
    ]
    seen, wanted = canonical(d["_source"] for d in mine), canonical(expected)
    misplaced = [d for d in mine if d["_index"] != index_of(d["_source"])]
    lost, extra = list((wanted - seen).elements()), list((seen - wanted).elements())
    shown = [f"{w}: {d[:300]}" for w, d in [*(("lost", d) for d in lost[:3])]]
    shown += [f"unexpected: {d[:300]}" for d in extra[:3]]
    shown += [f"in {d['_index']}: {d['_source']['@timestamp']}" for d in misplaced[:3]]
    return "\n".join(shown)


def delivered(agent: Agent) -> float:
    return agent.metric("shipper_delivered_documents_total")


@both_versions
def test_every_line_is_one_document(
    docker: DockerEngine, elasticsearch: Elasticsearch, tmp_path: Path
) -> None:
    """Whatever containers write is in the index of its day, once, byte by byte, nanosecond time."""
    for stream in ("stdout", "stderr"):
        (tmp_path / stream).write_bytes("\n".join(lines_of(stream)).encode())
    setup = configure(
        tmp_path / "agent",
        paths=[tmp_path / "containers" / "*.log"],
        url=elasticsearch.url,
        prefix="logstash",
    )
    (tmp_path / "containers").mkdir()
    script = "cat /in/stdout & cat /in/stderr >&2; wait"
    with running(setup) as agent, pod(docker, tmp_path, script) as written:
        docker.wait(written.container)
        expected = written.expected()
        for stream in ("stdout", "stderr"):
            texts = [d["log"] for d in expected if d["stream"] == stream]
            assert texts == [f"{line}\n" for line in lines_of(stream)[:-1]]
        agent.until(lambda: delivered(agent) >= len(expected), "all documents")
        assert differences(elasticsearch, written.container, expected) == ""
        ends = [entry for entry in written.entries() if entry["log"].endswith("the end")]
        docker.remove(written.container)
        agent.until(lambda: delivered(agent) >= len(expected) + 2, "what has no newline")
        assert agent.stop() == 0
    flagged = [{**written.document(end), "shipper": {"flags": ["unfinished"]}} for end in ends]
    assert len(flagged) == 2
    assert differences(elasticsearch, written.container, [*expected, *flagged]) == ""


@both_versions
def test_rotation_by_docker_loses_nothing(
    docker: DockerEngine, elasticsearch: Elasticsearch, tmp_path: Path
) -> None:
    """Lines on both sides of docker's own rotations are documents, once, while they happen."""
    setup = configure(
        tmp_path / "agent",
        paths=[tmp_path / "containers" / "*.log"],
        url=elasticsearch.url,
        prefix="logstash",
    )
    (tmp_path / "containers").mkdir()
    lines = 3_000
    count = f"i=0; while [ $i -lt {lines} ]; do"
    script = f"{count} echo line $i {'x' * 150}; usleep 1000; i=$((i+1)); done"
    options = {"max-size": "50k", "max-file": "100"}
    with running(setup) as agent, pod(docker, tmp_path, script, log_opts=options) as written:
        docker.wait(written.container)
        expected = written.expected()
        assert [d["log"].split()[1] for d in expected] == [str(n) for n in range(lines)]
        assert len(list(written.log.parent.glob("*-json.log.*"))) > 10
        agent.until(lambda: delivered(agent) >= lines, "all documents")
        assert agent.stop() == 0
        assert differences(elasticsearch, written.container, expected) == ""
