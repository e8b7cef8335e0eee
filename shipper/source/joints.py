"""Where a line may go on from one file of a series in the next, and where it must not.

Parts that wait for their end go on in the file that follows. They are given up where files between
may be missing, so that no line is put together of two.

Owns: which files are missing between those that are read, and which one is read out of turn.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from shipper.model import SavedFile
from shipper.source.handover import Handover
from shipper.source.holes import Holes
from shipper.source.identity import Identity
from shipper.source.tail import Tail


class Joints:
    """The places between the files of one series."""

    def __init__(self, handover: Handover, identity: Identity) -> None:
        """Start with nothing missing.

        Args:
            handover: Where the parts wait.
            identity: Whose keys the files have.
        """
        self._handover = handover
        self._identity = identity
        self._holes = Holes()
        self._late = ""

    def miss(self, tail: Tail, tails: Sequence[Tail]) -> None:
        """Take note that a file is given up.

        Args:
            tail: The file.
            tails: All that is open of the series, oldest first.
        """
        if tail.claim is not None and tail.unread_bytes and not tail.rewritten:
            self._holes.add(tail.claim)
        for newer in tails[tails.index(tail) + 1 :][:1]:
            newer.after_gap |= tail.after_gap

    def begin(self, tail: Tail, tails: Sequence[Tail]) -> bool:
        """Give up what waits and cannot go on in the next block of a file.

        Args:
            tail: The file, identified.
            tails: All that is open of the series, oldest first.

        Returns:
            Whether parts wait in newer files, and none in this one: they must not meet.
        """
        assert tail.claim is not None  # noqa: S101  # nothing is read before it is identified
        key, newer = tail.claim.key, tails[tails.index(tail) + 1 :]
        if self._late not in ("", key):
            self._handover.flush(self._handover.waiting_in(self._late))
            self._late = ""
        if tail.newer is not None and not (tail.claim.position and tail.claim.position.end):
            self._late = key  # it did not have its turn
            self._handover.flush(self._waiting_but_in([tail, *newer]))
        if (self._holes.before(tail.claim) or tail.after_gap) and not self._holds(tail):
            self._handover.flush()
        tail.after_gap, tail.newer = False, None
        if tail.after_cut:
            tail.after_cut = False
            self.end_cut_lines()
        waiting = self._handover.is_waiting and any(self._holds(t) for t in newer)
        return waiting and not self._holds(tail)

    def end_cut_lines(self) -> None:
        """Give up what waits for its end, unless that is in a copy of what was truncated."""
        if not any(self._identity.holds(key) for key in self._handover.waiting_keys):
            self._handover.flush()

    def end_lost_lines(
        self, tails: Sequence[Tail], *, settled: Callable[[SavedFile], bool]
    ) -> None:
        """Give up, at a stop, what began in files that nobody can read again.

        Args:
            tails: All that is open of the series.
            settled: Whether no file that is not identified may be a certain one, or be made of it:
                a `.gz` of it would bring it back.
        """
        nameless = {t.claim.key for t in tails if t.nameless and t.claim is not None}
        gone = [f for f in self._handover.waiting_files if self._is_gone(f, nameless)]
        lost = [file.key for file in gone if settled(file)]
        self._handover.flush([s for key in lost for s in self._handover.waiting_in(key)])

    def _is_gone(self, file: SavedFile, nameless: Collection[str]) -> bool:
        return file.key in nameless or self._identity.retired(file.key)

    def _waiting_but_in(self, tails: Sequence[Tail]) -> list[str]:
        """Return the streams of which parts wait, but for those that began in these files."""
        keys = self._handover.waiting_keys
        left = {t.claim.key for t in tails if t.claim is not None} & keys
        kept = {stream for key in left for stream in self._handover.waiting_in(key)}
        streams = {stream for key in keys for stream in self._handover.waiting_in(key)}
        return list(streams - kept)

    def _holds(self, tail: Tail) -> bool:
        """Tell whether parts wait that began in a file, or one it is a copy of."""
        return tail.claim is not None and self._handover.holds(tail.claim.key)
