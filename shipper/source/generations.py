"""The open files of one series, oldest first: which generations there are, and which are done.

Theory of operation: a file is known by device and inode, whatever name it has at the moment. One
that was read to its end is closed, remembered by its signature, and keeps its file key, so that no
other file that begins alike takes it; when the signature changes it is opened again. One that
cannot be read is set aside and tried again later, and later; the others are read meanwhile.

Owns: the tails of the series. Does not know: what is read from them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from shipper.source.directory import Directories, Found, Signature, signature_of
from shipper.source.discover import Series
from shipper.source.identity import Identity
from shipper.source.tail import Limits, Tail

_RETRY_SECS = 1.0
_MAX_RETRY_SECS = 30.0
_MAX_GZIP_RETRY_SECS = 300.0
"""A file that stays unreadable is tried this often: a compressed one is read whole by each try."""
_LOOKS_FOR_PATH = 4
"""Of so many looks at the open files, one is at the path, too, which costs three times as much.
Each reading ends with one, and a scan that finds another file there wakes the follower anyway."""


@dataclass(frozen=True, slots=True)
class _Aside:
    due: float
    delay_secs: float


class Generations:
    """The generations of a series that are not finished, open at the same time.

    Attributes:
        tails: The open files, oldest first.
    """

    def __init__(
        self,
        series: Series,
        limits: Limits,
        *,
        identity: Identity,
        on_deleted: Callable[[], None],
    ) -> None:
        """Start with no file open.

        Args:
            series: Which series.
            limits: How much is read at once.
            identity: Whose keys are given back when files are gone.
            on_deleted: Called when an open file has lost its name.
        """
        self.tails: list[Tail] = []
        self._series = series
        self._limits = limits
        self._identity = identity
        self._on_deleted = on_deleted
        self._looks = 0
        self._finished: dict[Signature, str] = {}
        self._aside: dict[tuple[int, int], _Aside] = {}

    def refresh(self, found: Sequence[Found] | None = None) -> list[tuple[str, OSError]]:
        """Open what is neither open nor finished, and note which file is the live one.

        Args:
            found: The files of the series, if they are just looked up.

        Returns:
            The files that cannot be opened, which are set aside.

        Raises:
            OSError: The directory cannot be listed: all stays as it is.
        """
        files = self._files() if found is None else found
        self._forget_finished({file.signature for file in files})
        before = list(self.tails)
        open_now = {tail.hint: tail for tail in before}
        shown: dict[tuple[int, int], Tail] = {}
        faults: list[tuple[str, OSError]] = []
        for file in files:
            place = file.signature[:2]
            if place in shown:
                continue  # a second name, as while a rotation links and unlinks
            tail = open_now.get(place)
            if tail is None and self._wants(file):
                tail = self._open(file, faults)
            if tail is not None:
                tail.path = file.path
                shown[tail.hint] = tail
        self._place(before, list(shown.values()))
        return faults

    def has_news(self, found: Sequence[Found]) -> bool:
        """Tell whether `refresh` would open one of these files."""
        open_now = {tail.hint for tail in self.tails}
        return any(f.signature[:2] not in open_now and self._wants(f) for f in found)

    def moved(self) -> bool:
        """Tell whether the path of the series shows another file than the one open as live."""
        if self._series.only:
            return False
        live = next((tail.hint for tail in reversed(self.tails) if tail.live), None)
        signature = signature_of(self._series.stem)
        if signature is None:
            return live is not None
        return signature[:2] != live and self._wants(Found(self._series.stem, signature))

    def has_changed(self) -> bool:
        """Tell whether an open file, or which one is live, is not as at the last reading.

        Raises:
            OSError: An open file cannot be looked at.
        """
        self._looks += 1
        changed = False
        for tail in self.tails:  # all of them: a look notes since when a file is behind
            changed |= tail.has_changed()
        return changed or (self._looks % _LOOKS_FOR_PATH == 0 and self.moved())

    def rewritten(self) -> list[Tail]:
        """Return the files in which what was read is not there any more."""
        return [tail for tail in self.tails if tail.rewritten]

    def gone(self) -> bool:
        """Tell whether no generation is open and none is on disk.

        Raises:
            OSError: The directory cannot be listed.
        """
        return not self.tails and not self._files()

    def finish(self, tail: Tail) -> None:
        """Close a file to whose end was read, and do not open it again unless it changes."""
        signature = signature_of(tail.path)
        if signature is None or signature[:2] != tail.hint or signature[2] != tail.end_bytes:
            self.close([tail])
            return
        self._finished[signature] = tail.claim.key if tail.claim else ""
        self.tails.remove(tail)
        tail.close()

    def set_aside(self, tail: Tail) -> None:
        """Close a file that cannot be read now; `refresh` opens it again when it is due."""
        self._delay(tail.hint, tail.path)
        self.close([tail])

    def close(self, tails: Sequence[Tail]) -> None:
        """Close files."""
        for tail in tails:
            if tail.claim is not None:
                self._identity.release(tail.claim.key, deleted=tail.deleted)
            self.tails.remove(tail)
            tail.close()

    def close_all(self) -> None:
        """Close all files, and give all keys back."""
        self.close(list(self.tails))
        for key in self._finished.values():
            self._identity.release(key)
        self._finished.clear()

    def _files(self) -> list[Found]:
        if self._series.only:
            signature = signature_of(self._series.only)
            return [Found(self._series.only, signature)] if signature else []
        return Directories().files(self._series.stem)

    def _wants(self, file: Found) -> bool:
        aside = self._aside.get(file.signature[:2])
        due = aside is None or aside.due <= time.monotonic()
        return due and file.signature not in self._finished

    def _open(self, file: Found, faults: list[tuple[str, OSError]]) -> Tail | None:
        try:
            tail = Tail(file.path, self._series.stem, limits=self._limits)
        except FileNotFoundError:
            return None  # it got another name: the next look finds that
        except OSError as error:
            self._delay(file.signature[:2], file.path)
            faults.append((file.path, error))
            return None
        same = next((other for other in self.tails if other.hint == tail.hint), None)
        if same is not None:  # the path shows another file than a moment ago
            tail.close()
            return same
        self.tails.append(tail)
        return tail

    def _delay(self, place: tuple[int, int], path: str) -> None:
        before = self._aside.get(place)
        longest = _MAX_GZIP_RETRY_SECS if path.endswith(".gz") else _MAX_RETRY_SECS
        delay = min(longest, before.delay_secs * 2) if before else _RETRY_SECS
        self._aside[place] = _Aside(time.monotonic() + delay, delay)

    def _forget_finished(self, seen: set[Signature]) -> None:
        places = {signature[:2] for signature in seen}
        for signature in self._finished.keys() - seen:
            deleted = signature[:2] not in places
            self._identity.release(self._finished.pop(signature), deleted=deleted)
        for place in self._aside.keys() - places:
            del self._aside[place]

    def _place(self, before: Sequence[Tail], shown: Sequence[Tail]) -> None:
        """Bring the files into order, the live one last, and note that it is.

        What was open keeps its order, also without a name; what is new goes before the next newer.
        """
        tails, newer = list(before), len(before)
        for tail in reversed(shown):
            if tail in before:
                newer = tails.index(tail)
            else:
                tails.insert(newer, tail)
        self.tails = tails
        for tail in tails:
            live = tail in shown and tail.path == self._series.stem
            if tail.live and not live:
                tail.grown_at = time.monotonic()  # its writer may go on until it reopens
                if tail.deleted:
                    self._on_deleted()
            tail.live = live
