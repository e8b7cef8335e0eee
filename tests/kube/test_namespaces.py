"""Namespaces: asked for once, when they are needed, and never in the way."""

import asyncio
from functools import partial

import pytest
from aiohttp import web

from shipper.kube import namespaces
from shipper.kube.access import AccessReader
from shipper.kube.connection import Connection
from shipper.kubernetes_config import KubernetesConfig
from shipper.metrics import Metrics
from shipper.pipeline.names import Names
from shipper.pipeline.pod import Namespace
from tests.fakes.kubernetes import FakeKubernetes, refuse, well
from tests.kube.pods import pod_json
from tests.kube.running import NO_NAMESPACES, STEADY, Running, follow
from tests.kube.shop import OF_WEB, namespace_json


def test_namespaces_cost_one_request_each(api: FakeKubernetes) -> None:
    """However many pods a namespace has, and however often they change, it is asked for once."""

    async def then(running: Running) -> None:
        for number in range(30):
            api.put(pod_json(f"job-{number}", labels={"n": "1"}))
            api.put(pod_json(f"job-{number}", labels={"n": "2"}))
        await running.until(lambda: running.pods.pods == 31)
        for number in range(30):
            await running.pods.wait(Names(pod_uid=f"uid-of-job-{number}"))
            assert running.pods.namespace("shop") is not None

    assert follow(then, api=api, timing=STEADY).verbs() == ["list", "watch", "get"]


def test_namespaces_that_nobody_wants_are_not_asked_for(api: FakeKubernetes) -> None:
    """Where no field is of a namespace, no right to read them is needed."""

    async def then(running: Running) -> None:
        await running.pods.wait(OF_WEB)
        assert running.pods.find(OF_WEB) is not None
        assert running.pods.namespace("shop") is None

    assert "get" not in follow(then, api=api, timing=STEADY, **NO_NAMESPACES).verbs()


def test_namespace_made_anew_is_read_anew(api: FakeKubernetes) -> None:
    """When the first pod comes into a namespace, that may be another of the same name."""

    async def then(running: Running) -> None:
        await running.pods.wait(OF_WEB)
        api.delete("uid-of-web-0")
        await running.until(lambda: running.pods.gone_pods)
        api.namespaces["shop"] = namespace_json("n-2", team="b")
        api.put(pod_json("web-1"))
        await running.pods.wait(Names(pod_uid="uid-of-web-1"))
        found = running.pods.namespace("shop")
        assert found is not None
        assert (found.uid, found.labels) == ("n-2", {"team": "b"})

    follow(then, api=api, timing=STEADY)


@pytest.mark.parametrize("code", [403, 404])
def test_namespace_that_is_not_to_be_had_holds_up_nothing(api: FakeKubernetes, code: int) -> None:
    """Without its namespace a pod's metadata goes without that; a missing right is said."""
    api.script += [well, well, *[refuse(code, "namespaces is forbidden")] * 100]

    async def then(running: Running) -> None:
        await running.until(lambda: len(api.asked) == 2)
        async with asyncio.timeout(5):
            await running.pods.wait(OF_WEB)
        assert running.pods.find(OF_WEB) is not None
        assert running.pods.namespace("shop") is None
        assert ('resources: ["namespaces"], verbs: ["get"]' in running.pods.concern) == (
            code == 403
        )

    follow(then, api=api, timing=STEADY)


def test_namespace_that_is_refused_is_not_in_the_way_of_others(
    api: FakeKubernetes, caplog: pytest.LogCaptureFixture
) -> None:
    """A role may name the namespaces it is for: those are known, and of the others it is said."""

    async def act(fake: FakeKubernetes, request: web.Request) -> web.StreamResponse:
        name = request.match_info.get("name", "")
        if name.startswith("bank"):
            return await refuse(403, f"{name} is forbidden")(fake, request)
        return await (fake.get if name else partial(well, fake))(request)

    for name in ("bank-1", "bank-2"):
        api.put(pod_json(f"in-{name}", namespace=name))
    api.script += [act] * 100

    async def then(running: Running) -> None:
        for name in ("bank-1", "bank-2"):
            await running.pods.wait(Names(pod_uid=f"uid-of-in-{name}"))
        await running.until(lambda: "forbidden" in running.pods.concern)
        await running.until(lambda: running.pods.namespace("shop"))
        await running.until(lambda: len(api.asked) > 6)
        assert "is forbidden" in running.pods.concern

    with caplog.at_level("WARNING"):
        follow(then, api=api, timing=STEADY)
    assert caplog.text.count("namespaces are not known") == 1


def test_broken_request_for_a_namespace_is_made_again(api: FakeKubernetes) -> None:
    """A server that fails once is asked again."""
    api.script += [well, well, refuse(500, "etcd is away")]

    async def then(running: Running) -> None:
        await running.until(lambda: len(api.asked) == 2)
        await running.pods.wait(OF_WEB)
        await running.until(lambda: running.pods.namespace("shop"))

    assert follow(then, api=api, timing=STEADY).verbs().count("get") == 2


def test_namespaces_without_end_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of namespaces that come and go, the last are known, and the others are not kept either."""
    monkeypatch.setattr(namespaces, "_MOST", 3)
    connection = Connection(AccessReader(KubernetesConfig(), {}))
    known = namespaces.Namespaces(connection, metrics=Metrics(), changed=lambda: None)
    known.restore(Namespace("", f"job-{number}") for number in range(3))
    known.get("job-0")  # it is needed: another one goes
    known.get("job-3")
    assert list(known.known) == ["job-2", "job-0"]
    assert known.changed == {"job-1"}
