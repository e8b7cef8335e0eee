"""What can be told of an open file that is not identified yet, by its first bytes.

A `.gz` is read whole before it has a key, and that waits while reading is paused. Whether it may be
a certain file, or is only the copy of one, can be told before.

Does not know: who asks, and what becomes of the file.
"""

from __future__ import annotations

from collections.abc import Iterable

from shipper.buffer.positions import Positions
from shipper.model import SavedFile
from shipper.source.head import HEAD_BYTES, is_of_runtime
from shipper.source.identity import Identity
from shipper.source.tail import Tail


def may_be(tail: Tail, base: str, *, identity: Identity) -> bool:
    """Tell whether a file may be one with this hash of stem and head.

    Args:
        tail: The open file.
        base: The hash.
        identity: Makes such hashes.
    """
    if not tail.disk_bytes or identity.knows(tail.hint):
        return False
    head = _head_of(tail)
    return not head or identity.base_of(tail.stem, head) == base


def is_spare(tail: Tail, tails: Iterable[Tail], *, identity: Identity) -> bool:
    """Tell whether nothing would be lost with a file: it is read, or another one has all of it.

    Args:
        tail: The open file.
        tails: All that is open of its series.
        identity: Whose keys they have.
    """
    if tail.claim is None:
        return identity.holds(tail.copy_of)
    if tail.compressed or not tail.unread_bytes:
        return not tail.unread_bytes
    base = unique_base_of(tail, identity)
    others = [other for other in tails if other.compressed and other.claim is None]
    return bool(base) and any(unique_base_of(other, identity) == base for other in others)


def has_no_line(tail: Tail) -> bool:
    """Tell whether the first line of a plain file is not there yet."""
    return not tail.compressed and not _head_of(tail)


def begins_like(tail: Tail, other: Tail) -> bool:
    """Tell whether the first lines of two files are known, and alike."""
    head = _head_of(tail)
    return bool(head) and head == _head_of(other)


def alike(tail: Tail, identity: Identity, *, positions: Positions) -> list[SavedFile]:
    """Return what is saved of files that this one may be."""
    base = identity.base_of(tail.stem, _head_of(tail))
    return [*_saved_under(base, positions), *positions.at(*tail.hint)]


def is_saved(tail: Tail, identity: Identity, *, positions: Positions) -> bool:
    """Tell whether a compressed file is one of which something is saved, from before it was."""
    saved = _saved_under(identity.base_of(tail.stem, _head_of(tail)), positions)
    unique = bool(unique_base_of(tail, identity))
    return any(unique or file.seen_bytes == tail.content.stated_end() for file in saved)


def unique_base_of(tail: Tail, identity: Identity) -> str:
    """Return the hash of stem and head, if no two generations can begin so; else nothing."""
    head = _head_of(tail)
    return identity.base_of(tail.stem, head) if is_of_runtime(head) else ""


def _saved_under(base: str, positions: Positions) -> list[SavedFile]:
    """Return what is saved of files that began so, one that went on in another series included."""
    moved = positions.get(base)
    return [*positions.of(base), *([moved] if moved is not None and moved.base != base else [])]


def _head_of(tail: Tail) -> bytes:
    """Return the first line of a file, or its first `HEAD_BYTES`; empty while that is not there."""
    if tail.first_line or tail.busy:
        return tail.first_line
    try:
        head = tail.content.read_at(0, HEAD_BYTES)
    except OSError:
        return b""
    newline = head.find(b"\n") + 1
    if head.startswith(b"\0") or not (newline or len(head) == HEAD_BYTES):
        return b""
    head = head[:newline] or head
    if tail.compressed:  # another one may be rewritten
        tail.first_line = head
    return head


def waits_for_plain(tail: Tail, tails: Iterable[Tail]) -> bool:
    """Tell whether a file that a `.gz` may be made of is open, and not identified either."""
    plain = tail.path.removesuffix(".gz")
    unknown = [t for t in tails if t.claim is None and t.disk_bytes and not t.compressed]
    return any(t.path == plain or _may_be_made_of(tail, t) for t in unknown)


def _may_be_made_of(tail: Tail, other: Tail) -> bool:
    """Tell whether a `.gz` may be made of an open file that is deleted.

    Where that was seen last says nothing: the `.gz` may have got another name since.
    """
    is_long_enough = tail.content.stated_end() <= other.disk_bytes
    return not other.shown and is_long_enough and begins_like(tail, other)
