"""What was last known: kept a piece at a time, and told when nothing newer is to be had."""

from typing import Any

import pytest

from shipper.kube import keep
from shipper.pipeline.names import Names
from shipper.pipeline.pod import Namespace, to_json
from tests.fakes.kubernetes import FakeKubernetes, refuse
from tests.kube.pods import pod, pod_json
from tests.kube.running import STEADY, Rows, Running, follow
from tests.kube.shop import OF_WEB


def test_restart_without_the_api_knows_what_was_known(
    api: FakeKubernetes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was last known of pods and namespaces is there again when the API is away."""
    monkeypatch.setattr(keep, "_GATHER_SECS", 0.01)
    rows = Rows()

    async def first(running: Running) -> None:
        await running.pods.wait(OF_WEB)
        await running.until(lambda: len(rows.rows) == 2)

    async def second(running: Running) -> None:
        await running.until(lambda: running.pods.away)
        await running.pods.wait(OF_WEB)
        found = running.pods.find(OF_WEB)
        assert found == pod(containers={"main": "c-1"})
        assert running.pods.namespace("shop") == Namespace("n-1", "shop", {"team": "a"})

    follow(first, api=api, timing=STEADY, rows=rows)
    follow(second, api=FakeKubernetes(script=[refuse(503, "no")] * 100), timing=STEADY, rows=rows)


def test_restart_tells_nothing_old_while_the_api_answers(api: FakeKubernetes) -> None:
    """What was known before a restart is told only if nothing newer is to be had."""
    stale = pod(labels={"old": "yes"})
    rows = Rows({("pod", stale.uid): to_json(stale)})

    async def then(running: Running) -> None:
        assert running.pods.find(OF_WEB) is None
        await running.pods.wait(OF_WEB)
        found = running.pods.find(OF_WEB)
        assert found is not None
        assert found.labels == {}

    follow(then, api=api, timing=STEADY, rows=rows)


def test_pod_deleted_while_the_agent_was_down_is_known(api: FakeKubernetes) -> None:
    """Lines of a pod that is gone since may be left: it is known until it is forgotten."""
    gone = pod("job")
    rows = Rows({("pod", gone.uid): to_json(gone)})

    async def then(running: Running) -> None:
        await running.until(lambda: running.pods.synced)
        assert running.pods.find(Names(pod_uid=gone.uid)) == gone
        assert running.pods.gone_pods == 1
        running.pods.forget(gone.uid)
        assert running.pods.find(Names(pod_uid=gone.uid)) is None

    follow(then, api=api, timing=STEADY, rows=rows)


def test_forgotten_pod_is_not_kept(api: FakeKubernetes, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is forgotten is not in state.db either."""
    monkeypatch.setattr(keep, "_GATHER_SECS", 0.01)
    gone = pod("job")
    rows = Rows({("pod", gone.uid): to_json(gone), ("pod", "x"): b"garbage"})

    async def then(running: Running) -> None:
        await running.until(lambda: running.pods.synced)
        running.pods.forget(gone.uid)
        await running.until(lambda: ("pod", gone.uid) not in rows.rows)

    follow(then, api=api, timing=STEADY, rows=rows)


def test_much_is_kept_a_piece_at_a_time(
    api: FakeKubernetes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node full of large pods is no transaction of megabytes."""
    monkeypatch.setattr(keep, "_GATHER_SECS", 0.01)
    monkeypatch.setattr(keep, "_PAUSE_SECS", 0.0)
    for number in range(20):
        api.put(pod_json(f"large-{number}", labels={"key": "x" * 50_000}))
    sizes = []

    class Sized(Rows):
        async def keep(self, kind: str, rows: Any) -> None:  # noqa: ANN401  # as `Rows` has it
            sizes.append(sum(len(row or b"") for row in rows.values()))
            await super().keep(kind, rows)

    kept = Sized()

    async def then(running: Running) -> None:
        await running.until(lambda: len(kept.rows) >= 21)

    follow(then, api=api, timing=STEADY, rows=kept)
    assert max(sizes) < 400_000
