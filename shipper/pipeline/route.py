"""Chooses the index of an event and freezes it, with the id, in the action line (I5)."""

from __future__ import annotations


def index_of(prefix: str, day: str) -> str:
    """Return the logstash-style daily index of an event, by its UTC date.

    Args:
        prefix: Such as `logstash`.
        day: YYYY-MM-DD.
    """
    return f"{prefix}-{day.replace('-', '.')}"


def action_prefix(index: str, key: str) -> bytes:
    """Return an action line up to the offset in its id: the same for a file's whole day.

    `create` and an id that is a function of file and offset make a repeat answer 409, which
    counts as delivered (I5). No type: Elasticsearch before 7 gets it from the URL (I8).
    """
    return f'{{"create":{{"_index":"{index}","_id":"{key}-'.encode()
