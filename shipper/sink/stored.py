"""What the local store keeps of a document: its own bytes, cut in two. Pure.

The end of a document, from `docker` or `tag` on, is the same in all documents of a file; the store
keeps it once, as an origin. The cut is only a saving: the two parts joined are the document again,
verbatim, wherever it was made. A document whose end holds what is its own is not cut.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import orjson

from shipper.sink.bulk import Refusal

_ORIGIN_BEGINS = (b',"docker":', b',"kubernetes":', b',"tag":')
_DAY = re.compile(r"(\d{4})[.-](\d\d)[.-](\d\d)", re.ASCII)
_OWN_KEYS = frozenset(("log", "stream", "@timestamp"))
_ORIGIN_KEYS = frozenset(("kubernetes", "tag"))


@dataclass(frozen=True, slots=True, eq=False)  # one object each, compared by identity
class Origin:
    """What is the same in many documents.

    Attributes:
        stream: `stdout` or `stderr`; empty if the documents have none. So are the next four.
        suffix: The end of the documents, or the whole of one that was not cut.
        namespace: Name of the pod's namespace.
        pod: Name of the pod.
        container: Name of the container.
        tag: Fluentd's tag.
    """

    stream: str
    suffix: bytes
    namespace: str
    pod: str
    container: str
    tag: str


Origins = dict[tuple[str, bytes], Origin]
"""The origins met so far, by stream and suffix."""


@dataclass(frozen=True, slots=True)
class Row:
    """A document, as it is stored.

    Attributes:
        id: Its `_id`.
        time: Its time without the `Z`. The length of the fraction varies: without it the order of
            the texts is that of the times, but `12Z` would come after `12.5Z`.
        origin: What it shares with others.
        head: The beginning of it; empty if it was not cut.
        text: What was logged.
    """

    id: str
    time: str
    origin: Origin
    head: bytes
    text: str


@dataclass(slots=True)
class Sorted:
    """Documents of a chunk.

    Attributes:
        rows: By index.
        refused: Those that are no JSON objects.
    """

    rows: dict[str, list[Row]] = field(default_factory=dict)
    refused: list[Refusal] = field(default_factory=list)


def sort_lines(lines: Sequence[bytes], first: int) -> Sorted:
    """Read lines of a `_bulk` body.

    Args:
        lines: Action, document, action, document, …, with their newlines or without.
        first: Place of the first document in its chunk.

    Raises:
        ValueError: An action line is none.
    """
    found = Sorted()
    origins: Origins = {}
    for place, (action, document) in enumerate(zip(lines[::2], lines[1::2], strict=True), first):
        index, name = _target(action)
        try:
            row = _row(name, document.removesuffix(b"\n"), origins=origins)
        except ValueError as error:
            refusal = Refusal(place, 400, "document_parsing_exception", str(error))
            found.refused.append(refusal)
        else:
            found.rows.setdefault(index, []).append(row)
    return found


def text_of(head: bytes, suffix: bytes) -> str:
    """Return the text of a stored document.

    Invariant: It is what `Row.text` was: FTS5 can only take back what it was given.
    """
    return _text(_object(head + b"}" if head else suffix))


def day_of(index: str) -> date | None:
    """Return the day at the end of an index's name, or None if there is none."""
    match = _DAY.fullmatch(index[-len("YYYY.MM.DD") :])
    try:
        return date(*map(int, match.groups())) if match else None
    except ValueError:
        return None


def _target(action: bytes) -> tuple[str, str]:
    try:
        target = next(iter(orjson.loads(action).values()))
        # Without an id each delivery makes a new document, as it does in Elasticsearch.
        return str(target["_index"]), str(target.get("_id") or secrets.token_hex(10))
    except (ValueError, TypeError, KeyError, AttributeError, StopIteration) as error:
        raise ValueError(f"not an action line: {action[:200]!r}") from error


def _row(name: str, document: bytes, *, origins: Origins) -> Row:
    try:
        head, suffix = _cut(document)
        record = _object(head + b"}")
        if not _ORIGIN_KEYS.isdisjoint(record):
            raise ValueError("the origin stands before the text")
        origin = _origin(record, suffix, origins=origins)
    except ValueError:
        head, record = b"", _object(document)
        origin = _make_origin(record, shared=record, suffix=document)
    time = _string(record.get("@timestamp")).removesuffix("Z")
    return Row(name, time, origin, head, _text(record))


def _cut(document: bytes) -> tuple[bytes, bytes]:
    found = [cut for begin in _ORIGIN_BEGINS if (cut := document.rfind(begin)) > 0]
    if not found:
        raise ValueError("nothing in it is shared with others")
    return document[: min(found)], document[min(found) :]


def _origin(record: dict[str, Any], suffix: bytes, *, origins: Origins) -> Origin:
    key = (_string(record.get("stream")), suffix)
    known = origins.get(key)
    if known is not None:
        return known
    shared = _object(b'{"":0' + suffix)
    if not _OWN_KEYS.isdisjoint(shared):
        raise ValueError("the text stands behind the origin")
    return origins.setdefault(key, _make_origin(record, shared=shared, suffix=suffix))


def _make_origin(record: dict[str, Any], *, shared: dict[str, Any], suffix: bytes) -> Origin:
    kubernetes = shared.get("kubernetes")
    names = kubernetes if isinstance(kubernetes, dict) else {}
    return Origin(
        stream=_string(record.get("stream")),
        suffix=suffix,
        namespace=_string(names.get("namespace_name")),
        pod=_string(names.get("pod_name")),
        container=_string(names.get("container_name")),
        tag=_string(shared.get("tag")),
    )


def _object(raw: bytes) -> dict[str, Any]:
    record: object
    try:
        record = orjson.loads(raw)
    except ValueError:
        record = _lenient(raw)
    if not isinstance(record, dict):
        raise ValueError("not a JSON object")  # noqa: TRY004  # bad data, not a bad argument
    return record


def _lenient(raw: bytes) -> object:
    """Take half of a surrogate pair, as Elasticsearch does; orjson refuses it."""
    try:
        record: object = json.loads(raw)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    return record


def _text(record: dict[str, Any]) -> str:
    text = record.get("log", "")
    return _string(text if isinstance(text, str) else json.dumps(text, ensure_ascii=False))


def _string(value: object) -> str:
    """Return a text that SQLite takes: half of a surrogate pair has no UTF-8."""
    if not isinstance(value, str):
        return ""
    return value if value.isascii() else value.encode(errors="replace").decode()
