"""A proxy between the agent and a real kube-apiserver stalls, cuts and garbles what it carries."""

import time
from collections.abc import Callable

import pytest

from tests.e2e.agent import Agent, running
from tests.e2e.record import Record
from tests.e2e.scene import FIRST_DOCUMENT_SECS, Scene, SetUp
from tests.fakes.pipe import Pipe


def test_proxy_that_stalls_at_the_start_holds_up_no_document(
    set_up: SetUp, record_property: Record
) -> None:
    """A connection that is taken and never answered costs the first lines their wait, no more."""
    with set_up() as here:
        here.make_pod(here.first)
        here.pipe.stall()
        began = time.monotonic()
        with running(here.setup) as agent:
            first_secs, document = here.soon(agent, here.first, since=began)
            assert "labels" not in document["kubernetes"]
            next_secs, _ = here.soon(agent, here.unknown)
            here.pipe.flow()
            back_secs = here.until_enriched(agent, here.first)
            assert agent.stop() == 0
    record_property("first", f"{first_secs:.1f} s, next {next_secs:.1f} s, back {back_secs:.1f} s")
    assert max(first_secs, next_secs) < FIRST_DOCUMENT_SECS


def test_proxy_that_stalls_in_mid_run_delays_metadata_alone(set_up: SetUp) -> None:
    """What happens while the stream stands still is known once it flows, and no line waits."""
    with set_up() as here:
        here.make_pod(here.first)
        with running(here.setup) as agent:
            here.until_enriched(agent, here.first)
            here.pipe.stall()
            here.make_pod(here.second)
            secs, document = here.soon(agent, here.second)
            assert document["kubernetes"]["metadata"] == "pending"
            assert secs < FIRST_DOCUMENT_SECS
            here.pipe.flow()
            assert here.until_enriched(agent, here.second) < FIRST_DOCUMENT_SECS
            assert agent.stop() == 0


def test_stream_that_is_cut_within_an_event(set_up: SetUp) -> None:
    """A part of an event is nothing: the whole of it comes with the next watch."""
    with set_up(plain=True) as here:
        here.make_pod(here.first)
        with running(here.setup) as agent:
            here.until_enriched(agent, here.first)
            here.pipe.cut_after(100_000)
            here.make_pod(here.second, annotations={"note": "x" * 200_000})
            here.check_known_goes_on(agent, here.first)
            here.until_enriched(agent, here.second)
            assert agent.metric("shipper_kube_faults_total") == 1
            # A list, a namespace, and the watch twice.
            assert agent.metric("shipper_kube_requests_total") == 4
            assert agent.stop() == 0


HTML = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 9\r\n\r\n<p>log in"
BEGINNINGS: dict[str, Callable[[Pipe], None]] = {
    "cut within a list": lambda pipe: pipe.cut_each_after(700),
    "cut within the head": lambda pipe: pipe.cut_each_after(9),
    "another's page": lambda pipe: pipe.answer(HTML),
    "no HTTP": lambda pipe: pipe.answer(b"\x15\x03\x01\x00\x02\x02\x46\r\n\r\n"),
}


@pytest.mark.parametrize("begin", BEGINNINGS.values(), ids=list(BEGINNINGS))
def test_proxy_that_breaks_or_garbles_from_the_start(
    begin: Callable[[Pipe], None], set_up: SetUp, record_property: Record
) -> None:
    """What is no whole answer is none: documents flow, it is said, and made up for."""
    with set_up(plain=True) as here:
        here.make_pod(here.first, annotations={"note": "x" * 1_000})
        begin(here.pipe)
        began = time.monotonic()
        with running(here.setup) as agent:
            first_secs, document = here.soon(agent, here.first, since=began)
            assert "labels" not in document["kubernetes"]
            agent.until(lambda: "kubernetes: " in agent.get("/readyz")[1], "it says what is wrong")
            assert agent.get("/readyz")[0] == 200
            here.pipe.cut_each_after(None)
            here.pipe.answer(b"")
            back_secs = here.until_enriched(agent, here.first)
            assert agent.stop() == 0
    record_property("first document after", f"{first_secs:.1f} s, metadata {back_secs:.1f} s")
    assert first_secs < FIRST_DOCUMENT_SECS


def test_version_that_is_too_old_for_the_first_watch(set_up: SetUp) -> None:
    """A list that the server knows no more when the watch comes (410) is made again."""
    with set_up(plain=True) as here:
        here.make_pod(here.first)
        here.pipe.stall_at(b"watch=1")
        with running(here.setup) as agent:
            agent.until(lambda: not here.pipe.flows, "the watch is asked for")
            here.check_known_goes_on(agent, here.first)
            let_version_expire(here, agent, pod=here.second)
            assert agent.stop() == 0


def let_version_expire(scene: Scene, agent: Agent, *, pod: str) -> None:
    """Restart the server while the agent hears nothing; it lists anew, and learns of this pod."""
    scene.make_pod(pod)
    scene.api.restart()
    scene.pipe.cut()
    scene.pipe.flow()
    scene.until_enriched(agent, pod)
    assert 'shipper_kube_faults_total{reason="expired"} 1.0' in agent.get("/metrics")[1]


@pytest.mark.parametrize(
    "event", [b"{}", b"\xff\xfe{", b'{"type":"ADDED","object":{"metadata":null}}', b"[" * 5_000]
)
def test_garbage_in_the_stream_is_followed_by_a_list(set_up: SetUp, event: bytes) -> None:
    """What comes between events and is none costs a list, and nothing is missed."""
    with set_up(plain=True) as here:
        here.make_pod(here.first)
        with running(here.setup) as agent:
            here.until_enriched(agent, here.first)
            here.pipe.inject(b"%x\r\n%s\n\r\n" % (len(event) + 1, event))
            here.check_known_goes_on(agent, here.first)
            agent.until_metric("shipper_kube_faults_total", 1)
            here.make_pod(here.second)
            here.until_enriched(agent, here.second)
            assert agent.stop() == 0


def test_version_that_is_too_old_is_listed_anew(set_up: SetUp) -> None:
    """A server that was restarted knows no older version (410): what changed meanwhile is known."""
    with set_up() as here:
        here.make_pod(here.first)
        with running(here.setup) as agent:
            here.until_enriched(agent, here.first)
            here.pipe.stall()
            here.check_known_goes_on(agent, here.first)
            let_version_expire(here, agent, pod=here.second)
            assert agent.stop() == 0
