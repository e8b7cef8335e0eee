"""Finds out which file an open one is, by what is in it.

Owns: nothing; it reads, and says what it has found to the tail.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from shipper.model import Position, SavedFile
from shipper.source.block import HOLE, READ_FROM
from shipper.source.copies import is_short_copy
from shipper.source.directory import signature_of
from shipper.source.head import HEAD_BYTES, is_of_runtime
from shipper.source.identity import (
    CHECK_BYTES,
    CopyOf,
    Identity,
    Looks,
    position_check,
)
from shipper.source.tail import Tail


def identify(
    tail: Tail,
    identity: Identity,
    *,
    final: bool,
    held: Callable[[str], bool] = lambda _: False,
    copies: Callable[[str], bool] = lambda _: False,
    tails: Sequence[Tail] = (),
) -> bool:
    """Find out which file this is; False while that cannot be told.

    Args:
        tail: The open file.
        identity: The agent's identities.
        final: No more will be written, so what there is must do.
        held: Whether the parts of lines in a file, by its key, that wait for their ends are still
            in memory: then they are not read again.
        copies: Whether this seems to be a copy of the file that has a key.
        tails: All that is open of its series.

    Raises:
        OSError: It cannot be read.
    """
    if tail.claim is not None:
        return True
    start = tail.first_data()
    if start < 0 and (tail.scanning or not final):
        return False
    start = max(0, start)
    head = tail.content.read_at(start, HEAD_BYTES)
    newline = head.find(b"\n") + 1
    if not head or not (newline or len(head) == HEAD_BYTES or final):
        return False
    if not final and not tail.content.whole():
        return False
    head = head[:newline] if newline else head
    looks = Looks(
        tail.hint,
        live=tail.live,
        compressed=tail.compressed,
        fits=partial(_fits, tail),
        shorter=lambda at: (
            _tells(tail, head, end=start + len(head)) and is_short_copy(tail, at, tails=tails)
        ),
        copies=copies,
        is_at=lambda path: (signature_of(path) or ())[:2] == tail.hint,
        copy_of=tail.copy_of,
        yields=lambda file: any(_is_older_claim(t, file) for t in tails if t is not tail),
    )
    claim = identity.claim(tail.stem, head, looks=looks)
    if isinstance(claim, CopyOf):
        tail.copy_of, tail.copy_bytes = claim.key, tail.content.end()
        return False
    tail.seen_bytes = tail.content.end() if tail.compressed else tail.seen_bytes
    tail.resume(claim, held=held(claim.key), head=(start, head))
    if start and claim.position is None:
        tail.skip(start, HOLE)
    return True


def begin(tail: Tail, read_from: str, *, max_line_bytes: int, reason: str = READ_FROM) -> None:
    """Begin a file that was never read where `read_from` says: `end`, or a time, or neither.

    Args:
        tail: The file, identified.
        read_from: As in the configuration.
        max_line_bytes: How long its last line may be that is not whole.
        reason: Why what is before that is skipped.
    """
    if read_from == "end":
        tail.skip(_end_of_lines(tail, max_line_bytes), reason)
    elif read_from != "beginning":
        tail.since = read_from


def _tells(tail: Tail, head: bytes, *, end: int) -> bool:
    """Tell whether a file that is too short for a position can be a copy for all that.

    It cannot where all there is of it is a line that others begin with, too; nor if, without a
    time that no other one has, it has grown since it was seen to be one.
    """
    size = tail.content.end()
    grown = size > tail.copy_bytes and not tail.compressed
    return is_of_runtime(head) or (size > end and not grown)


def _is_older_claim(tail: Tail, file: SavedFile) -> bool:
    """Tell whether a file that is not identified yet has the place of a saved one, and fits it."""
    is_there = tail.hint == (file.device, file.inode) and not tail.compressed
    is_read = file.position.end > 0  # else anything fits
    return is_there and is_read and tail.claim is None and _fits(tail, file.position)


def _fits(tail: Tail, position: Position) -> bool:
    before = tail.before(position.end)
    whole = len(before) == min(position.end, CHECK_BYTES)
    return whole and position_check(before) == position.check


def _end_of_lines(tail: Tail, max_line_bytes: int) -> int:
    """Return where the last line that is not whole begins; the end, where nobody writes."""
    end = tail.content.end()
    if not tail.live:
        return end
    last = tail.content.read_at(max(0, end - max_line_bytes), max_line_bytes)
    unfinished = len(last) - (last.rfind(b"\n") + 1)
    return end - unfinished if unfinished < max_line_bytes else end
