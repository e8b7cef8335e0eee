"""The answer of an Elasticsearch that took every document of a ``_bulk`` body. Pure.

Promises the shape of Elasticsearch 9.5's answer, item by item, cut down by ``filter_path`` as the
real one cuts it. An item whose kept fields are the same for all documents is made once and
repeated: a reader that asks for ``items.*.status`` costs this server almost nothing, while a reader
that asks for everything makes it parse each action.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any

# In the order of the real answer; None stands for what differs from document to document.
_ITEM_FIELDS: dict[str, Any] = {
    "_index": None,
    "_id": None,
    "_version": 1,
    "result": "created",
    "_shards": {"total": 2, "successful": 1, "failed": 0},
    "_seq_no": None,
    "_primary_term": 1,
    "status": 201,
}


@dataclass(frozen=True, slots=True)
class _Kept:
    errors: bool
    took: bool
    item_fields: tuple[str, ...]


def bulk_answer(body: bytes, *, filter_path: str = "", index: str = "") -> bytes:
    """Return the JSON that says every document of the body was created.

    Invariant: all actions of a body are of the kind of its first, with a source line each, as log
        agents send them.
    """
    action = _action_of(body)
    kept = _kept(filter_path, action)
    parts = [b'"errors":false'] if kept.errors else []
    parts += [b'"took":1'] if kept.took else []
    if kept.item_fields:
        parts.append(b'"items":[%b]' % _items(body, action, fields=kept.item_fields, index=index))
    return b"{%b}" % b",".join(parts)


def count_documents(body: bytes) -> int:
    """Return the number of documents: an action line and a source line each."""
    return body.count(b"\n") // 2


def _action_of(body: bytes) -> str:
    return body[: body.find(b":")].strip(b'{ "').decode()


@lru_cache(maxsize=64)
def _kept(filter_path: str, action: str) -> _Kept:
    patterns = [pattern.split(".") for pattern in filter_path.split(",") if pattern] or [["**"]]

    def keeps(*path: str) -> bool:
        return any(_matches(pattern, path) for pattern in patterns)

    fields = tuple(name for name in _ITEM_FIELDS if keeps("items", action, name))
    return _Kept(keeps("errors"), keeps("took"), fields)


def _matches(pattern: Sequence[str], path: Sequence[str]) -> bool:
    """Tell whether the pattern keeps the path; it keeps all that is below what it names."""
    if not pattern:
        return True
    if pattern[0] == "**":
        return any(_matches(pattern[1:], path[skipped:]) for skipped in range(len(path) + 1))
    return bool(path) and fnmatchcase(path[0], pattern[0]) and _matches(pattern[1:], path[1:])


def _items(body: bytes, action: str, *, fields: Sequence[str], index: str) -> bytes:
    if all(_ITEM_FIELDS[name] is not None for name in fields):
        item = _json({action: {name: _ITEM_FIELDS[name] for name in fields}})
        return ((item + b",") * count_documents(body))[:-1]
    return b",".join(_own_items(body, fields, index=index))


def _own_items(body: bytes, fields: Sequence[str], *, index: str) -> Iterator[bytes]:
    for number, line in enumerate(body.split(b"\n")[:-1:2]):
        ((action, target),) = json.loads(line).items()
        own = {
            "_index": target.get("_index", index),
            "_id": target.get("_id", f"null-{number}"),
            "_seq_no": number,
        }
        yield _json({action: {name: own.get(name, _ITEM_FIELDS[name]) for name in fields}})


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
