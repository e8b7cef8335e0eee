"""The watch: one list, then what happens; every way in which it can end, and what comes after."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from shipper.kube import stream
from shipper.pipeline.names import Names
from shipper.pipeline.pod import to_json
from tests.fakes.kubernetes import (
    Act,
    FakeKubernetes,
    expired,
    fall_silent,
    hang,
    refuse,
    say,
    well,
)
from tests.kube import running
from tests.kube.pods import pod, pod_json
from tests.kube.running import FAST, NO_NAMESPACES, Rows, Running


def follow(
    then: Callable[[Running], Awaitable[None]],
    *,
    api: FakeKubernetes | None = None,
    **settings: Any,  # noqa: ANN401  # those of `following`
) -> FakeKubernetes:
    """Run a test against a fake that is asked for pods alone."""
    return running.follow(then, api=api or FakeKubernetes(), **{**NO_NAMESPACES, **settings})


def with_pod(*script: Act) -> FakeKubernetes:
    api = FakeKubernetes(script=list(script))
    api.put(pod_json())
    return api


async def knows_the_change(running: Running) -> None:
    """A change that is made now gets known."""
    running.api.put(pod_json(labels={"changed": "yes"}))
    await running.until(lambda: labels_of(running, "uid-of-web-0") == {"changed": "yes"})


def labels_of(running: Running, uid: str) -> dict[str, str] | None:
    found = running.pods._table.live.get(uid)  # noqa: SLF001  # it owns the table
    return None if found is None else dict(found.labels)


def test_one_list_and_one_watch_know_everything() -> None:
    """What there was and what happens is known by two requests, of this node alone."""

    async def then(running: Running) -> None:
        await running.until(lambda: running.pods.synced)
        await knows_the_change(running)
        running.api.put(pod_json("web-1"))
        await running.until(lambda: running.pods.pods == 2)
        running.api.delete("uid-of-web-0")
        await running.until(lambda: running.pods.gone_pods == 1)

    api = follow(then, api=with_pod())
    listed, watched = api.asked
    selector = {"fieldSelector": "spec.nodeName=node-1"}
    assert listed.query == selector | {"resourceVersion": "0"}
    secs = int(watched.query.pop("timeoutSeconds"))
    assert 300 <= secs <= 600
    assert watched.query == selector | {
        "watch": "1",
        "allowWatchBookmarks": "true",
        "resourceVersion": "2",
    }


def test_whole_cluster_is_asked_for_only_if_that_is_wanted() -> None:
    """With `scope: cluster` there is no selector."""

    async def then(running: Running) -> None:
        await running.until(lambda: running.api.verbs() == ["list", "watch"])

    api = follow(then, scope="cluster")
    assert all("fieldSelector" not in each.query for each in api.asked)


def test_watch_that_ends_is_resumed_where_it_ended() -> None:
    """The end of a stream costs one watch, from the version of the last event or bookmark."""

    async def then(running: Running) -> None:
        await running.until(lambda: running.pods.synced)
        await knows_the_change(running)
        running.api.bookmark()
        await running.until(lambda: running.sample("shipper_kube_events_total", type="BOOKMARK"))
        running.api.end_watches()
        await running.until(lambda: len(running.api.asked) == 3)
        assert running.pods.concern == ""
        running.api.delete("uid-of-web-0")
        await running.until(lambda: running.pods.gone_pods)

    api = follow(then, api=with_pod(), timing=replace(FAST, silent_secs=30))
    assert api.verbs() == ["list", "watch", "watch"]
    assert api.asked[-1].query["resourceVersion"] == "4"


def test_silent_watch_is_asked_for_again() -> None:
    """A server that says nothing for long may be gone: the next watch begins where that was."""

    async def then(running: Running) -> None:
        await running.until(lambda: len(running.api.asked) == 3)
        await knows_the_change(running)
        assert running.pods.concern == ""

    api = follow(then, api=with_pod(well, fall_silent))
    assert api.verbs()[:3] == ["list", "watch", "watch"]


def test_version_without_any_sign_is_not_trusted_for_ever() -> None:
    """A version that the server does not know gets silence: in the end all is listed again."""

    async def then(running: Running) -> None:
        await running.until(lambda: running.api.verbs().count("list") == 2)

    script = [well, *[fall_silent] * 20]
    api = follow(
        then, api=with_pod(*script), timing=replace(FAST, silent_secs=0.05, trust_secs=0.2)
    )
    assert "watch" in api.verbs()


GARBAGE = {
    "no JSON": b'{"type":"MODI\n',
    "no event": b"[1,2]\n",
    "no type": b'{"object":{}}\n',
    "unknown type": b'{"type":"X","object":{"metadata":{"resourceVersion":"3"}}}\n',
    "no version": b'{"type":"ADDED","object":{"metadata":{"uid":"u","name":"n"}}}\n',
    "no pod": b'{"type":"ADDED","object":{"metadata":{"resourceVersion":"3"}}}\n',
    "object of another type": b'{"type":"ADDED","object":7}\n',
    "error of another type": b'{"type":"ERROR","object":"gone"}\n',
    "server error": b'{"type":"ERROR","object":{"code":500,"message":"etcd is away"}}\n',
    "expired": json.dumps(expired()).encode() + b"\n",
}


@pytest.mark.parametrize("line", GARBAGE.values(), ids=list(GARBAGE))
def test_what_makes_no_sense_is_followed_by_a_list(line: bytes) -> None:
    """After garbage or a 410 nothing may be missing: all is listed again."""

    async def then(running: Running) -> None:
        await running.until(lambda: running.api.verbs() == ["list", "watch", "list", "watch"])
        await knows_the_change(running)
        assert running.pods.concern == ""

    follow(then, api=with_pod(well, say(line)), timing=replace(FAST, silent_secs=30))


def test_expired_version_of_a_list_is_followed_by_a_consistent_list() -> None:
    """A server whose cache is too old even for its own watch is asked for what etcd has."""

    async def then(running: Running) -> None:
        await running.until(lambda: len(running.api.asked) == 4)

    gone = json.dumps(expired()).encode() + b"\n"
    api = follow(then, api=with_pod(well, say(gone)))
    assert api.asked[0].query["resourceVersion"] == "0"
    assert "resourceVersion" not in api.asked[2].query


def test_version_forgotten_by_the_server_is_listed_again() -> None:
    """A 410 in the stream after events have come costs one list out of the server's cache."""

    async def then(running: Running) -> None:
        await running.until(lambda: running.pods.synced)
        await knows_the_change(running)
        running.api.delete("uid-of-web-0")
        running.api.compact()
        running.api.events.clear()
        running.api.end_watches()
        await running.until(lambda: running.pods.pods == 0)
        assert running.pods.gone_pods == 1

    api = follow(then, api=with_pod(), timing=replace(FAST, silent_secs=30))
    assert "list" in api.verbs()[1:]


