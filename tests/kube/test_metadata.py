"""What followers are told: who waits, for what, and what an hour of it costs."""

import asyncio
import time
from collections import Counter
from dataclasses import replace

import pytest

from shipper.pipeline.names import Names
from shipper.pipeline.pod import Namespace
from tests.fakes.kubernetes import FakeKubernetes, fall_silent, well
from tests.kube.pods import pod_json
from tests.kube.running import FAST, STEADY, Running, follow
from tests.kube.shop import OF_WEB


def test_first_lines_wait_for_pod_and_namespace(api: FakeKubernetes) -> None:
    """Who waits goes on when the pod is known, and its namespace with it."""

    async def then(running: Running) -> None:
        async with asyncio.timeout(5):
            await running.pods.wait(Names("c-1"))
        found = running.pods.find(Names("c-1"))
        assert found is not None
        namespace = running.pods.namespace(found.namespace)
        assert namespace == Namespace("n-1", "shop", {"team": "a"})

    assert follow(then, api=api, timing=STEADY).verbs().count("get") == 1


def test_pod_that_comes_later_is_waited_for(api: FakeKubernetes) -> None:
    """Who waits for a pod that is not there yet goes on with the event that brings it."""

    async def then(running: Running) -> None:
        await running.until(lambda: running.pods.synced)
        async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
            waiting = tasks.create_task(running.pods.wait(Names("c-2")))
            await asyncio.sleep(0.05)
            assert not waiting.done()
            api.put(pod_json("web-1", containers={"main": "c-2"}))
        assert running.pods.find(Names("c-2")) is not None

    follow(then, api=api, timing=STEADY)


def test_stream_at_a_standstill_is_found_by_who_waits_in_vain(api: FakeKubernetes) -> None:
    """A pod that does not come is looked for in another watch, if that one has been silent."""
    api.script += [well, fall_silent]
    slow = replace(FAST, silent_secs=600, suspect_secs=0.2, steady_secs=0.1)

    most = 2.0

    async def then(running: Running) -> None:
        nonlocal most
        await running.until(lambda: len(api.asked) == 2)
        began = time.monotonic()
        for _ in range(20):
            async with asyncio.TaskGroup() as crowd:  # costs no more than one
                for _ in range(20):
                    crowd.create_task(wait_in_vain(running))
        most += (time.monotonic() - began) / slow.suspect_secs
        api.put(pod_json("web-1", containers={"main": "c-2"}))
        await running.until(lambda: running.pods.find(Names("c-2")))

    assert 2 <= follow(then, api=api, timing=slow).verbs().count("watch") <= most


async def wait_in_vain(running: Running) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.03):
            await running.pods.wait(Names("c-2"))


def test_hour_costs_one_list_and_a_watch_every_few_minutes(api: FakeKubernetes) -> None:
    """An hour of 110 busy pods, a thousand times as fast: one list, one namespace, some watches."""
    fast = replace(FAST, start_secs=0.0, silent_secs=0.15, trust_secs=1.8, steady_secs=0.01)

    async def then(running: Running) -> None:
        for minute in range(60):
            for number in range(110 if minute in {0, 30} else 5):
                api.put(pod_json(f"web-{number}", labels={"minute": str(minute)}))
            api.bookmark()
            await asyncio.sleep(0.06)
            if running.pods.find(OF_WEB):
                running.pods.namespace("shop")
            if minute % 7 == 6:
                api.end_watches()
        assert running.pods.pods == 110

    verbs = Counter(follow(then, api=api, timing=fast).verbs())
    assert verbs["list"] == verbs["get"] == 1
    assert verbs["watch"] <= 2 * (1 + 60 // 7)  # a busy machine makes some of them silent
