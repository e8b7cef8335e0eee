"""Which files of a series were given up, so that no line is put together over them.

A file that was given up may come back, as its own `.gz`: then there is no hole.

Owns: the files that are missing. Does not know: why.
"""

from __future__ import annotations

from shipper.source.identity import Claim


class Holes:
    """The files that are missing between those that are read."""

    def __init__(self) -> None:
        """Start with none."""
        self._missing: dict[str, int] = {}
        self._read_last = ("", -1)

    def add(self, claim: Claim) -> None:
        """Take note that a file was given up."""
        self._missing[claim.key] = claim.sequence

    def before(self, claim: Claim) -> bool:
        """Tell whether any is missing between the file that was read last and this one.

        It is taken for the one that was read last then.
        """
        key, last = self._read_last
        if key == claim.key:
            return False
        self._missing.pop(claim.key, None)
        missing = self._missing.values()
        is_hole = any(last < sequence < claim.sequence for sequence in missing)
        newer = {k: sequence for k, sequence in self._missing.items() if sequence > claim.sequence}
        self._missing, self._read_last = newer, (claim.key, claim.sequence)
        return is_hole
