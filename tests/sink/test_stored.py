import json
from datetime import date
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shipper.sink.stored import Row, day_of, sort_lines, text_of
from tests.sink.documents import INDEX, Document, bulk_lines

KEYS = ("log", "stream", "@timestamp", "docker", "kubernetes", "tag", "attrs", "x")
NAMES = ("namespace_name", "pod_name", "container_name", "tag")


def values() -> st.SearchStrategy[Any]:
    scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
    names = st.dictionaries(st.sampled_from(NAMES), st.text(max_size=3) | st.integers())
    return st.recursive(
        scalars | names,
        lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(KEYS) | st.text(), inner),
        max_leaves=5,
    )


def records() -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=2), values())


def row_of(source: bytes) -> Row:
    found = sort_lines(bulk_lines(INDEX, "key-0", source).splitlines(keepends=True), 0)
    assert not found.refused
    return found.rows[INDEX][0]


def text(value: object) -> str:
    return value.encode(errors="replace").decode() if isinstance(value, str) else ""


def test_what_documents_share_is_cut_off() -> None:
    """Documents of one file have one origin, and only their own part is kept of each."""
    documents = [Document(f"key-{n}", f"line {n}\n") for n in range(3)]
    lines = b"".join(document.lines for document in documents).splitlines(keepends=True)
    rows = sort_lines(lines, 0).rows[INDEX]
    assert len({row.origin for row in rows}) == 1
    assert (
        rows[0].head
        == b'{"log":"line 0\\n","stream":"stdout","@timestamp":"2026-11-23T10:11:12.5Z"'
    )
    assert (rows[0].origin.namespace, rows[0].origin.pod) == ("shop", "web-1")
    assert (rows[0].origin.container, rows[0].origin.stream) == ("web", "stdout")


@given(records(), st.booleans(), st.booleans())
@example({"log": "a", "tag": "t", "x": {"docker": 1, "tag": "u"}}, True, True)  # noqa: FBT003
@example({"attrs": {"x": 1, "tag": "in"}, "log": "a", "kubernetes": {}}, True, True)  # noqa: FBT003
def test_any_document_is_kept_verbatim(record: dict[str, Any], compact: bool, ascii_: bool) -> None:
    """Its parts joined are the document, and what is read of it is what JSON says."""
    separators = (",", ":") if compact else None
    dumped = json.dumps(record, separators=separators, ensure_ascii=ascii_)
    row = row_of(dumped.encode(errors="replace"))
    assert row.head + row.origin.suffix == dumped.encode(errors="replace")
    log = record.get("log", "")
    assert row.text == (text(log) if isinstance(log, str) else row.text)
    assert text_of(row.head, row.origin.suffix) == row.text
    assert row.time == text(record.get("@timestamp")).removesuffix("Z")
    assert row.origin.stream == text(record.get("stream"))
    assert row.origin.tag == text(record.get("tag"))
    kubernetes = record.get("kubernetes")
    names = kubernetes if isinstance(kubernetes, dict) else {}
    assert row.origin.pod == text(names.get("pod_name"))


def test_half_a_surrogate_pair_is_taken() -> None:
    """An escape that stands for no character is kept verbatim, and its text can be stored."""
    row = row_of(b'{"log":"a \\ud800 b","tag":"t"}')
    assert row.text == "a ? b"
    assert row.head == b'{"log":"a \\ud800 b"'


@pytest.mark.parametrize(
    "source", [b"", b"[]", b'"text"', b"{", b'{"log":"a","tag":}', b"\xff", b'{"a":' * 100_000]
)
def test_what_is_no_document_is_refused(source: bytes) -> None:
    """What is no JSON object is refused by itself, with its place in the chunk."""
    lines = Document("key-0").lines + bulk_lines(INDEX, "key-1", source)
    found = sort_lines(lines.split(b"\n")[:4], 10)
    assert [refusal.item for refusal in found.refused] == [11]
    assert [row.id for row in found.rows[INDEX]] == ["key-0"]


def test_document_without_an_id_gets_one() -> None:
    """Without ids of its own, each delivery of a document makes another, as in Elasticsearch."""
    lines = [b'{"create":{"_index":"i"}}', b"{}"]
    first, second = (sort_lines(lines, 0).rows["i"][0].id for _ in range(2))
    assert first != second


@pytest.mark.parametrize("action", [b"", b"{}", b"[]", b'{"create":1}', b'{"create":{"_id":"a"}}'])
def test_what_is_no_action_is_an_error(action: bytes) -> None:
    """An action line that names no index makes the chunk malformed."""
    with pytest.raises(ValueError, match="not an action line"):
        sort_lines([action, b"{}"], 0)


@pytest.mark.parametrize(
    ("index", "day"),
    [
        (INDEX, date(2026, 11, 23)),
        ("a-2026-11-23", date(2026, 11, 23)),
        ("logstash-2026.11.31", None),
        ("logs", None),
        ("", None),
    ],
)
def test_day_of_an_index_is_in_its_name(index: str, day: date | None) -> None:
    """The date that a name ends in is the index's day, if the calendar has it."""
    assert day_of(index) == day
