"""Blocks become the same documents however they are cut, and every byte of them is accounted."""

import json
from io import BytesIO
from itertools import islice
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shipper.model import Documents, Position
from shipper.pipeline.chain import Chain
from shipper.pipeline.decode import decode
from shipper.pipeline.enrich import Enrichment
from shipper.pipeline.line import Line
from tests.pipeline.lines import (
    BLOCKS,
    CHANGED,
    DAY,
    HOSTILE,
    NOW,
    ORDINARY,
    PARTS,
    TIME,
    UNENDED,
    WHOLE,
    cut_at_lines,
    docker,
)
from tests.pipeline.lines_cri import (
    CHANGED_CRI,
    CRI_PARTS,
    HOSTILE_CRI,
    MIXED_BLOCKS,
    ORDINARY_CRI,
    WHOLE_CRI,
    cri,
)
from tests.pipeline.reference import (
    KEY,
    PATH,
    Document,
    documents_of,
    make_chain,
    reference,
    reference_body,
)

LINES = st.lists(st.integers(0, 100), max_size=5)
"""Where to cut, in lines."""

OFFSETS = st.integers(0, 1 << 50)
LENGTHS = st.integers(0, 400)
ODDLESS = (docker("<" * 50 + "\n"), cri("<" * 80))
PATHS = st.sampled_from((PATH, "/var/log/kubelet.log"))


def taken(
    chain: Chain,
    block: bytes,
    offset: int = 0,
    *,
    saved: Position | None = None,
    since: str = "",
) -> Documents:
    """Give a chain a block of the file KEY."""
    return chain.block(block, offset, key=KEY, now=NOW, saved=saved, since=since)


def made_of(blocks: list[bytes], offset: int = 0) -> list[Document]:
    """Return what a new chain makes of blocks that follow one another."""
    chain, documents = make_chain(), []
    for block in blocks:
        documents += documents_of(taken(chain, block, offset).body)
        offset += len(block)
    return documents


@settings(max_examples=max(500, settings().max_examples))
@given(st.lists(BLOCKS | MIXED_BLOCKS, max_size=3).map(b"".join), LINES, OFFSETS)
def test_any_cut_makes_the_same_documents(data: bytes, cuts: list[int], offset: int) -> None:
    """I5: However a file is cut into blocks, each document is the reference path's."""
    assert made_of(cut_at_lines(data, cuts), offset) == reference(data, offset)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_every_change_of_a_line_makes_the_same_documents(size: int) -> None:
    """Each kind of hostile line goes through any size of block as through the reference path."""
    data = b"".join(line + docker("\u003c\n") for line in CHANGED)
    data += b"".join(line + cri("\u003c") for line in CHANGED_CRI)
    cuts = list(range(0, data.count(b"\n"), size))
    assert made_of(cut_at_lines(data, cuts)) == reference(data)


