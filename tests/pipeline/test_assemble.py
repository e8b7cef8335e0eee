"""Parts of a line are joined per stream, and pin where they begin until the line is complete."""

from collections.abc import Iterable
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from shipper.model import Event
from shipper.pipeline.assemble import Assembler
from shipper.pipeline.line import Line, truncation_mark
from tests.pipeline.lines import STREAMS, TEXTS, TIME

OTHER_TIME = "2026-11-24T00:00:00.1Z"


@dataclass(frozen=True, slots=True)
class Part:
    """One physical line and where it was read."""

    text: str
    stream: str = "stdout"
    complete: bool = False
    key: str = "a"
    offset: int = 0
    source_bytes: int = 10
    runtime: str = "docker"

    def line(self, time: str = TIME) -> Line:
        """Return it as decoded; it is made anew each time, as an assembler keeps it."""
        return Line(self.text, time, self.stream, complete=self.complete, runtime=self.runtime)


_RUNTIMES = st.sampled_from(("docker", "docker", "docker", "cri"))


@st.composite
def _parts(draw: st.DrawFn) -> list[Part]:
    """Parts of two streams, over up to three generations, at growing offsets; some are CRI's."""
    drawn = draw(st.lists(st.tuples(TEXTS, STREAMS, st.booleans(), st.integers(0, 9), _RUNTIMES)))
    parts, key, offset = [], 0, 0
    for text, stream, complete, step, runtime in drawn:
        if step == 0 and key < 2:
            key, offset = key + 1, 0
        parts.append(Part(text, stream, complete, "abc"[key], offset, step + 1, runtime))
        offset += step + 1
    return parts


PARTS = _parts()


def assembler(*, max_record_bytes: int = 1 << 20) -> Assembler:
    """Return an assembler without parts."""
    return Assembler("tag", max_record_bytes=max_record_bytes)


def add(joins: Assembler, part: Part, *, time: str = TIME) -> list[Event]:
    """Give an assembler one part."""
    return joins.add(
        part.line(time), key=part.key, offset=part.offset, source_bytes=part.source_bytes
    )


def groups_of(parts: Iterable[Part]) -> tuple[list[list[Part]], dict[str, list[Part]]]:
    """Return the parts of each line that ended, in order of their ends, and those that wait."""
    complete: list[list[Part]] = []
    waiting: dict[str, list[Part]] = {}
    for part in parts:
        group = waiting.pop(part.stream, [])
        if group and group[0].runtime != part.runtime:
            complete.append(group)
            group = []
        group = [*group, part]
        if part.complete:
            complete.append(group)
        else:
            waiting[part.stream] = group
    return complete, waiting


@given(PARTS)
def test_parts_are_joined_per_stream(parts: list[Part]) -> None:
    """I5: Each line has the text of all its parts, and the key and offset of the first."""
    joins = assembler()
    events = [event for part in parts for event in add(joins, part)]
    complete, _ = groups_of(parts)
    made = [(e.record["log"], e.record["stream"], e.key, e.offset) for e in events]
    assert made == [
        ("".join(part.text for part in group), first.stream, first.key, first.offset)
        for group in complete
        for first in group[:1]
    ]
    unfinished = [not group[-1].complete for group in complete]
    assert ["shipper" in event.record for event in events] == unfinished


@given(PARTS)
def test_no_position_points_inside_an_event(parts: list[Part]) -> None:
    """I4: A stream is pinned at its first waiting part in every file that has one, only there."""
    joins = assembler()
    for count, part in enumerate(parts, 1):
        add(joins, part)
        waiting = groups_of(parts[:count])[1]
        for key in "abc":
            starts = {
                stream: min(part.offset for part in group if part.key == key)
                for stream, group in waiting.items()
                if any(part.key == key for part in group)
            }
            assert joins.pins(key) == starts
        assert joins.pinned_keys() == {part.key for group in waiting.values() for part in group}
        assert joins.idle == (not waiting)


@given(PARTS)
def test_bytes_are_pending_or_in_an_event(parts: list[Part]) -> None:
    """I9: The bytes of the events and those that wait are all that were given."""
    joins, done = assembler(), 0
    for count, part in enumerate(parts, 1):
        done += sum(event.source_bytes for event in add(joins, part))
        assert done + joins.pending_bytes == sum(part.source_bytes for part in parts[:count])
        waiting = groups_of(parts[:count])[1]
        for key in "abc":
            sizes = [p.source_bytes for group in waiting.values() for p in group if p.key == key]
            assert joins.pending_in(key) == sum(sizes)
        assert joins.waiting() == {
            stream: sum(part.source_bytes for part in group) for stream, group in waiting.items()
        }


@given(PARTS)
def test_a_flush_delivers_what_waits(parts: list[Part]) -> None:
    """What waits comes out once, flagged as unfinished, and nothing is pinned any more."""
    joins = assembler()
    for part in parts:
        add(joins, part)
    events = joins.flush()
    waiting = groups_of(parts)[1]
    texts = {event.record["stream"]: event.record["log"] for event in events}
    assert texts == {s: "".join(part.text for part in group) for s, group in waiting.items()}
    assert all(event.record["shipper"] == {"flags": ["unfinished"]} for event in events)
    assert joins.idle
    assert not joins.pinned_keys()
    assert joins.flush() == []


