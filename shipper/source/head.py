"""The first line of a log file: what its file key is made of, and what it tells."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

HEAD_BYTES = 1_024
"""How much of a first line counts."""
_KEY_BYTES = 12
"""96 bits: an index holds the ids of thousands of nodes, and a collision would pass for a
duplicate."""

_CONTAINER_OR_POD = re.compile(
    r"[0-9a-f]{64}|/[^/]+_[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/"
)
_SPLIT_SECOND = rb"[0-9T:-]{19}\.\d{6,9}"
_RUNTIME_HEAD = re.compile(
    rb'\{"log":".*","stream":"[a-z]+",(?:"attrs":.*,)?"time":"%(t)b(?:Z|[+-][0-9:]{5})"\}\n'
    rb"|%(t)b(?:Z|[+-][0-9:]{5}) (?:stdout|stderr) " % {b"t": _SPLIT_SECOND}
)
"""A head that a container runtime wrote: no two generations of a log begin so."""
_TIMED_HEAD = re.compile(
    rb'"time":"[0-9T:-]{19}\.\d{6,9}Z"|[0-9T:-]{19}\.\d{6,9}(Z|[+-][0-9:]{5}) '
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstLine:
    """What the beginning of a file tells.

    Attributes:
        base: Hash of stem and head.
        timed: There is a time in nanoseconds in it.
        of_runtime: A container runtime wrote it: no two generations begin so.
    """

    base: str
    timed: bool
    of_runtime: bool


def first_line_of(stem: str, node: str, *, head: bytes) -> FirstLine:
    """Return what the first line of a file tells.

    Args:
        stem: Its real path without rotation suffix.
        node: Name of the node.
        head: Its first line, or its first `HEAD_BYTES`.
    """
    return FirstLine(
        base=base_of(stem, node, head=head),
        timed=_TIMED_HEAD.search(head) is not None,
        of_runtime=is_of_runtime(head),
    )


def is_of_runtime(head: bytes) -> bool:
    """Tell whether a container runtime wrote a first line: no two generations begin so."""
    return _RUNTIME_HEAD.match(head) is not None


def base_of(stem: str, node: str, *, head: bytes) -> str:
    """Return the hash of stem and head; the node's name is in it where the path names no pod."""
    named = _CONTAINER_OR_POD.search(stem) is not None
    return hash_of(stem, "" if named else node, head)


def hash_of(*parts: str | bytes) -> str:
    """Return a hash of some parts, by which nobody can make two sets of parts equal."""
    digest = hashlib.blake2b(digest_size=_KEY_BYTES)
    for part in parts:
        data = part.encode(errors="surrogateescape") if isinstance(part, str) else part
        digest.update(b"%d:" % len(data) + data)
    return digest.hexdigest()
