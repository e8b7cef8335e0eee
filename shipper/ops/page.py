"""How `shipper status` shows the agent's document: a head, then a table, most behind first.

On a terminal it fits the width, and shows as many rows as are read at a glance; into a file or a
pipe every row is one line of text, and all of them are there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shipper.ops.printable import printable
from shipper.ops.status import Buffer, SeriesRow, Status
from shipper.ops.terminal import counted, size

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_ROWS_ON_TERMINAL = 20
_PIPE_WIDTH = 10_000
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400


@dataclass(frozen=True, slots=True)
class _Line:
    """A row of the table, for a series or for one file of it."""

    name: str
    size_bytes: int
    read_bytes: int
    lag_bytes: int
    lag_secs: float
    notes: tuple[str, ...]


def show(status: Status, *, files: bool) -> None:
    """Print the document.

    Args:
        status: What the agent said.
        files: One row for each open file, instead of one for each series.
    """
    # Imported here: it takes 60 ms, and an agent never needs it.
    from rich.console import Console  # noqa: PLC0415

    console = Console(highlight=False, soft_wrap=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=_PIPE_WIDTH, no_color=True)
    for name, text in head(status):
        console.print(f"[bold]{name:10}[/bold]", end="")
        console.print(printable(text), markup=False, overflow="fold")
    lines = list(_files(status.series) if files else _series(status.series))
    if lines:
        console.print()
        _show_table(console, lines, left_off=status.series_left_off, what=_what(files=files))


def head(status: Status) -> list[tuple[str, str]]:
    """Return what stands above the table: name and text."""
    if status.waiting:
        return [("shipper", _who(status)), ("waiting", status.waiting)]
    return [
        ("shipper", _who(status)),
        ("state", status.state_dir),
        ("output", status.output),
        ("read", size(status.totals.get("read_bytes", 0))),
        ("delivered", counted(status.totals.get("delivered", 0), "document")),
        ("buffer", _buffer(status.buffer)),
        ("behind", _behind(status)),
        *([("pods", status.kubernetes)] if status.kubernetes else ()),
        *((name, text) for name, text in _troubles(status) if text),
    ]


def _troubles(status: Status) -> list[tuple[str, str]]:
    """Return what is not as it should be: name and text, empty where nothing is wrong."""
    totals = status.totals
    return [
        ("trouble", status.trouble),
        ("paused", status.paused),
        ("refused", _some(totals, "dead", what="documents (shipper deadletters ls)")),
        ("lost", _some(totals, "lost_documents", what="documents of chunk files that vanished")),
        ("abandoned", _reasons(status.abandoned_bytes, " gone before it was read")),
        ("gaps", _some(totals, "gaps", what="between files: some may have come and gone unseen")),
        ("dropped", _reasons(status.dropped_bytes)),
        ("account", _mismatches(status)),
        ("skipped", _skipped(status)),
    ]


def _buffer(buffer: Buffer) -> str:
    used = f"{size(buffer.bytes)} of {size(buffer.quota_bytes)}"
    documents, chunks = counted(buffer.documents, "document"), counted(buffer.chunks, "chunk")
    return f"{documents} in {chunks}, {used}"


def _behind(status: Status) -> str:
    late = sum(1 for series in status.series if series.lag_bytes)
    count = len(status.series) + status.series_left_off
    held = f", {size(status.held_bytes)} of it deleted" if status.held_bytes else ""
    return (
        f"{size(status.lag_bytes)}, {status.lag_secs:.1f} s{held},"
        f" in {late:,} of {counted(count, 'log')}; {counted(status.open_files, 'file')} open"
    )


def _who(status: Status) -> str:
    up = duration(status.uptime_secs)
    return f"{status.version} on {status.node}, pid {status.pid}, up {up}"


def _mismatches(status: Status) -> str:
    laws = ", ".join(f"{law} by {count:,}" for law, count in status.mismatches.items())
    return f"does not add up: {laws} (see the agent's log)" if laws else ""


def _skipped(status: Status) -> str:
    if not status.skipped:
        return ""
    path, why = next(iter(status.skipped.items()))
    count = len(status.skipped) + status.skipped_left_off
    return f"{counted(count, 'file')}, such as {path}: {why}"


def _reasons(counts: Mapping[str, int], what: str = "") -> str:
    some = ", ".join(f"{size(count)} {reason}" for reason, count in counts.items() if count)
    return f"{some}:{what}" if what and some else some


def _some(totals: Mapping[str, int], name: str, *, what: str) -> str:
    count = totals.get(name, 0)
    return f"{count:,} {what}" if count else ""


def duration(secs: float) -> str:
    """Return a length of time in two units."""
    whole = int(secs)
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return f"{whole // _MINUTE} min {whole % _MINUTE} s"
    if whole < _DAY:
        return f"{whole // _HOUR} h {whole % _HOUR // _MINUTE} min"
    return f"{whole // _DAY} d {whole % _DAY // _HOUR} h"


def _series(rows: Iterable[SeriesRow]) -> Iterator[_Line]:
    for row in rows:
        counts = {
            "held": row.held_bytes,
            "pending": row.pending_bytes,
            "abandoned": row.abandoned_bytes,
        }
        notes = [f"{name} {size(count)}" for name, count in counts.items() if count]
        if row.gaps:
            notes.append(counted(row.gaps, "gap"))
        lag = (row.lag_bytes, row.lag_secs)
        yield _Line(row.name, row.size_bytes, row.read_bytes, *lag, tuple(notes))


def _files(rows: Iterable[SeriesRow]) -> Iterator[_Line]:
    for row in rows:
        for file in row.files:
            lag = (file.lag_bytes, file.lag_secs)
            notes = ("deleted",) if file.held else () if file.live else ("rotated",)
            yield _Line(file.path, file.size_bytes, file.read_bytes, *lag, notes)


def _what(*, files: bool) -> str:
    return "file" if files else "log"


def _show_table(console: Console, lines: Sequence[_Line], *, left_off: int, what: str) -> None:
    most, between = (_ROWS_ON_TERMINAL, "\n") if console.is_terminal else (len(lines), ", ")
    console.print(_table(lines[:most], what=what, between=between))
    left = left_off + len(lines) - len(lines[:most])
    if left:
        how = " (shipper status | less)" if console.is_terminal else ""
        console.print(f"and {left:,} more{how}")


def _table(lines: Sequence[_Line], *, what: str, between: str) -> Table:
    from rich.table import Table  # noqa: PLC0415  # see `show`

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column(what, overflow="fold")
    for name in ("size", "read", "behind", "secs"):
        table.add_column(name, justify="right", no_wrap=True)
    if any(line.notes for line in lines):
        table.add_column("notes", no_wrap=True)
    for line in lines:
        sizes = (line.size_bytes, line.read_bytes, line.lag_bytes)
        cells = [*map(size, sizes), f"{line.lag_secs:.1f}", between.join(line.notes)]
        table.add_row(_plain(line.name), *cells[: len(table.columns) - 1])
    return table


def _plain(name: str) -> str:
    from rich.markup import escape  # noqa: PLC0415  # see `show`

    return escape(printable(name))
