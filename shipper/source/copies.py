"""Which file is a copy of which: what `copytruncate` copied, and what a `.gz` was made of.

Does not know: keys.
"""

from __future__ import annotations

from collections.abc import Iterable

from shipper.model import Position
from shipper.source.tail import Tail


def is_copy(tail: Tail, other: Tail, *, within_secs: float) -> bool:
    """Tell whether a file seems to be a copy of another one that is open.

    The bytes decide. The original of a copy is truncated at once, so what has not grown for so
    long is a file of its own, unless it was like the other one before that was truncated; what is
    compressed was rotated before.
    """
    if other.busy:
        return True
    recent = tail.quiet_secs < within_secs
    if not other.update(reads=False):
        return (tail.compressed or recent or bool(tail.copy_of)) and _was_like(tail, other)
    return (not other.live if tail.compressed else recent) and _is_like(tail, other)


def is_unseen(tail: Tail, others: Iterable[Tail]) -> bool:
    """Tell whether a file seems to be a copy of what another one is since it was rewritten.

    Until that one is opened anew it cannot be asked, and the copy would be taken for a new file.
    """
    return any(
        not (other is tail or other.busy or other.compressed)
        and not other.update(reads=False)
        and 0 < tail.content.end() <= other.disk_bytes
        and _ends_alike(tail, other)
        for other in others
    )


def is_short_copy(tail: Tail, position: Position, *, tails: Iterable[Tail]) -> bool:
    """Tell whether a file ends before a position, and no longer copy of the same one waits.

    Args:
        tail: The file.
        position: In its original.
        tails: All that is open of its series.
    """
    rivals = [t for t in tails if t.copy_of and t.copy_of == tail.copy_of and t is not tail]
    own = f"{tail.path}.gz"
    longer = [
        t for t in rivals if t.path != own and (t.compressed or t.seen_bytes > tail.seen_bytes)
    ]
    return tail.ends_before(position) and not longer


def _is_like(tail: Tail, other: Tail) -> bool:
    """Tell whether all of a file stands at the beginning of another one, by its last bytes."""
    return 0 < tail.content.end() <= other.seen_bytes and _ends_alike(tail, other)


def _ends_alike(tail: Tail, other: Tail) -> bool:
    size = tail.content.end()
    return tail.before(size) == other.before(size)


def _was_like(tail: Tail, other: Tail) -> bool:
    """Tell whether a file may be a copy of what a rewritten one was, by what was read of that."""
    behind = max(0, other.offset - tail.content.end())
    window = other.window[: max(0, len(other.window) - behind)]
    return not other.offset or (
        bool(window) and tail.before(other.offset - behind).endswith(window)
    )
