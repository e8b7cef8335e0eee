"""Files that cannot be read now, and when each is tried again: later, and later.

An inode is used again at once, so it does not tell which file is meant. A compressed file is known
by its signature, which stays the same unless it grows, and then it is worth a try; any other one,
which may grow all the time, by its name and place.

Owns: the delays, and which ones are copies. Does not know: why a file cannot be read.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace

from shipper.source.directory import Found, Signature

_RETRY_SECS = 1.0
_MAX_RETRY_SECS = 30.0
_MAX_GZIP_RETRY_SECS = 300.0
"""A file that stays unreadable is tried this often: a compressed one is read whole by each try."""


@dataclass(frozen=True, slots=True)
class _Delay:
    path: str
    due: float
    secs: float
    is_over: bool = False


class Aside:
    """The files of one series that are set aside."""

    def __init__(self) -> None:
        """Start with none."""
        self._delays: dict[_Sight, _Delay] = {}
        self._copies: dict[Signature, str] = {}

    def __bool__(self) -> bool:
        """Tell whether there are any."""
        return bool(self._delays or self._copies)

    @property
    def copied(self) -> Collection[str]:
        """Keys of the files of which copies were set aside."""
        return self._copies.values()

    @property
    def unknown(self) -> list[str]:
        """Paths of those that are not known to be copies."""
        return [delay.path for delay in self._unknown()]

    def is_hopeful(self, most_secs: float) -> bool:
        """Tell whether any of these is tried again after no more than so many seconds."""
        return any(delay.secs <= most_secs for delay in self._unknown())

    def add(self, file: Found, *, copy_of: str = "") -> float:
        """Set a file aside, for longer than the last time; returns for how many seconds.

        Args:
            file: The file.
            copy_of: Key of the one that it is a copy of; empty where that is not known.
        """
        sight = _sight(file)
        before = self._delays.get(sight)
        longest = _MAX_GZIP_RETRY_SECS if file.path.endswith(".gz") else _MAX_RETRY_SECS
        secs = min(longest, before.secs * 2) if before else _RETRY_SECS
        self._delays[sight] = _Delay(file.path, time.monotonic() + secs, secs)
        if copy_of:
            self._copies[file.signature] = copy_of
        return secs

    def opened(self, file: Found) -> str:
        """Take a file for one that can be read, until it is set aside again, for longer then.

        Returns:
            Key of the one that it is a copy of, which is forgotten; empty where that is not known.
        """
        delay = self._delays.get(_sight(file))
        if delay is not None:
            self._delays[_sight(file)] = replace(delay, is_over=True)
        return self._copies.pop(file.signature, "")

    def is_due(self, file: Found) -> bool:
        """Tell whether a file may be tried; one that was never set aside always may."""
        delay = self._delays.get(_sight(file))
        return delay is None or delay.due <= time.monotonic()

    def keep(self, files: Iterable[Found]) -> None:
        """Forget what is not there any more."""
        there = list(files)
        for sight in self._delays.keys() - {_sight(file) for file in there}:
            del self._delays[sight]
        for signature in self._copies.keys() - {file.signature for file in there}:
            del self._copies[signature]

    def clear(self) -> None:
        """Let all be tried at once."""
        self._delays.clear()

    def _unknown(self) -> Iterator[_Delay]:
        delays = ((sight, delay) for sight, delay in self._delays.items() if not delay.is_over)
        return (delay for sight, delay in delays if sight not in self._copies)


_Sight = tuple[str | int, ...]


def _sight(file: Found) -> _Sight:
    compressed = file.path.endswith(".gz")
    return file.signature if compressed else (*file.signature[:2], file.path)
