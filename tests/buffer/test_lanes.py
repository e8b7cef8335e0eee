"""Lanes: noisy series keep out of the way, and no position overtakes the lines before it."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from shipper.buffer.chunk import OpenChunk, Read
from shipper.buffer.lanes import Lanes
from shipper.model import Documents, Lane, Position, SavedFile
from tests.buffer.powerloss.model import GivenPace
from tests.buffer.running import body_of, settings

STEMS = ("/a.log", "/b.log", "/c.log")


def lanes_of(*, in_order: bool = False, **limits: float) -> tuple[Lanes, GivenPace]:
    """Lanes, and what decides who is noisy."""
    lanes, pace = Lanes(settings(**limits), in_order=in_order), GivenPace()
    lanes._pace = pace  # noqa: SLF001  # what a clock would decide
    return lanes, pace


def file_at(stem: str, end: int) -> SavedFile:
    """A position of the one file of a series."""
    return SavedFile(stem, stem, stem, 1, 1, Position(end))


def read_of(stem: str, end: int, *more: SavedFile, forgotten: tuple[SavedFile, ...] = ()) -> Read:
    """The line of a series before an offset."""
    documents = Documents(body_of([end]), 1, 1)
    return Read(documents, (file_at(stem, end), *more), 1, forgotten=forgotten)


def take(lanes: Lanes, *, opened_before: float = 0.0) -> OpenChunk:
    chunk = lanes.take(opened_before=opened_before)
    assert chunk is not None
    return chunk


def test_noisy_series_have_a_chunk_of_their_own() -> None:
    """What is to arrive soon is not behind the mass of what noisy series write."""
    lanes, pace = lanes_of()
    pace.noisy = True
    lanes.add(read_of("/a.log", 1), now=0)
    pace.noisy = False
    lanes.add(read_of("/b.log", 1), now=0)
    express, bulk = take(lanes), take(lanes)
    assert (express.lane, list(express.files)) == (Lane.EXPRESS, ["/b.log"])
    assert (bulk.lane, list(bulk.files)) == (Lane.BULK, ["/a.log"])
    assert lanes.take(opened_before=0) is None


def test_series_stays_in_a_lane_until_that_is_sealed() -> None:
    """I6: the open chunk that holds something of a series takes what comes next of it."""
    lanes, pace = lanes_of()
    lanes.add(read_of("/a.log", 1), now=0)
    pace.noisy = True
    assert lanes.of("/a.log", now=0).lane is Lane.EXPRESS
    lanes.add(read_of("/a.log", 2), now=0)
    assert take(lanes).documents == 2
    lanes.add(read_of("/a.log", 3), now=0)
    pace.noisy = False
    lanes.add(read_of("/a.log", 4), now=0)
    bulk = take(lanes)
    assert (bulk.lane, bulk.documents) == (Lane.BULK, 2)


def test_series_that_becomes_noisy_leaves_the_express_lane_at_once() -> None:
    """Its first block that is too much makes the express chunk due; the next one is elsewhere."""
    lanes, pace = lanes_of()
    lanes.add(read_of("/a.log", 1), now=5)
    pace.noisy = True
    assert lanes.add(read_of("/a.log", 2), now=5), "due"
    assert not lanes.of("/a.log", now=5).has_room.is_set()
    assert take(lanes, opened_before=0).documents == 2
    assert lanes.of("/a.log", now=5).lane is Lane.BULK
    assert lanes.of("/a.log", now=5).has_room.is_set()


def test_large_block_of_a_silent_series_goes_where_it_belongs() -> None:
    """What a block brings counts for the block itself: a burst that is too long is no express."""
    lanes = Lanes(settings(), in_order=False)
    documents = Documents(b"x" * 1_000_000, 1, 1)
    lanes.add(Read(documents, (file_at("/a.log", 1),), 1), now=0)
    assert take(lanes).lane is Lane.BULK


def test_positions_of_others_stay_in_their_lanes() -> None:
    """I6: what a read says of other series goes where the lines of those are."""
    lanes, pace = lanes_of()
    pace.noisy = True
    lanes.add(read_of("/a.log", 5), now=0)
    pace.noisy = False
    lanes.add(read_of("/b.log", 1), now=0)
    others = (file_at("/a.log", 6), file_at("/c.log", 7))
    lanes.add(read_of("/b.log", 2, *others), now=0)
    lanes.add(read_of("/b.log", 3, forgotten=(others[0],)), now=0)
    express, bulk = take(lanes), take(lanes)
    assert (express.documents, bulk.documents) == (3, 1)
    assert sorted(express.files) == ["/b.log", "/c.log"]
    assert (bulk.files, bulk.forgotten) == ({}, {"/a.log"})


def test_file_that_another_series_goes_on_with_stays_in_its_lane() -> None:
    """I6: what follows of it under a second name is not committed before the lines before it."""
    lanes, pace = lanes_of()
    pace.noisy = True
    lanes.add(read_of("/a.log", 5), now=0)
    pace.noisy = False
    lanes.add(read_of("/b.log", 1), now=0)
    moved = replace(file_at("/a.log", 6), stem="/b.log")
    lanes.add(Read(Documents(body_of([6]), 1, 1), (moved, file_at("/b.log", 1)), 1), now=0)
    lanes.add(read_of("/b.log", 2), now=0)
    express, bulk = take(lanes), take(lanes)
    assert (express.documents, bulk.documents) == (2, 2)
    assert (list(express.files), bulk.files) == (["/b.log"], {"/a.log": moved})


def test_in_order_there_is_one_lane() -> None:
    """Where nothing may overtake, noisy and quiet series share their chunks."""
    lanes, pace = lanes_of(in_order=True)
    lanes.add(read_of("/a.log", 1), now=0)
    pace.noisy = True
    lanes.add(read_of("/b.log", 1), now=0)
    assert take(lanes).documents == 2
    assert lanes.take(opened_before=0) is None


def test_full_lane_leaves_room_in_the_other() -> None:
    """A chunk that is full is due, whatever its age, and stops only those who go into it."""
    lanes, pace = lanes_of(chunk_documents=2)
    pace.noisy = True
    assert lanes.add(read_of("/a.log", 1), now=5), "opened"
    assert lanes.add(read_of("/a.log", 2), now=5), "full"
    pace.noisy = False
    assert not lanes.of("/a.log", now=5).has_room.is_set()
    assert lanes.of("/b.log", now=5).has_room.is_set()
    assert take(lanes, opened_before=0).lane is Lane.BULK
    assert lanes.of("/a.log", now=5).has_room.is_set()


def test_age_is_that_of_the_oldest() -> None:
    """The next chunk that is due by its age is the one that was opened first."""
    lanes, pace = lanes_of()
    pace.noisy = True
    lanes.add(read_of("/a.log", 1), now=3)
    pace.noisy = False
    lanes.add(read_of("/b.log", 1), now=4)
    assert lanes.opened_at == 3
    assert take(lanes, opened_before=3).lane is Lane.BULK
    assert lanes.take(opened_before=3) is None
    lanes.hurry(opened_at=2)
    assert take(lanes, opened_before=2).lane is Lane.EXPRESS


steps = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(STEMS), st.booleans(), st.lists(st.sampled_from(STEMS))),
        st.just(None),
    ),
    max_size=60,
)


@given(steps)
def test_no_position_before_its_lines(
    taken: list[tuple[str, bool, list[str]] | None],
) -> None:
    """I6: in whatever lanes, a sealed position has all lines before it in chunks sealed by then."""
    lanes, pace = lanes_of()
    ends, sealed = dict.fromkeys(STEMS, 0), dict.fromkeys(STEMS, 0)
    for step in [*taken, None, None]:
        if step is not None:
            stem, pace.noisy, others = step
            ends[stem] += 1
            more = [file_at(other, ends[other]) for other in others if other != stem]
            lanes.add(read_of(stem, ends[stem], *more), now=0)
            continue
        chunk = lanes.take(opened_before=0)
        for stem, file in chunk.files.items() if chunk else ():
            sealed[stem] = max(sealed[stem], file.position.end)
        waiting = [lane.chunk for lane in lanes._lanes if lane.chunk]  # noqa: SLF001
        for stem in STEMS:
            left = [c.files[stem].position.end for c in waiting if stem in c.files]
            assert len(left) <= 1, "only one lane holds something of a series"
            assert all(end >= sealed[stem] for end in left)
    assert sealed == ends
