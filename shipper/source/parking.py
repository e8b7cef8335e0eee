"""Which files of a series are closed for a while, for those who wait for a descriptor.

Does not know: who waits, and that the series rests.
"""

from __future__ import annotations

from collections.abc import Sequence

from shipper.source.generations import Generations
from shipper.source.tail import Tail
from shipper.source.unidentified import has_no_line


def park(files: Generations) -> int:
    """Close the files of a series that rests of which nothing is to be read; returns how many.

    Those that change are opened again, and those that wait for the key of another file in a second:
    whoever has that may be waiting for their descriptors.
    """
    idle = [tail for tail in files.tails if is_idle(tail, files.tails)]
    waiting = [tail for tail in files.tails if tail.copy_of and tail.shown and not tail.busy]
    for tail in idle:
        files.finish(tail)
    for tail in waiting:
        files.set_aside(tail)
    return len(idle) + len(waiting)


def is_idle(tail: Tail, tails: Sequence[Tail]) -> bool:
    """Tell whether a file may be closed until it changes, while its series rests.

    It has a name, nothing of it waits for the clock, and there is no line to be read on: the half
    one at the end of a live file is none, unless older files hold back what is before that.

    Args:
        tail: The open file.
        tails: All that is open of its series, oldest first.
    """
    waits = tail.busy or tail.copy_of or tail.due_at is not None or not tail.shown
    if waits or (tail.unread_bytes and not (tail.live and tail is tails[0])):
        return False
    try:
        return (tail.claim is not None or has_no_line(tail)) and not tail.has_changed()
    except OSError:
        return False
