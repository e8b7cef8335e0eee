"""Pods that print numbered lines, and what of these is in documents.

Theory of operation: each line says its pod, its container, a number that this run of the container
drew for itself (its life), and how many lines the life had printed with it. So documents can be
held against each other alone: the numbers of a life must be there from 1 on without a hole, each
once, up to its last, which says so, or which somebody else has seen.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.servers.docker import IMAGE

NAMESPACE = "shop"
LAST = "last"
SHOWN = 5
PRELUDE = """
life=$(cat /proc/sys/kernel/random/uuid)
n=0
say() { n=$((n + 1)); echo "$POD $C $life $n $*"; }
"""
LINE = re.compile(r"(\S+) (\S+) ([0-9a-f-]{36}) (\d+) (.*)", re.DOTALL)
FILLER = "x" * 80
LONG = "x" * 40_000
"""A line that containerd writes in three parts."""
TEXTS = {LAST, FILLER, LONG, "hello"}
Life = tuple[str, str, str]


def count(lines: int, *, pause: str = ":") -> str:
    """A script that prints so many lines and says which is the last.

    Args:
        pause: A command to run after each hundred.
    """
    say = f'say "{FILLER}"; [ $((n % 100)) -gt 0 ] || {pause}'
    return f"while [ $n -lt {lines - 1} ]; do {say}; done; say {LAST}"


def until(flag: str, *, pause: str) -> str:
    """A script that prints until a file is there, and says which line is the last."""
    say = f'say "{FILLER}"; [ $((n % 100)) -gt 0 ] || {pause}'
    return f"until [ -e {flag} ]; do {say}; done; say {LAST}"


def flood(lines_per_sec: int, *, seconds: int) -> str:
    """A script that prints so many lines at the beginning of each second."""
    row = f'printf "%s %s %s %d {FILLER}\\n", pod, c, life, i'
    loop = f"for (i = n + 1; i <= n + {lines_per_sec}; i++) {row}"
    awk = f"awk -v pod=$POD -v c=$C -v life=$life -v n=$n 'BEGIN {{ {loop} }}'"
    due = f"$((start + n / {lines_per_sec}))"
    step = (
        f"{awk}; n=$((n + {lines_per_sec})); until [ $(date +%s) -ge {due} ]; do usleep 9000; done"
    )
    whole = f"while [ $n -lt {lines_per_sec * seconds} ]; do {step}; done"
    return f"start=$(date +%s); {whole}; say {LAST}"


def container(
    script: str, *, name: str = "main", memory: str = "", mounts: Sequence[Any] = ()
) -> dict[str, Any]:
    """A container that runs this script."""
    named = {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}
    return {
        "name": name,
        "image": f"docker.io/{IMAGE}",
        "imagePullPolicy": "Never",
        "command": ["sh", "-c", PRELUDE + script],
        "env": [named, {"name": "C", "value": name}],
        "resources": {"limits": {"memory": memory}} if memory else {},
        "volumeMounts": list(mounts),
    }


def pod_spec(
    *containers: dict[str, Any],
    init: Sequence[dict[str, Any]] = (),
    restart: str = "Never",
    grace_secs: int = 1,
    volumes: Sequence[Any] = (),
) -> dict[str, Any]:
    """What a pod runs."""
    return {
        "containers": list(containers),
        "initContainers": list(init),
        "restartPolicy": restart,
        "terminationGracePeriodSeconds": grace_secs,
        "volumes": list(volumes),
    }


def pod(name: str, spec: dict[str, Any]) -> dict[str, Any]:
    """A pod, with a label of its own."""
    metadata = {"name": name, "namespace": NAMESPACE, "labels": {"example.com/app": name}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def job(name: str, spec: dict[str, Any], *, pods: int) -> dict[str, Any]:
    """A job of so many pods."""
    template = {"metadata": {"labels": {"example.com/app": name}}, "spec": spec}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"completions": pods, "parallelism": pods, "template": template},
    }


@dataclass(slots=True)
class Heard:
    """What documents hold of numbered lines.

    Attributes:
        lives: How often each number of a life is there.
        ended: The lives whose last line is there.
        others: Texts that are no numbered line.
        faults: What documents say of their pod that is not so.
    """

    lives: dict[Life, Counter[int]] = field(default_factory=lambda: defaultdict(Counter))
    ended: set[Life] = field(default_factory=set)
    others: list[dict[str, Any]] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, documents: Iterable[dict[str, Any]], uids: Mapping[str, str]) -> "Heard":
        """Take documents of our namespace; by `uids`, names of pods have these uids."""
        heard = cls()
        for document in documents:
            heard._take(document["_source"], uids)
        return heard

    @property
    def lines(self) -> int:
        """How many lines there are."""
        return sum(numbers.total() for numbers in self.lives.values())

    def of_pod(self, name: str) -> dict[Life, Counter[int]]:
        """The lives of one pod, or of all whose names begin so."""
        return {life: numbers for life, numbers in self.lives.items() if life[0].startswith(name)}

    def ends(self, name: str) -> int:
        """Of how many lives of a pod the last line is there."""
        return sum(life[0].startswith(name) for life in self.ended)

    def last(self, name: str) -> dict[Life, int]:
        """The highest number of each life of a pod."""
        return {life: max(numbers) for life, numbers in self.of_pod(name).items()}

    def wrong(self) -> list[str]:
        """Say which lines are lost or doubled, and what is wrong of pods; best nothing."""
        found = list(self.faults[:SHOWN])
        for life, numbers in self.lives.items():
            missing = sorted(set(range(1, max(numbers) + 1)) - set(numbers))
            doubled = sorted(number for number, times in numbers.items() if times > 1)
            if missing:
                found.append(f"{life}: {len(missing)} of {max(numbers)} lost: {missing[:SHOWN]}")
            if doubled:
                found.append(f"{life}: {len(doubled)} of {max(numbers)} double: {doubled[:SHOWN]}")
        return found

    def _take(self, source: dict[str, Any], uids: Mapping[str, str]) -> None:
        kubernetes = source.get("kubernetes", {})
        if kubernetes.get("namespace_name") != NAMESPACE:
            return
        found = LINE.fullmatch(source["log"].rstrip("\n"))
        if not found:
            self.others.append(source)
            return
        name, container, life, number, rest = found.groups()
        self.lives[name, container, life][int(number)] += 1
        if rest not in TEXTS:
            self.faults.append(f"{name} {container} {number}: {len(rest)} characters of text")
        if rest == LAST:
            self.ended.add((name, container, life))
        said = [kubernetes.get(key) for key in ("pod_name", "container_name", "metadata")]
        label = kubernetes.get("labels", {}).get("example_com/app", "")
        image, team = kubernetes.get("container_image"), kubernetes.get("namespace_labels")
        if said != [name, container, None] or not name.startswith(label or "none"):
            self.faults.append(f"{name} {container} {number}: {kubernetes}")
        if kubernetes.get("pod_id") != uids.get(name):
            self.faults.append(f"{name}: is {uids.get(name)}, not {kubernetes.get('pod_id')}")
        if image != f"docker.io/{IMAGE}" or not team:
            self.faults.append(f"{name} {container} {number}: image {image}, namespace {team}")
