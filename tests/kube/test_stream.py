"""What the API sends, read without trust: any bytes are events, or one kind of fault."""

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipper.errors import KubeUnavailable
from shipper.kube.stream import Lines, event_of, pods_of, retry_after_of
from shipper.kube.table import PodTable
from tests.kube.pods import pod, pod_json

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
NAMES = [
    *("type", "object", "metadata", "resourceVersion", "uid", "name", "namespace", "spec"),
    *("status", "containerStatuses", "containerID", "labels", "kind", "items", "code"),
]
LIKE_AN_EVENT = st.recursive(
    JSON | st.sampled_from(["ADDED", "DELETED", "BOOKMARK", "ERROR", "PodList", "7", "u"]),
    lambda inner: st.dictionaries(st.sampled_from(NAMES), inner, max_size=6) | st.lists(inner),
    max_leaves=12,
)


@given(
    line=st.binary()
    | JSON.map(json.dumps).map(str.encode)
    | LIKE_AN_EVENT.map(json.dumps).map(str.encode)
)
def test_any_line_is_an_event_or_a_fault(line: bytes) -> None:
    """Nothing that comes out of a stream is an exception of another kind, nor harms the table."""
    table = PodTable()
    with suppress(KubeUnavailable):
        event = event_of(line)
        assert event.version
        if event.pod is not None:
            table.put(event.pod)
            table.remove(event.pod)
            table.forget(event.pod.uid)


@given(body=st.binary() | LIKE_AN_EVENT.map(json.dumps).map(str.encode))
def test_any_body_is_a_list_or_a_fault(body: bytes) -> None:
    """Nothing that is answered to a list is an exception of another kind."""
    with suppress(KubeUnavailable):
        version, pods = pods_of(body)
        PodTable().replace(pods)
        assert version


@given(lines=st.lists(st.text(min_size=1).filter(str.strip)), data=st.data())
def test_lines_are_the_same_however_the_stream_is_cut(
    lines: list[str], data: st.DataObject
) -> None:
    """Where the network cuts a stream says nothing of its lines."""
    whole = "".join(f"{json.dumps(line)}\n" for line in lines).encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)))))
    found, splitter = [], Lines()
    for begin, end in zip([0, *cuts], [*cuts, len(whole)], strict=True):
        found += splitter.feed(whole[begin:end])
    assert [json.loads(line) for line in found] == lines
    assert splitter.pending_bytes == 0


def test_end_of_a_line_that_has_not_come_is_told() -> None:
    """What is left is a part of an event: the stream was cut."""
    lines = Lines()
    assert lines.feed(b'{"a":1}\n{"b"') == [b'{"a":1}']
    assert lines.pending_bytes == 4


def test_list_is_read_whole() -> None:
    """Each pod of a list is there, and the version that a watch begins at."""
    items = [pod_json(f"web-{number}") for number in range(3)]
    body = {"kind": "PodList", "metadata": {"resourceVersion": "17"}, "items": items}
    version, pods = pods_of(json.dumps(body).encode())
    assert version == "17"
    assert sorted(each.name for each in pods) == ["web-0", "web-1", "web-2"]


@pytest.mark.parametrize("items", [[], None])
def test_empty_list_is_a_list(items: object) -> None:
    """A node without pods is one, however the server writes that."""
    body = {"kind": "PodList", "metadata": {"resourceVersion": "17"}, "items": items}
    assert list(pods_of(json.dumps(body).encode())[1]) == []


def test_bookmark_moves_the_version_alone() -> None:
    """A bookmark is of no pod, though it looks like an empty one."""
    line = (
        b'{"type":"BOOKMARK","object":{"kind":"Pod","apiVersion":"v1","metadata":'
        b'{"resourceVersion":"287"},"spec":{"containers":null},"status":{}}}'
    )
    event = event_of(line)
    assert (event.kind, event.version, event.pod) == ("BOOKMARK", "287", None)


def test_event_has_its_pod() -> None:
    """What is known of a pod is what the event says."""
    line = json.dumps({"type": "MODIFIED", "object": pod_json(version="9")}).encode()
    event = event_of(line)
    assert (event.kind, event.version, event.pod) == ("MODIFIED", "9", pod())


@pytest.mark.parametrize(
    ("code", "reason", "relist"),
    [(410, "expired", True), (500, "server", True), (429, "server", False)],
)
def test_error_ends_the_watch(code: int, reason: str, relist: bool) -> None:
    """An error in the stream is a fault with the server's words and its wait."""
    told = {"code": code, "message": "too old", "details": {"retryAfterSeconds": 3}}
    with pytest.raises(KubeUnavailable, match="too old") as caught:
        event_of(json.dumps({"type": "ERROR", "object": told}).encode())
    assert (caught.value.reason, caught.value.relist) == (reason, relist)
    assert caught.value.retry_after_secs == 3.0


@pytest.mark.parametrize("secs", [None, True, "3", [], {}])
def test_wait_of_another_type_is_none(secs: object) -> None:
    """A wait that is no number is none."""
    assert retry_after_of({"details": {"retryAfterSeconds": secs}}) is None
