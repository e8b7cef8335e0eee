"""How far a series is read, as values for whoever asks."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Sequence

from shipper.model import FileStatus, SeriesStatus
from shipper.source.discover import Series
from shipper.source.losses import Losses
from shipper.source.tail import Tail


def status_of(
    series: Series, tails: Iterable[Tail], *, losses: Losses, pending_bytes: int
) -> SeriesStatus:
    """Return how far a series is read.

    Args:
        series: Which series.
        tails: What is open of it, oldest first.
        losses: What has vanished unread.
        pending_bytes: Bytes read of lines whose end has not come.
    """
    return SeriesStatus(
        series.path,
        tuple(_file_status(tail) for tail in tails),
        pending_bytes,
        losses.abandoned_bytes[series.stem],
        losses.gaps[series.stem],
    )


def holds_back(tail: Tail, tails: Collection[Tail]) -> bool:
    """Tell whether a file, of those open, ends in a half line that newer ones must not overtake."""
    waits = tail.live or tail.copy_of or tail.rewritten
    return tail in tails and not waits and tail.unread_bytes > 0


def only_grows(tails: Sequence[Tail]) -> bool:
    """Tell whether there is one file, the live one, and nothing of it waits for its time."""
    if len(tails) != 1:
        return False
    (tail,) = tails
    return tail.live and tail.claim is not None and tail.due_at is None and not tail.nameless


def lag_secs_of(tail: Tail) -> float:
    """Return for how long a file has had unread bytes; the start of a line is none."""
    return 0.0 if tail.behind_since is None else time.monotonic() - tail.behind_since


def _file_status(tail: Tail) -> FileStatus:
    known = tail.unread_bytes or not tail.compressed
    return FileStatus(
        path=tail.path,
        key=tail.claim.key if tail.claim else "",
        size_bytes=tail.offset + tail.unread_bytes if known else 0,
        read_bytes=tail.offset,
        lag_secs=lag_secs_of(tail),
        held=tail.nameless,
        live=tail.live,
    )
