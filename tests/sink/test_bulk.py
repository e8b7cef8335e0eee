"""The answers to `_bulk` requests: what becomes of each document, for every version's words."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipper.sink.bulk import Outcomes, error_of, outcomes_of, redact
from tests.fakes.elasticsearch import bulk_answer

OK = {"create": {"status": 201}}
MAPPING = ("mapper_parsing_exception", "failed to parse field [n] of type [long]")


def failed(status: int, kind: str, reason: str = "why", **more: object) -> dict[str, Any]:
    return {"create": {"status": status, "error": {"type": kind, "reason": reason, **more}}}


def outcomes(*items: dict[str, Any]) -> Outcomes:
    read = outcomes_of(bulk_answer(items), len(items))
    assert read is not None
    return read


def test_all_taken_is_read_without_parsing() -> None:
    """An answer without errors, with one good status for each document, is all delivered."""
    assert outcomes_of(b'{"errors":false,"items":[{"create":{"status":201}}]', 1) == Outcomes(1)


@pytest.mark.parametrize(
    "answer",
    [
        b'{"errors":false,"items":[{"create":{"status":201}}]}',
        b'{"errors":false,"items":[{"create":{"status":201}},{"create":{"status":503}}]}',
        b'{"errors":false}',
        b'{"errors":false,"items":[]}',
        b'{"items":{"create":{"status":201}}}',
        b'{"items":[{"create":{"status":201}},{}]}',
        b'{"items":[{"create":{"status":"201"}},{"create":{"status":1e999}}]}',
        b'{"items":[[],3]}',
        b"[" * 5_000,
        b"<html><body>502 Bad Gateway</body></html>",
        b"null",
        b"\xff\xfe",
        b"",
    ],
)
def test_answer_that_is_no_account_of_all_documents_is_none(answer: bytes) -> None:
    """Where two were sent, anything but one item for each delivers nothing that it does not say."""
    read = outcomes_of(answer, 2)
    assert read is None or read.delivered < 2


def test_truncated_answer_tells_nothing() -> None:
    """Of an answer with errors that was cut off no item is believed."""
    whole = bulk_answer([OK, failed(400, *MAPPING), OK])
    assert all(outcomes_of(whole[:end], 3) is None for end in range(len(whole)))


@pytest.mark.parametrize(
    "error_type",
    ["version_conflict_engine_exception", "document_already_exists_exception"],
)
def test_conflict_is_delivered(error_type: str) -> None:
    """A document that is there already was delivered before (I5); 2.4 has another name for it."""
    assert outcomes(OK, failed(409, error_type)) == Outcomes(delivered=1, duplicates=1)


@pytest.mark.parametrize(
    ("status", "kind", "reason"),
    [
        (400, *MAPPING),
        (400, "document_parsing_exception", "[1:9] failed to parse field [n]"),
        (400, "illegal_argument_exception", "Limit of total fields [1000] has been exceeded"),
        (400, "illegal_argument_exception", "mapper [n] cannot be changed from long to text"),
        (400, "strict_dynamic_mapping_exception", "introduction of [x] is not allowed"),
        (400, "invalid_index_name_exception", "Invalid index name [A], must be lowercase"),
    ],
)
def test_documents_own_fault_is_refused(status: int, kind: str, reason: str) -> None:
    """What a document earns by itself makes it a dead letter, with the server's words."""
    (refusal,) = outcomes(OK, failed(status, kind, reason)).refused
    assert (refusal.item, refusal.status, refusal.type, refusal.reason) == (1, status, kind, reason)


@pytest.mark.parametrize(
    ("status", "kind", "reason"),
    [
        (429, "es_rejected_execution_exception", "rejected execution of coordinating operation"),
        (429, "rejected_execution_exception", "OpenSearch's name for it"),
        (429, "cluster_block_exception", "disk usage exceeded flood-stage watermark"),
        (403, "cluster_block_exception", "index [a] blocked by: [FORBIDDEN/8/index write (api)]"),
        (400, "index_closed_exception", "closed"),
        (403, "index_closed_exception", "closed"),
        (404, "index_not_found_exception", "no such index and [action.auto_create_index]"),
        (403, "security_exception", "action [indices:data/write/bulk[s]] is unauthorized"),
        (503, "unavailable_shards_exception", "primary shard is not active Timeout: [1m]"),
        (500, "mapper_parsing_exception", "a server's fault is not the document's"),
        (400, "validation_exception", "this action would add [2] total shards"),
        (400, "illegal_argument_exception", "maximum normal shards open"),
        (400, "illegal_argument_exception", "pipeline with id [gone] does not exist"),
        (400, "illegal_argument_exception", "no write index is defined for alias [logs]"),
        (
            400,
            "illegal_argument_exception",
            "Rejecting mapping update to [a] as the final mapping would have more than 1 type",
        ),
        (400, "mapper_parsing_exception", "Failed to parse mapping [_doc]: unknown parameter"),
        (418, "what_nobody_knows", "yet"),
    ],
)
def test_what_an_operator_can_mend_is_sent_again(status: int, kind: str, reason: str) -> None:
    """Blocks, full queues, missing rights, broken templates keep the document, and are shown."""
    read = outcomes(OK, failed(status, kind, reason))
    assert (read.retry, read.refused) == ([1], [])
    assert read.why == f"{status} {kind}: {reason}"