@pytest.mark.parametrize("end", [b'{"type":"MODIF', b""], ids=["within an event", "between"])
def test_stream_that_is_cut_is_resumed(end: bytes) -> None:
    """A stream that breaks off costs a watch, and no event is lost or taken in part."""
    whole = json.dumps({"type": "MODIFIED", "object": pod_json(version="5", labels={"a": "b"})})

    async def then(running: Running) -> None:
        await running.until(lambda: len(running.api.asked) == 3)
        assert labels_of(running, "uid-of-web-0") == {"a": "b"}

    api = follow(then, api=with_pod(well, say(whole.encode() + b"\n" + end, cut=True)))
    assert api.verbs()[:3] == ["list", "watch", "watch"]
    assert api.asked[2].query["resourceVersion"] == "5"


def test_watch_that_ends_at_once_is_not_asked_for_without_end() -> None:
    """A proxy that ends every stream as soon as it begins does not make a loop without a pause."""

    async def then(running: Running) -> None:
        await asyncio.sleep(0.5)
        assert running.pods.concern

    api = follow(then, api=with_pod(well, *[say()] * 10_000), timing=replace(FAST, steady_secs=60))
    assert 5 <= len(api.asked) <= 100


def test_event_comes_in_pieces() -> None:
    """However the bytes of the stream are cut, the events are the same."""
    whole = json.dumps({"type": "MODIFIED", "object": pod_json(version="5", labels={"a": "ü\n"})})
    pieces = [bytes([byte]) for byte in whole.encode() + b"\n"]

    async def then(running: Running) -> None:
        await running.until(lambda: labels_of(running, "uid-of-web-0") == {"a": "ü\n"})

    follow(then, api=with_pod(well, say(*pieces)))