@settings(max_examples=settings().max_examples // 4)
@given(
    st.lists(
        st.tuples(HOSTILE | ORDINARY | HOSTILE_CRI, st.sampled_from(ODDLESS), st.integers(0, 600)),
        min_size=1,
        max_size=4,
    ),
    OFFSETS,
)
def test_large_blocks_are_halved_without_a_change(
    runs: list[tuple[bytes, bytes, int]], offset: int
) -> None:
    """A block of any size, with hostile lines anywhere in it, makes the reference's documents."""
    data = b"".join(odd + line * count for odd, line, count in runs)
    assert made_of([data], offset) == reference(data, offset)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Lines that the reference path was asked for; its documents of CRI lines do not show it."""
    lines = []

    def decode_and_note(raw: bytes, *, now: str, container: bool) -> Line:
        lines.append(raw)
        return decode(raw, now=now, container=container)

    monkeypatch.setattr("shipper.pipeline.chain.decode", decode_and_note)
    return lines


@pytest.mark.parametrize("line", ODDLESS, ids=["docker", "cri"])
def test_ordinary_blocks_are_not_taken_line_by_line(line: bytes, asked: list[bytes]) -> None:
    """The reference path is not asked for a block of ordinary lines, nor for most around an odd."""
    assert taken(make_chain(), line * 3000).count == 3000
    assert not asked
    odd = (b"odd\n", b"\0" + line, line.replace(b"11-23", b"11-24"))
    for place in (1, 1500, 2000, 2500):
        asked.clear()
        block = line * place + odd[place % 3] + line * (4000 - place)
        assert taken(make_chain(), block).count == 4001
        assert 0 < len(asked) < 600


def test_parts_cost_their_neighbourhood_only(asked: list[bytes]) -> None:
    """CRI-O writes a part each 8 KiB: the reference path takes it and its end, and no others."""
    block = (cri("a" * 80) * 60 + cri("b", tags="P") + cri("c")) * 30
    made = taken(make_chain(), block)
    assert (made.count, made.chunked_bytes) == (61 * 30, len(block))
    assert len(asked) == 2 * 30
    assert documents_of(made.body) == reference(block)


@pytest.mark.parametrize("tags", ["P", "PF", "PPPF"])
def test_a_block_may_be_all_parts(tags: str) -> None:
    """Thousands of parts in one block are no deeper than one, and no line is lost."""
    block = b"".join(cri("a", tags=tag) for tag in tags) * (20_000 // len(tags))
    chain = make_chain()
    made = taken(chain, block)
    assert made.count == tags.count("F") * 20_000 // len(tags)
    assert made.chunked_bytes + chain.assembler.pending_bytes == len(block)


def test_one_odd_line_costs_its_neighbourhood_only() -> None:
    """Around an odd line a large block still takes the fast path, which copies escapes as is."""
    line = docker("caf\u00e9 " * 20 + "\n")
    block = line * 1000 + docker("another day\n", time="2026-11-24T00:00:00.1Z") + line * 1000
    made = taken(make_chain(), block)
    assert made.count == 2001
    assert b"\\u00e9" in line
    lines = list(BytesIO(made.body))[1::2]
    assert 1500 < sum(b"\\u00e9" in document for document in lines) < 2000


HOLES = st.sampled_from((b"\0", b"\0\0\0\n", b"\0" * 3_000))
ANY_BYTES = BLOCKS | UNENDED | MIXED_BLOCKS | HOLES | st.binary()
MOMENTS = st.sampled_from(
    ("", "2026-11-22T23:00:00Z", f"{DAY}T10:11:12.5Z", TIME, "2026-11-23T20:00:00.000Z", NOW)
)


@given(st.lists(ANY_BYTES), PATHS, MOMENTS)
def test_every_byte_is_chunked_or_dropped_or_pending(
    blocks: list[bytes], path: str, since: str
) -> None:
    """I9: No bytes make a chain fail, and each is in a document, waits for one, or is counted."""
    chain, offset = make_chain(path), 0
    for block in blocks:
        before = chain.assembler.pending_bytes
        made = taken(chain, block, offset, since=since)
        done = made.chunked_bytes + sum(made.dropped_bytes.values())
        assert done + chain.assembler.pending_bytes == before + len(block)
        assert chain.assembler.pending_in(KEY) == chain.assembler.pending_bytes
        assert made.count == len(documents_of(made.body))
        offset += len(block)
    waiting = chain.assembler.pending_bytes
    made = chain.flush()
    assert made.chunked_bytes + made.dropped_bytes.get("read_from", 0) == waiting
    assert chain.assembler.pending_bytes == 0


@given(BLOCKS | UNENDED | MIXED_BLOCKS, OFFSETS, LENGTHS, LENGTHS, LENGTHS)
def test_committed_bytes_are_skipped_and_no_others(
    block: bytes, offset: int, end: int, out: int, err: int
) -> None:
    """I4, I9: Per stream, what a position has committed is skipped; the rest is accounted."""
    pins = {"stdout": offset + min(out, end), "stderr": offset + min(err, end)}
    saved = Position(offset + end, pins)
    chain = make_chain()
    made = taken(chain, block, offset, saved=saved)
    kept, holes, start = 0, 0, offset
    for raw in BytesIO(block):
        text = raw.lstrip(b"\0")
        line = decode(text.removesuffix(b"\n"), now=NOW, container=True)
        holes += 0 if start < saved.end else len(raw) - len(text)
        start += len(raw)
        kept += 0 if saved.committed(line.stream, start - len(text)) else len(text)
    assert made.chunked_bytes + chain.assembler.pending_bytes == kept
    assert made.dropped_bytes.get("hole", 0) == holes


_VERBATIM = st.binary().filter(lambda raw: b"\n" not in raw and not raw.startswith(b"\0"))


@given(st.lists(_VERBATIM, min_size=1), st.booleans())
def test_plain_lines_are_kept_verbatim(lines: list[bytes], ended: bool) -> None:
    """Every line of a host's file is the text of one document, in order."""
    block = b"\n".join(lines) + b"\n" * (ended or not lines[-1])
    made = documents_of(taken(make_chain("/var/log/kubelet.log"), block).body)
    assert [document.source["log"] for document in made] == [
        line.decode(errors="replace") for line in lines
    ]
    assert all(document.source["@timestamp"] == NOW for document in made)


def test_a_container_line_that_is_no_docker_json_is_marked() -> None:
    """What a runtime cannot have written carries a flag, and the flag is counted."""
    made = taken(make_chain(), b"plain\n" + docker("?\n").replace(b"?", b"\xff"))
    flags = [document.source["shipper"]["flags"] for document in documents_of(made.body)]
    assert flags == [["unparsed"], ["invalid_utf8"]]
    assert made.marked == {"unparsed": 1, "invalid_utf8": 1}


# -- events before a moment


@given(st.lists(MIXED_BLOCKS, max_size=3).map(b"".join), LINES, MOMENTS, OFFSETS)
def test_events_before_a_moment_are_dropped(
    data: bytes, cuts: list[int], since: str, offset: int
) -> None:
    """I9: What has a time of its own before the moment is dropped and counted, nothing else is."""
    chain, made, start = make_chain(), Documents(), offset
    for block in cut_at_lines(data, cuts):
        made.extend(taken(chain, block, start, since=since))
        start += len(block)
    kept = [d for d in reference(data, offset) if not _is_before(d.source, since)]
    assert documents_of(made.body) == kept
    assert made.count == len(kept)


def _is_before(source: dict[str, Any], since: str) -> bool:
    return "stream" in source and _moment(source["@timestamp"]) < _moment(since)


def _moment(time: str) -> tuple[str, str]:
    seconds, _, fraction = time.removesuffix("Z").partition(".")
    return seconds, fraction.ljust(9, "0")


@pytest.mark.parametrize("line", ODDLESS, ids=["docker", "cri"])
def test_old_blocks_are_dropped_whole(line: bytes) -> None:
    """A block of old lines costs no more than one of new ones: it takes the fast path, too."""
    made = taken(make_chain(), line * 3000, since="2026-11-23T10:11:12.12345678901Z")
    assert made == Documents(dropped_bytes={"read_from": 3000 * len(line)})
    made = taken(make_chain(), line * 3000, since=TIME.replace("Z", "000Z"))
    assert (made.count, made.dropped_bytes) == (3000, {})


@pytest.mark.parametrize("part", [docker("a"), cri("a", tags="P")], ids=["docker", "cri"])
def test_an_event_is_as_old_as_its_first_part(part: bytes) -> None:
    """The file of the first part has the moment, and its time is compared, also in a flush."""
    ends = [docker("b\n", time="2026-11-24T00:00:00Z"), cri("b", time="2026-11-24T00:00:00Z")]
    end = next(end for end in ends if end.startswith(part[:1]))
    for since, count in (("2026-11-23T23:00:00Z", 0), ("2026-11-23T10:00:00Z", 1)):
        chain = make_chain()
        assert taken(chain, part, since=since) == Documents()
        assert chain.assembler.waiting() == {"stdout": len(part)}
        made = chain.block(end, 0, key="next", now=NOW)
        assert made.count == count
        assert made.dropped_bytes == ({} if count else {"read_from": len(part) + len(end)})
        taken(chain, part, since=since)
        assert chain.flush().count == count


def test_a_line_without_a_time_is_not_old() -> None:
    """Plain lines, cut ones and those that are kept verbatim are there, whatever the moment."""
    since = "2027-01-01T00:00:00Z"
    chain = make_chain()
    assert taken(chain, b"plain\n", since=since).count == 1
    assert chain.verbatim(docker("a\n"), 6, key=KEY, now=NOW, since=since).count == 1
    assert chain.cut(b"x", 200, source_bytes=999, key=KEY, now=NOW, since=since).count == 1


# -- what is known of the pod changes


ENRICHMENTS = st.builds(
    lambda name, **flags: Enrichment(b',"tag":"%b"}\n' % name.encode(), name, **flags),
    st.sampled_from(("blue", "green")),
    excluded=st.booleans(),
    pending=st.booleans(),
)


@given(st.lists(st.tuples(ANY_BYTES, ENRICHMENTS)), MOMENTS)
def test_documents_have_what_was_known_when_they_were_made(
    steps: list[tuple[bytes, Enrichment]], since: str
) -> None:
    """I9: Suffix and index are those of the moment; what is excluded then is dropped, counted."""
    chain, offset = make_chain(), 0
    for block, enrichment in steps:
        before = chain.assembler.pending_bytes
        chain.enrich(enrichment)
        made = taken(chain, block, offset, since=since)
        done = made.chunked_bytes + sum(made.dropped_bytes.values())
        assert done + chain.assembler.pending_bytes == before + len(block)
        assert made.count == 0 or not enrichment.excluded
        assert "excluded" not in made.dropped_bytes or enrichment.excluded
        assert made.marked.get("metadata_pending", 0) == (made.count if enrichment.pending else 0)
        for document in documents_of(made.body):
            name = enrichment.index_prefix
            assert document.source["tag"] == name
            assert json.loads(document.action)["create"]["_index"].startswith(f"{name}-2026.11.2")
        offset += len(block)


@pytest.mark.parametrize("line", ODDLESS, ids=["docker", "cri"])
def test_excluded_blocks_are_dropped_whole(line: bytes) -> None:
    """Lines that are not wanted cost less than others: no document is made of them."""
    chain = make_chain()
    chain.enrich(Enrichment(b"}\n", "logstash", excluded=True))
    assert taken(chain, line * 3000) == Documents(dropped_bytes={"excluded": 3000 * len(line)})


def test_a_part_whose_end_never_came_is_dropped_where_it_is_excluded() -> None:
    """I9: What waits for its end when its pod asks to be left out becomes no document."""
    chain = make_chain()
    taken(chain, docker("a"))
    chain.enrich(Enrichment(b"}\n", "logstash", excluded=True))
    assert chain.flush() == Documents(dropped_bytes={"excluded": len(docker("a"))})


# -- holes


@pytest.mark.parametrize("nuls", [1, 5000, 300_000])
@pytest.mark.parametrize(
    ("line", "text"),
    [(docker("a\n"), "a\n"), (cri("a"), "a"), (b"a\0b\n", "a\0b"), (b"\n", "")],
    ids=["docker", "cri", "plain", "empty"],
)
def test_a_hole_is_skipped_and_counted(line: bytes, text: str, nuls: int) -> None:
    """I9: NULs before a line are counted, and the line is what it would be without them."""
    made = taken(make_chain(), b"\0" * nuls + line * 2, 16)
    first, second = documents_of(made.body)
    assert [first.source["log"], second.source["log"]] == [text, text]
    start = 16 + nuls
    assert (first.id, second.id) == (f"{KEY}-{start:x}", f"{KEY}-{start + len(line):x}")
    assert (made.chunked_bytes, made.dropped_bytes) == (2 * len(line), {"hole": nuls})


@given(st.integers(0, 9))
def test_a_block_may_end_in_a_hole(size: int) -> None:
    """I5: However much of a hole is in the block before, the line behind it is the same."""
    hole, line, chain = b"\0" * 9, cri("a"), make_chain()
    before = taken(chain, hole[:size])
    made = taken(chain, hole[size:] + line, size)
    assert (before.body, made.body) == (b"", reference_body(line, len(hole)))
    before.extend(made)
    assert (before.chunked_bytes, before.dropped_bytes) == (len(line), {"hole": 9})


def test_a_hole_at_the_end_of_a_file_is_no_line() -> None:
    """NULs without a newline behind them become no document."""
    made = taken(make_chain(), docker("a\n") + b"\0" * 9)
    assert (made.count, made.dropped_bytes) == (1, {"hole": 9})
    chain = make_chain()
    assert chain.verbatim(b"\0\0", 0, key=KEY, now=NOW) == Documents(dropped_bytes={"hole": 2})


def test_a_hole_before_a_pending_part_is_counted_once() -> None:
    """I9: Read again for the part behind it, a hole that was counted is not counted again."""
    chain, block = make_chain(), b"\0" * 7 + cri("a", tags="P")
    assert taken(chain, block).dropped_bytes == {"hole": 7}
    assert chain.assembler.pending_in(KEY) == len(block) - 7
    saved = Position(len(block), chain.assembler.pins(KEY))
    again = make_chain()
    assert taken(again, block, saved=saved) == Documents()
    assert again.assembler.pins(KEY) == {"stdout": 7}


def test_a_hole_may_be_longer_than_a_line() -> None:
    """I9: What is known to be a hole of an overlong line is dropped; the rest is said to be cut."""
    made = make_chain().cut(b"\0" * 100, 4, source_bytes=5000, key=KEY, now=NOW)
    (document,) = documents_of(made.body)
    assert document.source["log"] == " [truncated by shipper: 4900 bytes]"
    assert (made.chunked_bytes, made.dropped_bytes) == (4900, {"hole": 100})
    made = make_chain().cut(b"\0\0head", 4, source_bytes=5000, key=KEY, now=NOW)
    (document,) = documents_of(made.body)
    assert document.source["log"] == "head [truncated by shipper: 4998 bytes]"
    assert (made.chunked_bytes, made.dropped_bytes) == (4998, {"hole": 2})


# -- reading again after a crash


Files = dict[str, bytes]
Positions = dict[str, Position]

_HOLLOW = st.builds(bytes.__add__, HOLES, PARTS | CRI_PARTS)
_DOCKER = st.one_of(PARTS, PARTS, PARTS, WHOLE, HOSTILE)
_CRI = st.one_of(CRI_PARTS, CRI_PARTS, CRI_PARTS, ORDINARY_CRI, WHOLE_CRI, HOSTILE_CRI)
FILE = (
    st.lists(_DOCKER, min_size=1, max_size=8)
    | st.lists(_CRI, min_size=1, max_size=8)
    | st.lists(_DOCKER | _CRI | _HOLLOW, min_size=1, max_size=8)
).map(lambda lines: b"".join(lines) + b"\n")
LIVES = st.lists(st.tuples(st.integers(0, 20), st.integers(1, 4)), max_size=4)
"""Before each crash: how many blocks are read, and how many lines a block has."""


def live(
    files: Files, saved: Positions, *, blocks: int, block_lines: int, limit: int
) -> tuple[list[Document], Positions]:
    """Read generations from their positions until a crash; returns what was committed by then.

    As in `source.follow`: documents and the positions of all files move together, and only when
    what was read goes beyond what is committed.
    """
    chain, documents = make_chain(max_record_bytes=limit), []
    ends: Positions = {}
    committed = dict(saved)
    reads = (
        (key, *block) for key in files for block in _blocks(files[key], saved[key], block_lines)
    )
    for key, offset, block in islice(reads, blocks):
        was = saved[key]
        again = was if offset < was.end else None
        made = chain.block(block, offset, key=key, now=NOW, saved=again)
        documents += documents_of(made.body)
        ends[key] = Position(max(was.end, offset + len(block)))
        if ends[key].end > was.end or made.count:
            pins = chain.assembler.pins
            committed |= {k: Position(file.end, pins(k)) for k, file in ends.items()}
    return documents, committed


def _blocks(data: bytes, position: Position, block_lines: int) -> list[tuple[int, bytes]]:
    lines = list(BytesIO(data[position.resume :]))
    blocks, offset = [], position.resume
    for start in range(0, len(lines), block_lines):
        blocks.append((offset, b"".join(lines[start : start + block_lines])))
        offset += len(blocks[-1][1])
    return blocks


@settings(max_examples=max(500, settings().max_examples))
@given(FILE, FILE, LIVES, st.sampled_from((20, 1 << 20)))
def test_no_crash_loses_or_doubles_an_event(
    first: bytes, second: bytes, lives: list[tuple[int, int]], limit: int
) -> None:
    """I4, I5: What all lives deliver is what one without a crash does, each id once."""
    files = {"first": first, "second": second}
    start = dict.fromkeys(files, Position(0))
    everything, _ = live(files, start, blocks=1000, block_lines=3, limit=limit)
    delivered: list[Document] = []
    positions = start
    for blocks, block_lines in [*lives, (1000, 2)]:
        documents, positions = live(
            files, positions, blocks=blocks, block_lines=block_lines, limit=limit
        )
        delivered += documents
    assert sorted(delivered, key=lambda d: d.id) == sorted(everything, key=lambda d: d.id)
    assert len({document.id for document in delivered}) == len(delivered)


# -- what is not a block


def test_a_part_goes_on_in_the_next_generation() -> None:
    """I4, I5: A line over a rotation is one event of the first file, and pins both till then."""
    chain = make_chain()
    chain.block(docker("a"), 7, key="old", now=NOW)
    chain.block(docker("b"), 0, key="new", now=NOW)
    assert (chain.assembler.pins("old"), chain.assembler.pins("new")) == (
        {"stdout": 7},
        {"stdout": 0},
    )
    made = chain.block(docker("c\n"), 90, key="new", now=NOW)
    (document,) = documents_of(made.body)
    assert (document.id, document.source["log"]) == ("old-7", "abc\n")
    assert chain.assembler.pinned_keys() == set()


def test_a_flush_delivers_what_waits() -> None:
    """Lines whose end never came are delivered as they are, flagged and counted."""
    chain = make_chain()
    taken(chain, docker("a") + docker("b", stream="stderr"))
    made = chain.flush()
    assert [document.source["log"] for document in documents_of(made.body)] == ["a", "b"]
    assert made.marked == {"unfinished": 2}
    assert chain.flush() == Documents()


def test_a_flush_may_be_of_some_streams() -> None:
    """The lines of streams that are not named go on waiting."""
    chain = make_chain()
    taken(chain, cri("a", tags="P") + cri("b", tags="P", stream="stderr"))
    made = chain.flush({"stderr", "stdin"})
    assert [document.source["log"] for document in documents_of(made.body)] == ["b"]
    assert list(chain.assembler.waiting()) == ["stdout"]


def test_parts_of_interleaved_streams_are_joined() -> None:
    """CRI parts of two streams in turns are two lines; each has the id of its first part."""
    first, second = cri("a", tags="P"), cri("1", tags="P:x", stream="stderr")
    ends = cri("b", tags="F:y") + cri("2", stream="stderr")
    made = documents_of(taken(make_chain(), first + second + ends).body)
    assert [(d.source["log"], d.source["stream"], d.id) for d in made] == [
        ("ab", "stdout", f"{KEY}-0"),
        ("12", "stderr", f"{KEY}-{len(first):x}"),
    ]


def test_a_record_of_cri_parts_is_cut_at_its_limit() -> None:
    """Parts that are too long together are cut with a visible mark and the original length."""
    chain = make_chain(max_record_bytes=100)
    block = cri("é" * 30, tags="P") * 3 + cri("end")
    made = taken(chain, block)
    (document,) = documents_of(made.body)
    assert document.source["log"] == "é" * 50 + " [truncated by shipper: 183 bytes]"
    assert document.source["shipper"] == {"flags": ["truncated"], "original_bytes": 183}
    assert (made.chunked_bytes, made.marked) == (len(block), {"truncated": 1})


def test_docker_and_cri_parts_are_not_glued() -> None:
    """I9: A part whose stream another runtime goes on with is delivered, and says so."""
    block = docker("a") + cri("b") + cri("c", tags="P") + docker("d\n")
    made = taken(make_chain(), block)
    documents = documents_of(made.body)
    assert [document.source["log"] for document in documents] == ["a", "b", "c", "d\n"]
    assert made.marked == {"unfinished": 2}
    assert made.chunked_bytes == len(block)


def test_a_failing_line_can_be_kept_verbatim() -> None:
    """A line on which the chain would fail is kept as its own text, unless it is committed."""
    raw = docker("a\n")
    made = make_chain().verbatim(raw, 4, key=KEY, now=NOW)
    (document,) = documents_of(made.body)
    assert document.source["log"] == raw.decode().removesuffix("\n")
    assert (document.id, made.chunked_bytes) == (f"{KEY}-4", len(raw))
    again = make_chain().verbatim(raw, 4, key=KEY, now=NOW, saved=Position(5))
    assert again == Documents()


def test_an_overlong_line_is_cut_once() -> None:
    """The head of an overlong line stands for all its bytes, unless it is committed."""
    chain = make_chain()
    made = chain.cut(b"head", 4, source_bytes=5000, key=KEY, now=NOW)
    (document,) = documents_of(made.body)
    assert document.source["log"] == "head [truncated by shipper: 5000 bytes]"
    assert document.source["shipper"] == {"flags": ["truncated"], "original_bytes": 5000}
    assert (made.chunked_bytes, made.marked) == (5000, {"truncated": 1})
    again = chain.cut(b"head", 4, source_bytes=5000, key=KEY, now=NOW, saved=Position(5004))
    assert again == Documents()


def test_a_document_is_fluentds() -> None:
    """Index, id, fields and their order are those that dashboards know."""
    made = taken(make_chain(), docker("GET / 200\n"), 255)
    action, document = made.body.decode().splitlines()
    assert json.loads(action) == {
        "create": {"_index": "logstash-2026.11.23", "_id": f"{KEY}-ff"},
    }
    assert json.loads(document) == {
        "log": "GET / 200\n",
        "stream": "stdout",
        "@timestamp": TIME,
        "docker": {"container_id": "ab" * 32},
        "kubernetes": {"container_name": "web", "namespace_name": "shop", "pod_name": "web-0"},
        "tag": f"kubernetes.var.log.containers.web-0_shop_web-{'ab' * 32}.log",
        "cluster": "north",
    }
