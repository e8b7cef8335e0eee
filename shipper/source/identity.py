"""Which file is which: file keys, path stems, the order of generations.

Theory of operation: a path and an inode say nothing lasting about a log file. Its key is a hash of
the path stem (rotation suffix and `.gz` removed) and its head (the first line, 1,024 bytes at
most), so a renamed, copied or compressed file keeps its key and a rewritten one gets another.
Where the path names a container id, that is all: the head has a time in nanoseconds, and the ids
are the same again after lost state. Elsewhere the node's name goes in, and a random generation
number where heads can be equal.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass

from shipper.model import Position, SavedFile

HEAD_BYTES = 1_024
CHECK_BYTES = 1_024
"""How much before a position has to be the same for a file to take it."""
_KEY_BYTES = 12
"""96 bits: an index holds the ids of thousands of nodes, and a collision would pass for a
duplicate."""

_ROTATION = re.compile(r"\.(?P<number>\d{1,6})|[-.](?P<date>\d{8}(?:-\d{1,6})?)")
_CONTAINER_OR_POD = re.compile(
    r"[0-9a-f]{64}|/[^/]+_[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/"
)
_TIMED_HEAD = re.compile(
    rb'"time":"[0-9T:-]{19}\.\d{6,9}Z"|[0-9T:-]{19}\.\d{6,9}(Z|[+-][0-9:]{5}) '
)


@dataclass(frozen=True, slots=True, order=True)
class Generation:
    """What a file name says of its place in a series; sorts from the oldest to the live one.

    Attributes:
        live: The name has no rotation suffix.
        date: Date of a dated suffix.
        minus_number: Of a numbered one, negative: `.2` is older than `.1`.
    """

    live: bool
    date: str
    minus_number: int


_LIVE = Generation(live=True, date="", minus_number=0)


def split_name(name: str) -> tuple[str, Generation]:
    """Split a file name into its stem and its generation: `a.log.2.gz` is `a.log` and number 2."""
    if not name[-1:].isdigit() and not name.endswith(".gz"):
        return name, _LIVE
    head, generation = _split_once(name)
    while not generation.live:
        deeper, inner = _split_once(head)
        if inner.live:
            break
        head = deeper
    return head, generation


def _split_once(name: str) -> tuple[str, Generation]:
    plain = name.removesuffix(".gz")
    head, dot, tail = plain.rpartition(".")
    match = _ROTATION.fullmatch(dot + tail) if head else None
    if match is None:
        dated = re.fullmatch(r"(.+?)(-\d{8}(?:-\d{1,6})?)", plain)
        head, match = (dated[1], _ROTATION.fullmatch(dated[2])) if dated else (plain, None)
    if match is None:
        return plain, _LIVE if plain == name else Generation(live=False, date="", minus_number=0)
    date, number = match["date"] or "", int(match["number"] or 0)
    return head, Generation(live=False, date=date, minus_number=-number)


def position_check(data: bytes) -> str:
    """Hash the bytes before a position."""
    return hashlib.blake2b(data, digest_size=8).hexdigest() if data else ""


@dataclass(frozen=True, slots=True)
class Claim:
    """A file's identity, once it is known.

    Attributes:
        key: The file key.
        base: Hash of stem and head.
        position: Where reading goes on; None for a file never seen.
    """

    key: str
    base: str
    position: Position | None


@dataclass(frozen=True, slots=True)
class Looks:
    """What is seen of an open file besides its head.

    Attributes:
        inode: Its inode: decides only among equal heads, and only while it is the same.
        live: The path of the series shows it.
        compressed: It is a `.gz`.
        fits: Whether the bytes before a position are its own.
    """

    inode: int
    live: bool
    compressed: bool
    fits: Callable[[Position], bool]


class Identity:
    """Gives files their keys. Each key belongs to one file at a time: open, or done and on disk."""

    def __init__(self, node: str, saved: Callable[[str], list[SavedFile]]) -> None:
        """Identify files of this node.

        Args:
            node: Its name, fixed at the first start.
            saved: What is saved under a hash of stem and head.
        """
        self._node = node
        self._saved = saved
        self._bases: dict[str, str] = {}  # of the keys that have their file
        self._retired: set[str] = set()

    def claim(self, stem: str, head: bytes, *, looks: Looks) -> Claim | None:
        """Identify an open file; None if it is the compressed form of one that has its key still.

        Args:
            stem: Its real path without rotation suffix.
            head: Its first line, or its first `HEAD_BYTES`.
            looks: What else can be seen of it.
        """
        named = _CONTAINER_OR_POD.search(stem) is not None
        base = _hash(stem, "" if named else self._node, head)
        timed = _TIMED_HEAD.search(head) is not None
        saved = sorted(self._saved(base), key=lambda f: (f.inode != looks.inode, -f.position.end))
        for file in saved:
            if self._may_be(file, looks, timed=timed) and looks.fits(file.position):
                if file.key not in self._bases:
                    return self._take(Claim(file.key, base, file.position))
                if looks.compressed:
                    return None
        known = {file.key for file in saved}
        if looks.compressed and any(b == base and k not in known for k, b in self._bases.items()):
            return None
        unique = timed and base not in self._bases and base not in known
        return self._take(Claim(base if unique else _hash(base, secrets.token_hex(8)), base, None))

    def release(self, key: str, *, deleted: bool = False) -> None:
        """Say that the file of this key is closed, or not on disk any more.

        Args:
            key: The key.
            deleted: The file has no name any more: what begins like it and is not compressed is
                another one, even if it got the same inode.
        """
        base = self._bases.pop(key, key)
        if deleted and key != base:  # else its head has a time, and no other file begins like it
            self._retired.add(key)

    def _may_be(self, file: SavedFile, looks: Looks, *, timed: bool) -> bool:
        """Tell whether a file can be a saved one, by what is seen from outside.

        Where heads can be equal, a live file keeps its inode: one with another inode is new, even
        if all that is in it so far was in an older one, too.
        """
        if looks.compressed:
            return True
        if file.key in self._bases:
            return False
        same = file.inode == looks.inode and file.key not in self._retired
        return timed or not looks.live or same

    def _take(self, claim: Claim) -> Claim:
        self._bases[claim.key] = claim.base
        return claim


def _hash(*parts: str | bytes) -> str:
    digest = hashlib.blake2b(digest_size=_KEY_BYTES)
    for part in parts:
        data = part.encode(errors="surrogateescape") if isinstance(part, str) else part
        digest.update(b"%d:" % len(data) + data)
    return digest.hexdigest()
