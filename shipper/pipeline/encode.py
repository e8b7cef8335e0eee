"""An event to the two lines that a `_bulk` body holds of it."""

from __future__ import annotations

import orjson

from shipper.model import Event

ACTION_END = b'%x"}}\n'
"""The end of an action line: the offset of the event's first line, in hex."""


def encode(event: Event, *, prefix: bytes, suffix: bytes) -> bytes:
    """Return the action line and the document line of an event.

    Args:
        event: The event; its record holds at least one field.
        prefix: Action line up to the offset (`route.action_prefix`).
        suffix: What closes every document of its file (`enrich.suffix_of`).
    """
    return b"".join((prefix, ACTION_END % event.offset, orjson.dumps(event.record)[:-1], suffix))