def test_endless_line_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line without an end does not fill the memory."""
    monkeypatch.setattr(stream, "MAX_LINE_BYTES", 1 << 20)

    async def then(running: Running) -> None:
        await running.until(lambda: len(running.api.asked) == 4)
        await knows_the_change(running)
        assert running.sample("shipper_kube_faults_total", reason="garbage") == 1

    follow(then, api=with_pod(well, say(*[b"x" * (256 << 10)] * 6)))


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", b"<html>log in</html>", b'{"kind":"PodList","metadata":{},"items":[]}'],
)
def test_answer_that_is_no_list_empties_nothing(body: bytes) -> None:
    """What a proxy says in the place of the API is not taken for a node without pods."""

    async def then(running: Running) -> None:
        await running.until(lambda: running.pods.synced)
        running.api.script += [say(json.dumps(expired()).encode() + b"\n"), say(body)]
        running.api.end_watches()
        await running.until(lambda: running.sample("shipper_kube_faults_total", reason="garbage"))
        assert running.pods.pods == 1
        await knows_the_change(running)

    follow(then, api=with_pod(), timing=replace(FAST, silent_secs=30))


def test_strange_items_of_a_list_are_left_out() -> None:
    """One item that is no pod costs no other its metadata."""
    items = [7, {"metadata": []}, {"metadata": {"uid": 3}}, pod_json()]
    body = {"kind": "PodList", "metadata": {"resourceVersion": "9"}, "items": items}

    async def then(running: Running) -> None:
        await running.until(lambda: running.pods.pods == 1)

    follow(then, api=with_pod(say(json.dumps(body).encode())))


def test_server_is_left_alone_for_as_long_as_it_asks() -> None:
    """A 429 with Retry-After is not followed by a request before that."""

    async def then(running: Running) -> None:
        await running.until(lambda: running.pods.concern)
        loop = asyncio.get_running_loop()
        began = loop.time()
        await running.until(lambda: running.pods.synced)
        assert loop.time() - began > 0.9
        assert "429" not in running.pods.concern

    follow(then, api=with_pod(refuse(429, "too many", headers={"Retry-After": "1"})))


def test_fault_is_told_once_and_its_end_too(caplog: pytest.LogCaptureFixture) -> None:
    """A fault that stays is one message; when it is over, there is another."""
    caplog.set_level("INFO")

    async def then(running: Running) -> None:
        await running.until(lambda: running.pods.synced)
        assert running.pods.concern == ""

    follow(then, api=with_pod(*[refuse(500, "etcd is away")] * 4))
    told = [record.getMessage() for record in caplog.records]
    assert len([each for each in told if "etcd is away" in each]) == 1
    assert told.count("the Kubernetes API answers again") == 1


def test_node_without_pods_is_doubted(caplog: pytest.LogCaptureFixture) -> None:
    """No pod on the node that the agent runs on means that its name is another."""

    async def then(running: Running) -> None:
        await running.until(lambda: running.pods.concern)
        assert "node-1" in running.pods.concern
        running.api.put(pod_json())
        await running.until(lambda: not running.pods.concern)

    follow(then)
    assert "knows no pod of node node-1" in caplog.text


def test_nobody_waits_for_an_api_that_does_not_answer() -> None:
    """Whoever waits goes on when the API turns out to be silent, with what was known before."""
    names = Names(pod_uid=pod().uid)

    async def then(running: Running) -> None:
        assert running.pods.find(names) is None
        async with asyncio.timeout(5):
            await running.pods.wait(names)
        assert running.pods.away
        assert running.pods.find(names) == pod()

    rows = Rows({("pod", pod().uid): to_json(pod())})
    follow(then, api=FakeKubernetes(script=[hang]), rows=rows)