@given(PARTS, STREAMS)
def test_a_flush_of_one_stream_leaves_the_other(parts: list[Part], stream: str) -> None:
    """Only what waits on the streams that are named comes out; the rest goes on waiting."""
    joins = assembler()
    for part in parts:
        add(joins, part)
    waiting = joins.waiting()
    events = joins.flush({stream})
    assert [event.record["stream"] for event in events] == [s for s in waiting if s == stream]
    assert joins.waiting() == {s: size for s, size in waiting.items() if s != stream}
    assert joins.flush(()) == []


def test_runtimes_do_not_go_on_with_each_others_lines() -> None:
    """I4: Where CRI goes on with a stream of docker's, what waited ends there, and pins nothing."""
    joins = assembler()
    add(joins, Part("a", offset=7))
    add(joins, Part("x", stream="stderr", offset=8))
    unfinished, whole = add(joins, Part("b", complete=True, offset=20, runtime="cri"))
    assert (unfinished.record["log"], unfinished.offset) == ("a", 7)
    assert unfinished.record["shipper"] == {"flags": ["unfinished"]}
    assert (whole.record["log"], whole.offset) == ("b", 20)
    assert joins.pins("a") == {"stderr": 8}


@given(PARTS, PARTS)
def test_a_snapshot_is_not_touched_by_what_follows(parts: list[Part], more: list[Part]) -> None:
    """An assembler that was restored joins as if what followed its snapshot had not been."""
    joins, straight = assembler(max_record_bytes=10), assembler(max_record_bytes=10)
    for part in parts:
        add(joins, part)
        add(straight, part)
    snapshot = joins.snapshot()
    for part in more:
        add(joins, part)
    joins.restore(snapshot)
    assert [joins.pins(key) for key in "abc"] == [straight.pins(key) for key in "abc"]
    assert joins.waiting() == straight.waiting()
    assert [add(joins, part) for part in more] == [add(straight, part) for part in more]
    assert joins.flush() == straight.flush()


@given(st.lists(st.text(), min_size=2), st.integers(1, 20))
def test_a_joined_line_keeps_no_more_than_its_limit(texts: list[str], limit: int) -> None:
    """A joined text is whole, or its head up to the limit with a mark and the original length."""
    joins, whole = assembler(max_record_bytes=limit), "".join(texts)
    for text in texts[:-1]:
        assert add(joins, Part(text)) == []
    (event,) = add(joins, Part(texts[-1], complete=True))
    size = len(whole.encode())
    if size <= limit:
        assert event.record["log"] == whole
        assert "shipper" not in event.record
    else:
        head = whole.encode()[:limit].decode(errors="ignore")
        assert event.record["log"] == head + truncation_mark(size)
        assert event.record["shipper"] == {"flags": ["truncated"], "original_bytes": size}


def test_memory_ends_at_the_limit() -> None:
    """Parts behind the limit are counted, not kept."""
    joins = assembler(max_record_bytes=100)
    for offset in range(1000):
        add(joins, Part("x" * 60, offset=offset))
    (pending,) = joins.snapshot().values()
    assert sum(map(len, pending.parts)) == 100
    assert len(pending.parts) == 2
    assert pending.text_bytes == 60_000


def test_a_joined_line_has_the_time_of_its_first_part() -> None:
    """I5: The first part decides the time, and so the index, however late the end is."""
    joins = assembler()
    add(joins, Part("a"))
    (event,) = add(joins, Part("b\n", complete=True), time=OTHER_TIME)
    assert event.time == event.record["@timestamp"] == TIME


def test_flags_of_all_parts_are_on_the_event_once() -> None:
    """A flag of any part is one of the event, and attrs are those of the first."""
    joins = assembler()
    lines = [
        Line("a", TIME, "stdout", complete=False, attrs={"n": "1"}, flags=("x",)),
        Line("b", TIME, "stdout", complete=False, flags=("y", "x")),
        Line("c\n", TIME, "stdout", attrs={"n": "2"}, flags=("z",)),
    ]
    events = [joins.add(line, key="a", offset=0, source_bytes=1) for line in lines]
    assert events[:2] == [[], []]
    (event,) = events[2]
    assert list(event.record.items()) == [
        ("log", "abc\n"),
        ("stream", "stdout"),
        ("@timestamp", TIME),
        ("attrs", {"n": "1"}),
        ("shipper", {"flags": ["x", "y", "z"]}),
    ]


def test_a_line_without_a_stream_has_no_such_field() -> None:
    """A plain line between the parts of a stream is an event of its own, with no stream."""
    joins = assembler()
    add(joins, Part("a"))
    events = joins.add(Line("plain", TIME), key="a", offset=5, source_bytes=6)
    assert events == [Event("tag", TIME, {"log": "plain", "@timestamp": TIME}, "a", 5, 6)]
    assert joins.pins("a") == {"stdout": 0}
