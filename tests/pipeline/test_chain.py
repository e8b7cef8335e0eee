"""Blocks become the same documents however they are cut, and every byte of them is accounted."""

import json
from io import BytesIO
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shipper.model import Documents, Position
from shipper.pipeline.chain import Chain
from shipper.pipeline.decode import decode
from tests.pipeline.lines import (
    BLOCKS,
    CHANGED,
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
from tests.pipeline.reference import (
    KEY,
    PATH,
    Document,
    documents_of,
    make_chain,
    reference,
)

LINES = st.lists(st.integers(0, 100), max_size=5)
"""Where to cut, in lines."""

OFFSETS = st.integers(0, 1 << 50)
LENGTHS = st.integers(0, 400)
PATHS = st.sampled_from((PATH, "/var/log/kubelet.log"))


def taken(
    chain: Chain, block: bytes, offset: int = 0, *, saved: Position | None = None
) -> Documents:
    """Give a chain a block of the file KEY."""
    return chain.block(block, offset, key=KEY, now=NOW, saved=saved)


def made_of(blocks: list[bytes], offset: int = 0) -> list[Document]:
    """Return what a new chain makes of blocks that follow one another."""
    chain, documents = make_chain(), []
    for block in blocks:
        documents += documents_of(taken(chain, block, offset).body)
        offset += len(block)
    return documents


@settings(max_examples=max(500, settings().max_examples))
@given(st.lists(BLOCKS, max_size=3).map(b"".join), LINES, OFFSETS)
def test_any_cut_makes_the_same_documents(data: bytes, cuts: list[int], offset: int) -> None:
    """I5: However a file is cut into blocks, each document is the reference path's."""
    assert made_of(cut_at_lines(data, cuts), offset) == reference(data, offset)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_every_change_of_a_line_makes_the_same_documents(size: int) -> None:
    """Each kind of hostile line goes through any size of block as through the reference path."""
    data = b"".join(line + docker("\u003c\n") for line in CHANGED)
    cuts = list(range(0, data.count(b"\n"), size))
    assert made_of(cut_at_lines(data, cuts)) == reference(data)


@settings(max_examples=settings().max_examples // 4)
@given(
    st.lists(st.tuples(HOSTILE | ORDINARY, st.integers(0, 600)), min_size=1, max_size=4), OFFSETS
)
def test_large_blocks_are_halved_without_a_change(
    runs: list[tuple[bytes, int]], offset: int
) -> None:
    """A block of any size, with hostile lines anywhere in it, makes the reference's documents."""
    data = b"".join(line + docker("<" * 50 + "\n") * count for line, count in runs)
    assert made_of([data], offset) == reference(data, offset)


def test_one_odd_line_costs_its_neighbourhood_only() -> None:
    """Around an odd line a large block still takes the fast path, which copies escapes as is."""
    line = docker("caf\u00e9 " * 20 + "\n")
    block = line * 1000 + docker("another day\n", time="2026-11-24T00:00:00.1Z") + line * 1000
    made = taken(make_chain(), block)
    assert made.count == 2001
    assert b"\\u00e9" in line
    lines = list(BytesIO(made.body))[1::2]
    assert 1500 < sum(b"\\u00e9" in document for document in lines) < 2000


@given(st.lists(BLOCKS | UNENDED | st.binary()), PATHS)
def test_every_byte_is_chunked_or_pending(blocks: list[bytes], path: str) -> None:
    """I9: No bytes make a chain fail, and each is in a document or waits for one."""
    chain, offset = make_chain(path), 0
    for block in blocks:
        before = chain.assembler.pending_bytes
        made = taken(chain, block, offset)
        assert made.chunked_bytes + chain.assembler.pending_bytes == before + len(block)
        assert made.count == len(documents_of(made.body))
        offset += len(block)
    waiting = chain.assembler.pending_bytes
    assert chain.flush().chunked_bytes == waiting
    assert chain.assembler.pending_bytes == 0


@given(BLOCKS | UNENDED, OFFSETS, LENGTHS, LENGTHS, LENGTHS)
def test_committed_bytes_are_skipped_and_no_others(
    block: bytes, offset: int, end: int, out: int, err: int
) -> None:
    """I4, I9: Per stream, what a position has committed is skipped; the rest is accounted."""
    pins = {"stdout": offset + min(out, end), "stderr": offset + min(err, end)}
    saved = Position(offset + end, pins)
    chain = make_chain()
    made = taken(chain, block, offset, saved=saved)
    kept, start = 0, offset
    for raw in BytesIO(block):
        line = decode(raw.removesuffix(b"\n"), now=NOW, container=True)
        kept += 0 if saved.committed(line.stream, start) else len(raw)
        start += len(raw)
    assert made.chunked_bytes + chain.assembler.pending_bytes == kept


@given(st.lists(st.binary().filter(lambda raw: b"\n" not in raw), min_size=1), st.booleans())
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


# -- reading again after a crash


Files = dict[str, bytes]
Positions = dict[str, Position]

_MIXED = st.one_of(PARTS, PARTS, PARTS, WHOLE, HOSTILE)
FILE = st.lists(_MIXED, min_size=1, max_size=8).map(lambda lines: b"".join(lines) + b"\n")
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
