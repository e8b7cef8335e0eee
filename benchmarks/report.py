"""How results are printed: plain tables, and each promise with what was found."""

from collections.abc import Sequence
from dataclasses import dataclass

MIB = 2**20


@dataclass(frozen=True, slots=True)
class Check:
    """A promise, and whether it was kept."""

    promise: str
    found: str
    kept: bool

    def __str__(self) -> str:
        return f"{'ok  ' if self.kept else 'FAIL'}  {self.promise}: {self.found}"


def at_most(what: str, value: float, *, limit: float, unit: str) -> Check:
    """Return the check that a value does not exceed its limit."""
    return Check(f"{what} <= {limit:g} {unit}", f"{value:.2f}", value <= limit)


def below(what: str, value: float, *, limit: float, unit: str) -> Check:
    """Return the check that a value stays below its limit."""
    return Check(f"{what} < {limit:g} {unit}", f"{value:.2f}", value < limit)


def at_least(what: str, value: float, *, limit: float, unit: str) -> Check:
    """Return the check that a value reaches its limit."""
    return Check(f"{what} >= {limit:g} {unit}", f"{value:.2f}", value >= limit)


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return aligned columns: the first to the left, the figures to the right."""
    columns = zip(header, *rows, strict=True)
    widths = [max(map(len, column)) for column in columns]
    return "\n".join(_row(row, widths) for row in (header, *rows))


def _row(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *figures = cells
    name_width, *figure_widths = widths
    aligned = (cell.rjust(width) for cell, width in zip(figures, figure_widths, strict=True))
    return "  ".join([first.ljust(name_width), *aligned])
