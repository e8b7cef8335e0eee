"""Reads values out of JSON for which nobody vouches: what has another type is as if not there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def mapping(thing: object, key: str) -> Mapping[str, Any]:
    """Return the object under a key; an empty one where there is none."""
    value = thing.get(key) if isinstance(thing, dict) else None
    return value if isinstance(value, dict) else {}


def each(thing: Mapping[str, Any], key: str) -> Iterator[Mapping[str, Any]]:
    """Yield the objects in the list under a key."""
    values = thing.get(key)
    yield from (v for v in values if isinstance(v, dict)) if isinstance(values, list) else ()


def text(thing: Mapping[str, Any], key: str) -> str:
    """Return the text under a key; an empty one where there is none."""
    value = thing.get(key)
    return _sound(value) if isinstance(value, str) else ""


def count(thing: Mapping[str, Any], key: str) -> int:
    """Return the number under a key that counts something; 0 where there is none."""
    value = thing.get(key)
    return value if type(value) is int and value > 0 else 0


def texts(thing: Mapping[str, Any], key: str) -> dict[str, str]:
    """Return the texts in the object under a key, by their names."""
    return {
        _sound(name): _sound(value)
        for name, value in mapping(thing, key).items()
        if isinstance(value, str)
    }


def _sound(value: str) -> str:
    """Replace halves of surrogate pairs: JSON may name them, and no document can hold them."""
    return value if value.isascii() else value.encode(errors="replace").decode()