def test_document_cannot_talk_its_way_out_of_being_refused() -> None:
    """A reason that quotes the document is not searched for what an operator could mend."""
    reason = f"{MAPPING[1]}. Preview of field's value: 'Failed to parse mapping, more than 1 type'"
    assert len(outcomes(failed(400, MAPPING[0], reason)).refused) == 1


def test_reason_has_its_cause() -> None:
    """The reason of a refused document has the cause, which names the value."""
    cause = {"type": "number_format_exception", "reason": 'For input string: "x"'}
    (refusal,) = outcomes(failed(400, *MAPPING, caused_by=cause)).refused
    assert refusal.reason == f'{MAPPING[1]}: For input string: "x"'


def test_errors_in_plain_text_are_understood() -> None:
    """Elasticsearch 1 gave errors as text, with the name of the exception in front."""
    item = {"create": {"status": 400, "error": "MapperParsingException[failed to parse [n]]"}}
    (refusal,) = outcomes(item).refused
    assert refusal.type == "mapper_parsing_exception"


def test_the_only_key_of_an_item_is_taken() -> None:
    """What was asked for and what 2.4 calls it may differ: the name of the action is not read."""
    assert outcomes({"index": {"status": 200}}, {"create": {"status": 201}}).delivered == 2


fates = st.sampled_from(
    [
        OK,
        failed(409, "version_conflict_engine_exception"),
        failed(400, *MAPPING),
        failed(429, "es_rejected_execution_exception"),
        failed(503, "unavailable_shards_exception"),
        {"create": {"status": 400, "error": None}},
        {"create": {"status": 403}},
    ]
)


@given(st.lists(fates, min_size=1))
def test_every_document_is_in_exactly_one_place(items: list[dict[str, Any]]) -> None:
    """Delivered, duplicate, to be sent again, refused: each document is one of them (I2)."""
    read = outcomes(*items)
    places = [*read.retry, *(refusal.item for refusal in read.refused)]
    assert len(places) == len(set(places))
    assert read.delivered + read.duplicates + len(places) == len(items)
    assert all(0 <= place < len(items) for place in places)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
shapes = st.fixed_dictionaries(
    {},
    optional={
        "errors": json_values,
        "items": st.lists(
            json_values
            | st.dictionaries(
                st.text(), st.fixed_dictionaries({}, optional={"status": json_values})
            )
        )
        | json_values,
    },
)


@given(st.binary() | shapes.map(lambda v: json.dumps(v).encode()), st.integers(1, 4))
def test_no_answer_is_too_strange(answer: bytes, documents: int) -> None:
    """Whatever a server answers, it is either an account of every document, or None (I2)."""
    read = outcomes_of(answer, documents)
    if read is not None:
        told = read.delivered + read.duplicates + len(read.retry) + len(read.refused)
        assert told == documents


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b'{"error":{"type":"a","reason":"b"},"status":400}', "a: b"),
        (b'{"error":"IndexMissingException[x]"}', "IndexMissingException[x]"),
        (b"<html><style>b{}</style><h1>502\nBad Gateway</h1></html>", "502 Bad Gateway"),
        (b"", "no reason given"),
        (b"\xff", "\ufffd"),
        (b'{"error":[]}', '{"error":[]}'),
    ],
)
def test_reason_of_a_refused_request_is_one_line(answer: bytes, reason: str) -> None:
    """Whatever answers, a proxy too, its words fit into a line of the log."""
    assert error_of(answer) == reason


@given(st.text(alphabet="abcXYZ0189+/=", min_size=8), st.sampled_from(["Basic", "ApiKey"]))
def test_reason_quotes_no_credentials(secret: str, scheme: str) -> None:
    """7.10 quotes the raw request in its reasons: what logs in is cut out of them."""
    quoted = f"POST /_bulk HTTP/1.1\r\nHost: es\r\nAuthorization: {scheme} {secret}\r\nAccept: x"
    assert secret not in redact(quoted)
    assert secret not in error_of(json.dumps({"error": {"type": "t", "reason": quoted}}).encode())
    assert "Accept: x" in redact(quoted)
