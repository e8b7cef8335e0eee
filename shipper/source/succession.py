"""Whether the generations of a series follow each other, or some may have come and gone unseen.

A file that is rotated keeps a name for a while. If the newest one known has none any more, while
newer ones that are rotated stand there, others may have been between. Where it was open and only
the live path shows a new file, that has taken its place.

Owns: which file was the newest.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from shipper.source.identity import Place
from shipper.source.tail import Tail
from shipper.source.unidentified import begins_like

_NOWHERE: Place = (-1, -1)


class Succession:
    """The order in which the files of one series come."""

    def __init__(self, stem: str) -> None:
        """Start with no file known."""
        self._stem = stem
        self._newest: Place | None = None

    def gap_before(
        self,
        before: Sequence[Tail],
        shown: Sequence[Tail],
        *,
        places: Collection[Place],
        copied: Collection[str],
    ) -> Tail | None:
        """Return the first new file, if nothing proves that it follows the newest one before.

        Args:
            before: What was open.
            shown: What is open and has a name, oldest first.
            places: Of everything that has a name.
            copied: Keys of files of which a copy was seen.
        """
        new = [tail for tail in shown if tail not in before]
        newest = next((tail for tail in before if tail.hint == self._newest), None)
        # A listing may miss a file that is renamed meanwhile.
        gone = _is_gone(newest, shown, copied=copied) if newest else self._newest not in places
        known = self._newest is not None
        live = [tail for tail in shown if tail.path == self._stem]
        if live:
            self._newest = live[0].hint
        elif new and shown[-1] in new and not shown[-1].compressed:
            self._newest = shown[-1].hint  # it was live between two looks
        rotated = any(tail.path != self._stem for tail in new)
        is_gap = known and gone and (rotated or newest is None)
        return new[0] if new and is_gap else None

    def lost(self, place: Place) -> None:
        """Take note that an open file without a name is closed: its inode can be used again."""
        if place == self._newest:
            self._newest = _NOWHERE

    def mark_late(self, tails: Sequence[Tail], before: Sequence[Tail]) -> None:
        """Mark the files that are found only now, though a newer one was read already.

        Args:
            tails: What is open, oldest first.
            before: What was open before.
        """
        for number, tail in enumerate(tails):
            newer = next((t for t in tails[number + 1 :] if t in before and t.offset), None)
            if newer is not None and tail not in before:
                tail.newer = newer


def _is_gone(tail: Tail, shown: Sequence[Tail], *, copied: Collection[str]) -> bool:
    """Tell whether an open file has neither a name any more, nor a `.gz` in its place."""
    if not tail.deleted:
        return False
    key = tail.claim.key if tail.claim else ""
    return key not in copied and not any(t.compressed and begins_like(t, tail) for t in shown)
