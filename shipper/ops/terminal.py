"""What a person sees on a terminal: a live status, a progress bar, a summary.

Where stderr is no terminal nothing is drawn: the log says what has to be said.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from shipper.ops.printable import printable

_WINDOW_SECS = 5.0
"""Over how long a rate is measured."""
_BAR_WIDTH = 24
_NAMED = 3
"""So many skipped files are named; the log names them all."""
_UNIT = 1000


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What the agent does at a moment.

    Attributes:
        paths: Of the series that are followed.
        skipped: Files that are not, and why.
        unread: With `--once`, files that could not be read.
        read_bytes: Bytes read since the start.
        lag_bytes: Bytes that are there and not read.
        lag_secs: For how long the oldest of them have been.
        delivered: Documents delivered since the start.
        dead: Documents refused since the start.
        buffered: Documents in the buffer.
        trouble: What is wrong, in words; empty if nothing is.
        server_url: Where metrics are; empty if nowhere.
    """

    paths: tuple[str, ...] = ()
    skipped: dict[str, str] = field(default_factory=dict)
    unread: tuple[str, ...] = ()
    read_bytes: int = 0
    lag_bytes: int = 0
    lag_secs: float = 0.0
    delivered: int = 0
    dead: int = 0
    buffered: int = 0
    trouble: str = ""
    server_url: str = ""


class View(Protocol):
    """Shows snapshots to whoever looks."""

    def show(self, snapshot: Snapshot) -> None:
        """Show the newest one."""


class Rate:
    """Documents a second over the last seconds."""

    def __init__(self) -> None:
        """Start without a measurement."""
        self._points: deque[tuple[float, int]] = deque()

    def update(self, count: int, now: float) -> float:
        """Take the newest count; returns the rate."""
        self._points.append((now, count))
        while now - self._points[0][0] > _WINDOW_SECS:
            self._points.popleft()
        (since, before), secs = self._points[0], now - self._points[0][0]
        return (count - before) / secs if since < now else 0.0


@contextlib.contextmanager
def view(destination: str, *, once: bool, quiet: bool) -> Iterator[View | None]:
    """Yield what shows snapshots: a live status, with `once` a progress bar; None if nothing does.

    Args:
        destination: What the output is called.
        once: The run ends by itself.
        quiet: Draw nothing.
    """
    if quiet or not sys.stderr.isatty():
        yield None
        return
    # Imported here: it costs 4 MB and 60 ms, and an agent on a node has no terminal.
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    started, rate = time.monotonic(), Rate()

    def draw(snapshot: Snapshot) -> Text:
        now = time.monotonic()
        per_sec = rate.update(snapshot.delivered, now)
        if once:
            return Text(bar(snapshot, per_sec, secs=now - started), no_wrap=True)
        rows = status(snapshot, per_sec, destination=destination)
        parts = [part for name, text in rows for part in ((f"{name:11}", "bold"), f"{text}\n")]
        return Text.assemble(*parts, no_wrap=True, overflow="ellipsis")

    console = Console(stderr=True, highlight=False)
    with Live(console=console, auto_refresh=False, transient=once) as live:
        yield _Drawn(lambda snapshot: live.update(draw(snapshot), refresh=True))


@dataclass(frozen=True, slots=True)
class _Drawn:
    draw: Callable[[Snapshot], None]

    def show(self, snapshot: Snapshot) -> None:
        """Draw it in the place of the one before."""
        self.draw(snapshot)


def bar(snapshot: Snapshot, per_sec: float, *, secs: float) -> str:
    """Return the progress of a run that ends by itself, as one line."""
    total = snapshot.read_bytes + snapshot.lag_bytes
    share = snapshot.read_bytes / total if total else 0.0
    done = int(_BAR_WIDTH * share)
    line = (
        f"{'━' * done}{'╌' * (_BAR_WIDTH - done)} {100 * share:3.0f}%"
        f"  {size(snapshot.read_bytes)} of {size(total)}"
    )
    if snapshot.trouble:
        return f"{line}  {printable(snapshot.trouble)}"
    left = secs * (1 - share) / share if share else 0.0
    return f"{line}  {per_sec:,.0f} docs/s  {_time_left(left)}"


def status(snapshot: Snapshot, per_sec: float, *, destination: str) -> list[tuple[str, str]]:
    """Return the rows of the live status: name and text."""
    if snapshot.trouble and not snapshot.paths:
        return [("waiting", printable(snapshot.trouble)), ("stop", "Ctrl-C")]
    rows = [
        ("following", f"{_files(snapshot)} into {destination}{skipped(snapshot)}"),
        ("read", size(snapshot.read_bytes)),
        ("behind", f"{size(snapshot.lag_bytes)}, {snapshot.lag_secs:.1f} s"),
        ("delivered", f"{snapshot.delivered:,} documents, {per_sec:,.0f} docs/s"),
        ("buffered", f"{snapshot.buffered:,} documents"),
    ]
    if snapshot.dead:
        rows.append(("refused", f"{snapshot.dead:,} documents (shipper deadletters ls)"))
    if snapshot.trouble:
        rows.append(("trouble", printable(snapshot.trouble)))
    if destination == "the local store":
        rows.append(("look", "shipper search 'error namespace:shop'"))
    if snapshot.server_url:
        rows.append(("metrics", f"curl {snapshot.server_url}/metrics"))
    return [*rows, ("stop", "Ctrl-C")]


def summary(snapshot: Snapshot, secs: float) -> str:
    """Return the line that ends a `--once` run."""
    files, left_out = _files(snapshot), skipped(snapshot) + _unread(snapshot)
    kept = f", {snapshot.buffered:,} stay in the buffer" if snapshot.buffered else ""
    if not snapshot.paths:
        return f"no files to read{left_out}"
    if not snapshot.delivered and not snapshot.dead and not kept:
        return f"nothing new in {files}{left_out} (--from-beginning reads them again)"
    dead = f", {snapshot.dead:,} refused (shipper deadletters ls)" if snapshot.dead else ""
    return (
        f"delivered {counted(snapshot.delivered, 'document')} from {files},"
        f" {size(snapshot.read_bytes)}, in {secs:.1f} s"
        f" ({snapshot.delivered / max(secs, 0.001):,.0f} docs/s){dead}{kept}{left_out}"
    )


def skipped(snapshot: Snapshot) -> str:
    """Return how many files are skipped and the first of their names, in parentheses."""
    paths = snapshot.skipped.keys() - set(snapshot.unread)
    return f" ({len(paths)} skipped: {_named(paths)})" if paths else ""


def _unread(snapshot: Snapshot) -> str:
    if not snapshot.unread:
        return ""
    return f" ({len(snapshot.unread)} cannot be read: {_named(snapshot.unread)})"


def _named(paths: Collection[str]) -> str:
    """Return the names of the first of these files."""
    names = [printable(path.rpartition("/")[2]) for path in sorted(paths)[:_NAMED]]
    return ", ".join([*names, "…"] if len(paths) > _NAMED else names)


def size(count: float) -> str:
    """Return a number of bytes with a unit."""
    for unit in ("B", "KB", "MB", "GB"):
        if count < _UNIT:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= _UNIT
    return f"{count:.1f} TB"


def _files(snapshot: Snapshot) -> str:
    return counted(len(snapshot.paths), "file")


def counted(number: int, what: str) -> str:
    """Return a number of things in words."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _time_left(secs: float) -> str:
    minutes, rest = divmod(int(secs), 60)
    return f"{minutes} min {rest:02} s left" if minutes else f"{rest} s left"
