"""Reads the answers to `_bulk` requests, item by item: what became of each document.

A 200 is not enough, nor is `"errors":false`: Elasticsearch 9.5 answers both to a request of which
it took only a part. The number of items is held against the number of documents sent.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import orjson

FILTER_PATH = "errors,items.*.status,items.*.error"
"""What is asked of an answer: all that is read here, with one item for each document, in order."""

_DUPLICATE = 409
_OK = frozenset((200, 201))
_CLIENT_ERRORS = range(400, 500)
_REFUSED_TYPES = frozenset(
    (
        "mapper_parsing_exception",
        "document_parsing_exception",
        "strict_dynamic_mapping_exception",
        "illegal_argument_exception",
        "parse_exception",
        "parsing_exception",
        "json_parse_exception",
        "x_content_parse_exception",
        "not_x_content_exception",
        "invalid_index_name_exception",
        "index_invalid_name_exception",
        "max_bytes_length_exceeded_exception",
        "document_too_large_exception",
    )
)
"""Error types that a document earns by itself: sent again, it would be refused again."""

_OPERATIONAL = re.compile(
    r"illegal_argument_exception: .*(maximum (normal )?shards open|this action would add"
    r"|pipeline with id|no write index|documents in the index cannot exceed|more than 1 type"
    r"|unknown setting|for setting)"
    r"|mapper_parsing_exception: (failed to parse mapping|root mapping definition)",
    re.IGNORECASE,
)
"""400s that say nothing about the document but of cluster, index, template or type: when an
operator has mended that, the document is taken."""

_SECRET = re.compile(r"(?i)((?:proxy-)?authorization[\"']?\s*[:=]\s*)[^\r\n]+")
_TAG = re.compile(r"<(style|script)\b.*?</\1>|<[^<>]*>", re.IGNORECASE | re.DOTALL)
_MAX_REASON_CHARS = 2_000


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why one document is refused for its own sake.

    Attributes:
        item: Its place in the chunk, from 0.
        status: The item's HTTP status.
        type: The server's error type.
        reason: The server's words.
    """

    item: int
    status: int
    type: str
    reason: str


@dataclass(slots=True)
class Outcomes:
    """The fate of each document of a chunk.

    Attributes:
        delivered: Documents created.
        duplicates: Documents that were there already (409): delivered, too.
        retry: Places of the documents that the server could not take for now.
        refused: Documents that it will never take as they are.
        why: The server's words for the first of `retry`.
    """

    delivered: int = 0
    duplicates: int = 0
    retry: list[int] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)
    why: str = ""


def outcomes_of(answer: bytes, documents: int) -> Outcomes | None:
    """Read the body of a 200 answer.

    Args:
        answer: JSON, filtered by `FILTER_PATH`.
        documents: How many were sent.

    Returns:
        The fates, or None where the answer does not account for every document: then nothing is
        known, and all have to be sent again.
    """
    head = answer[:32].replace(b" ", b"")
    if head.startswith(b'{"errors":false') and answer.count(b'"status":20') == documents:
        return Outcomes(delivered=documents)
    try:
        items = orjson.loads(answer)["items"]
        fates = [next(iter(item.values())) for item in items]
        return _sort(fates) if len(fates) == documents else None
    except (ValueError, TypeError, KeyError, AttributeError, StopIteration):
        return None


def error_of(answer: bytes) -> str:
    """Return the reason in the body of an answer that is no 200, in one line without secrets."""
    try:
        error = orjson.loads(answer)["error"]
        text = error if isinstance(error, str) else f"{error['type']}: {error.get('reason')}"
    except (ValueError, TypeError, KeyError, AttributeError):
        # Whatever stands between may answer: a proxy's error page is read without its tags.
        text = _TAG.sub(" ", answer[: 4 * _MAX_REASON_CHARS].decode(errors="replace"))
    return redact(text) or "no reason given"


def redact(text: str) -> str:
    """Return a text in one line, cut, without credentials: 7.10 quotes the raw HTTP request."""
    return " ".join(_SECRET.sub(r"\1[redacted]", text).split())[:_MAX_REASON_CHARS]


def _sort(fates: Iterable[Mapping[str, object]]) -> Outcomes:
    outcomes = Outcomes()
    for place, fate in enumerate(fates):
        status = fate["status"]
        if not isinstance(status, int):
            raise TypeError
        if status in _OK:
            outcomes.delivered += 1
        elif status == _DUPLICATE:
            outcomes.duplicates += 1
        else:
            _fail(outcomes, Refusal(place, status, *_describe(fate.get("error"))))
    return outcomes


def _fail(outcomes: Outcomes, refusal: Refusal) -> None:
    words = f"{refusal.type}: {refusal.reason}"
    own_fault = refusal.type in _REFUSED_TYPES and refusal.status in _CLIENT_ERRORS
    # Only from the beginning: further on, some reasons quote the document.
    if own_fault and not _OPERATIONAL.match(words):
        outcomes.refused.append(refusal)
        return
    outcomes.retry.append(refusal.item)
    outcomes.why = outcomes.why or f"{refusal.status} {words}"


def _describe(error: object) -> tuple[str, str]:
    if not isinstance(error, dict):
        return _type_in(str(error)), redact(str(error))
    reason = str(error.get("reason"))
    cause = error.get("caused_by")
    if isinstance(cause, dict) and cause.get("reason"):
        reason = f"{reason}: {cause['reason']}"
    return redact(str(error.get("type"))), redact(reason)


def _type_in(text: str) -> str:
    """Return the error type of Elasticsearch 1's reasons: MapperParsingException[failed …]."""
    name = text.partition("[")[0]
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
