"""The scan again and again, at little cost: its names stay those of the last one meanwhile.

Theory of operation: which names there are can be told from the times of the directories that a scan
has looked at. While these are as they were, only the files that it found are looked at again, and
what it could not read. A change that comes in the same tick of the system's clock as the one before
it does not move a time, so a scan counts only if the times were the same before and after it: each
change makes two scans. And once in a while there is a scan anyway, for file systems whose times do
not tell.

Owns: the last scan. Does not know: what becomes of a series.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import replace

from shipper.config import SourceConfig
from shipper.source.directory import Found, signature_of
from shipper.source.discover import Scan, scan, unusable

_SCAN_SECS = 60.0
"""A scan costs ten times as much as a look at what it has found."""

_Stamp = tuple[int, int, int]


class Survey:
    """What is there to be followed."""

    def __init__(self, sources: Sequence[SourceConfig]) -> None:
        """Have seen nothing yet."""
        self._sources = sources
        self._last = Scan()
        self._stamps: dict[str, _Stamp | None] = {}
        self._lasts = False
        self._scan_at = 0.0

    def look(self) -> Scan:
        """Find all series, and their files as they are now."""
        if self._lasts and time.monotonic() < self._scan_at and self._is_as_it_was():
            files = {name: _again(files) for name, files in self._last.files.items()}
            if all(len(files[name]) == len(before) for name, before in self._last.files.items()):
                return replace(self._last, files=files)
        found = self._last = scan(self._sources)
        stamps = {directory: _stamp(directory) for directory in found.trail.directories}
        self._lasts = found.trail.whole and stamps == self._stamps
        self._stamps = stamps
        self._scan_at = time.monotonic() + _SCAN_SECS
        return found

    def _is_as_it_was(self) -> bool:
        return (
            all(_stamp(directory) == before for directory, before in self._stamps.items())
            and all(_leads_to(path, real) for path, real in self._last.links.items())
            and all(unusable(path) == why for path, why in self._last.unusable.items())
        )


def _stamp(directory: str) -> _Stamp | None:
    """Return what changes with each name that a directory gets or loses; None if it is gone."""
    try:
        status = os.stat(directory)  # noqa: PTH116
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_ctime_ns


def _leads_to(path: str, real: str) -> bool:
    try:
        return os.path.samefile(path, real)  # noqa: PTH121
    except OSError:  # rotated a moment ago, or gone
        return False


def _again(files: Sequence[Found]) -> list[Found]:
    signatures = [signature_of(file.path) for file in files]
    return [
        file if signature == file.signature else Found(file.path, signature)
        for file, signature in zip(files, signatures, strict=True)
        if signature is not None
    ]
