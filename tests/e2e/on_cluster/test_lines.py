"""Every line of every kind of pod is there once, with its pod."""

import json
from contextlib import suppress
from pathlib import Path

import pytest

from tests.e2e.on_cluster import chatter
from tests.e2e.on_cluster.chatter import container, count, job, pod, pod_spec
from tests.e2e.on_cluster.cluster import SECONDS, Cluster
from tests.e2e.on_cluster.deployment import Deployment
from tests.e2e.record import Record
from tests.e2e.witness import witnessing
from tests.servers.process import wait_until

pytestmark = pytest.mark.timeout(900)  # the first test builds the image and waits for the node

RUNS, ROTATED_LINES = 3, 20_000
"""A container that is started again, and what it prints each time: 3 MB, a mebibyte a file."""
JOB_PODS, JOB_LINES = 5, 10
LONG_LINES = 3


def test_every_line_of_every_kind_of_pod(
    cluster: Cluster, deployment: Deployment, tmp_path: Path, record_property: Record
) -> None:
    """Rotated, restarted, short, deleted at full speed: each line is there once, with its pod."""
    kubectl = cluster.kubectl
    _begin_every_kind(cluster)
    printed = [_delete_at_full_speed(cluster, name, tmp_path) for name in ("fast-0", "fast-1")]
    kubectl.until(lambda: _said_hello(cluster) == JOB_PODS, "farewell", seconds=SECONDS)
    cluster.note_pods()
    kubectl("delete", "job", "farewell", "--namespace", chatter.NAMESPACE)
    for name in ("restarted", "long", "init"):
        cluster.until_phase(name, "Succeeded")
    cluster.until_phase("oom", "Failed")
    (oom,) = kubectl.get("pod", "oom", "--namespace", chatter.NAMESPACE)["status"][
        "containerStatuses"
    ]
    assert oom["state"]["terminated"]["reason"] == "OOMKilled"
    rotated = [*cluster.node.files.var_log.glob("pods/*_restarted_*/main/*.log.*")]
    assert rotated, "kubelet has rotated it"
    cluster.note_pods()
    ended = {
        "restarted": RUNS,
        "job": JOB_PODS,
        "init": 3,
        "oom": 1,
        "farewell": JOB_PODS,
        "static": 1,
    }

    wanted = {"fast-0": printed[0], "fast-1": printed[1], "long": LONG_LINES}

    def lacking() -> list[str]:
        heard = cluster.heard(deployment)
        lives = [f"{name}: {heard.ends(name)}" for name in ended if heard.ends(name) != ended[name]]
        lasts = {name: max(heard.last(name).values(), default=0) for name in wanted}
        lines = [f"{name}: {lasts[name]}" for name in wanted if lasts[name] != wanted[name]]
        return [*lives, *lines, *(() if heard.others else ("no newline",))]

    cluster.until_none(lacking)
    heard = cluster.heard(deployment)
    record_property("lines", heard.lines)
    record_property("of pods deleted at full speed", printed)
    assert heard.wrong() == []
    lasts = {name: sorted(heard.last(name).values()) for name in ended}
    assert lasts == {
        "restarted": [ROTATED_LINES] * RUNS,
        "job": [JOB_LINES] * JOB_PODS,
        "init": [20] * 3,
        "oom": [20],
        "farewell": [2] * JOB_PODS,
        "static": [20],
    }
    assert list(heard.last("long").values()) == [LONG_LINES]
    (other,) = heard.others
    assert (other["log"], other["shipper"]["flags"]) == ("no newline", ["unfinished"])


def _begin_every_kind(cluster: Cluster) -> None:
    """Let pods begin to print, one of each kind but of those that are deleted at full speed."""
    runs = {"name": "runs", "mountPath": "/runs"}
    again = f"{count(ROTATED_LINES, pause='usleep 40000')}; echo >> /runs/n; "
    again += f"[ $(wc -l < /runs/n) -ge {RUNS} ]"
    long = f"text=$(head -c {len(chatter.LONG)} /dev/zero | tr '\\0' x); "
    long += "say $text; " * LONG_LINES + "printf 'no newline'"
    cluster.kubectl.apply(
        pod(
            "restarted",
            pod_spec(
                container(again, mounts=[runs]),
                restart="OnFailure",
                volumes=[{"name": "runs", "emptyDir": {}}],
            ),
        ),
        job("job", pod_spec(container(count(JOB_LINES))), pods=JOB_PODS),
        pod(
            "init",
            pod_spec(
                container(count(20)),
                init=[container(count(20), name="init-a"), container(count(20), name="init-b")],
            ),
        ),
        pod("long", pod_spec(container(long))),
        pod("oom", pod_spec(container(f"{count(20)}; tail /dev/zero", memory="20Mi"))),
        job("farewell", pod_spec(container(FAREWELL), grace_secs=20), pods=JOB_PODS),
    )
    static = pod("static", pod_spec(container(count(20))))
    (cluster.node.files.static_pods / "static.json").write_text(json.dumps(static))


FAREWELL = f"""
trap 'say {chatter.LAST}; sleep 0.3; exit 0' TERM
say hello
while :; do usleep 10000; done
"""
"""Ends when its pod is deleted: 0.3 s after its last line, whose file goes with the pod."""


def _said_hello(cluster: Cluster) -> int:
    """How many pods of the job that says farewell have begun to print."""
    logs = cluster.node.files.var_log.glob(f"pods/{chatter.NAMESPACE}_farewell-*/main/0.log")
    return sum("hello" in log.read_text() for log in logs)


def _log_of(cluster: Cluster, name: str) -> Path:
    """The log of a pod, as soon as there is one."""
    pods, pattern = cluster.node.files.var_log / "pods", f"{chatter.NAMESPACE}_{name}_*/main/0.log"
    wait_until(lambda: any(pods.glob(pattern)), seconds=SECONDS, what=f"the log of {name}")
    return next(pods.glob(pattern))


def _size(log: Path) -> int:
    with suppress(FileNotFoundError):  # it is being rotated
        return log.stat().st_size
    return 0


def _delete_at_full_speed(cluster: Cluster, name: str, folder: Path) -> int:
    """Delete a pod while it prints as fast as it can; return how many whole lines its log had."""
    spec = pod_spec(container(f'sleep 1; while :; do say "{chatter.FILLER}"; done'))
    cluster.kubectl.apply(pod(name, spec))
    log = _log_of(cluster, name)
    cluster.note_pods()
    with witnessing(folder / name, [log]) as witness:
        wait_until(lambda: _size(log) > 2 << 20, seconds=SECONDS, what="some lines")
        where = ("--namespace", chatter.NAMESPACE)
        cluster.kubectl("delete", "pod", name, *where, "--grace-period=0", "--force")
        wait_until(lambda: not any(log.parent.glob("*")), seconds=SECONDS, what="its end")
        witness.stop()
        printed = b"".join(witness.generations(log))
    return int(printed.splitlines()[-1].split()[6])
