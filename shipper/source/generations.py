"""The open files of one series, oldest first: which generations there are, and which are done.

Theory of operation: a file is known by device and inode, whatever name it has at the moment. One
that was read to its end is closed, remembered by its signature, and keeps its file key, so that no
other file that begins alike takes it; when the signature changes it is opened again. One that
cannot be read is set aside and tried again later, and later; the others are read meanwhile. One
that begins like an open file may be the copy that `copytruncate` makes of it: it stays open, and
gets the key when that is free.

Owns: the tails of the series. Does not know: what is read from them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence

from shipper.model import SavedFile
from shipper.source.aside import Aside
from shipper.source.block import Limits
from shipper.source.closed import Closed
from shipper.source.copies import is_copy
from shipper.source.descriptors import Descriptors
from shipper.source.directory import Found, files_of, is_there, signature_of
from shipper.source.discover import Series
from shipper.source.identity import Identity, Place
from shipper.source.succession import Succession
from shipper.source.tail import Tail
from shipper.source.unidentified import may_be


class Generations:
    """The generations of a series that are not finished, open at the same time.

    Attributes:
        tails: The open files, oldest first.
        aside: Those that cannot be read now.
        starved: Whether a file was not opened for lack of descriptors.
        vanished: Whether all files that were known had no name any more when they were closed.
    """

    def __init__(
        self,
        series: Series,
        limits: Limits,
        *,
        identity: Identity,
        descriptors: Descriptors,
        on_deleted: Callable[[], None],
        on_gap: Callable[[], None],
    ) -> None:
        """Start with no file open.

        Args:
            series: Which series.
            limits: How much is read at once.
            identity: Whose keys are given back when files are gone.
            descriptors: How many files may be opened.
            on_deleted: Called when an open file has lost its name.
            on_gap: Called when generations may have come and gone unseen.
        """
        self.vanished = self.starved = self._out_of_sight = False
        self.tails: list[Tail] = []
        self._series, self._limits = series, limits
        self._identity = identity
        self._descriptors = descriptors
        self._on_deleted, self._on_gap = on_deleted, on_gap
        self._succession = Succession(series.stem)
        self._closed = Closed()
        self.aside = Aside()

    def refresh(self, found: Sequence[Found] | None = None) -> list[tuple[str, OSError]]:
        """Open what is neither open nor finished, and note which file is the live one.

        Args:
            found: The files of the series, if they are just looked up.

        Returns:
            The files that cannot be opened, which are set aside.

        Raises:
            OSError: The directory cannot be listed: all stays as it is.
        """
        self.starved = False
        files = found if found and len(found) == 1 and is_there(found[0]) else self._files()
        self._forget_gone(files)
        before = list(self.tails)
        open_now = {tail.hint: tail for tail in before}
        shown: dict[Place, Tail] = {}
        faults: list[tuple[str, OSError]] = []
        # Of several names the newest: a rotation links and unlinks, or the path of the series is a
        # link to the file of today.
        by_place = {file.signature[:2]: file for file in files}
        for place, file in by_place.items():
            tail = open_now.get(place)
            if tail is None and self._wants(file):
                tail = self._open(file, faults)
            if tail is not None:
                tail.path = file.path
                shown[tail.hint] = tail
        named = list(shown.values())
        self._look_for_gap(before, named, places=by_place.keys())
        self._place(before, named)
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
        changed = any(t.due_at is not None and time.monotonic() >= t.due_at for t in self.tails)
        for tail in self.tails:  # all of them: a look notes since when a file is behind
            changed |= tail.has_changed()
        return changed or self.moved()

    def gone(self) -> bool:
        """Tell whether no generation is open and none on disk; raises OSError as `refresh` does."""
        if self.tails or signature_of(self._series.only or self._series.stem) is not None:
            return False
        return not self._files()

    def settled(self, file: SavedFile | None = None) -> bool:
        """Tell whether every generation that is on disk is identified.

        Args:
            file: Only those count that may be this one, by their heads, or are copies of it.
        """
        if self.starved or self.aside.unknown or (file and file.key in self.aside.copied):
            return False
        if file is not None:
            return not any(may_be(tail, file.base, identity=self._identity) for tail in self.tails)
        return all(t.claim is not None or t.copy_of or not t.disk_bytes for t in self.tails)

    def is_copy(self, tail: Tail, key: str, *, within_secs: float) -> bool:
        """Tell whether a file seems to be a copy of the one of this series that has a key."""
        other = next((t for t in self.tails if t.claim is not None and t.claim.key == key), None)
        if other is not None:
            return is_copy(tail, other, within_secs=within_secs)
        if not tail.compressed or key not in self._closed.keys:
            return False
        original = signature_of(tail.path.removesuffix(".gz"))  # it may be gone without a look
        signatures = [original] if original else [file.signature for file in self._files()]
        return (key in map(self._closed.key_of, signatures)) == bool(original)

    def begin_anew(self, tail: Tail) -> None:
        """Open a rewritten file once more, as the new one that it is, behind copies of the old."""
        again = Tail(tail.path, tail.stem, limits=self._limits, again=tail)
        again.live, again.shown, again.nameless = tail.live, tail.shown, tail.nameless
        again.after_cut = True
        again.was = tail.claim.key if tail.claim is not None else ""
        last = [t for t in self.tails if t is tail or (t.copy_of and t.copy_of == again.was)][-1]
        self.tails.insert(self.tails.index(last) + 1, again)
        self._descriptors.take()

    def resumed(self, tail: Tail) -> None:
        """Bring a copy, which has the older lines, before what its original is now."""
        assert tail.claim is not None  # noqa: S101  # it was identified just now
        anew = next((t for t in self.tails if t.was == tail.claim.key), None)
        if anew is not None and self.tails.index(anew) < self.tails.index(tail):
            self.tails.remove(tail)
            self.tails.insert(self.tails.index(anew), tail)

    def finish(self, tail: Tail) -> None:
        """Close a file of which nothing is to be read, until it changes."""
        signature = signature_of(tail.path)
        if signature is None or signature[:3] != (*tail.hint, tail.disk_bytes):
            self.close([tail])
            return
        key = tail.claim.key if tail.claim else ""
        self._closed.add(signature, key, only_as=tail.path if tail.unread_bytes else "")
        self._drop(tail)

    def set_aside(self, tail: Tail) -> None:
        """Leave a file that cannot be read now; it is tried again when it is due.

        It is closed, because that may help, unless it has no name to open it by again.
        """
        secs = self.aside.add(Found(tail.path, tail.signature()), copy_of=tail.copy_of)
        if tail.deleted:
            tail.delay(secs)
        else:
            self.close([tail])

    def retry(self) -> None:
        """Try again at once what was set aside, or waits for the key of another file."""
        self.aside.clear()
        for tail in self.tails:
            tail.due_at = None

    def close(self, tails: Sequence[Tail]) -> None:
        """Close files."""
        for tail in tails:
            if tail.claim is not None:
                deleted = tail.deleted and not tail.rewritten  # there may be a copy of that
                self._identity.release(tail.claim.key, deleted=deleted)
            self._drop(tail)

    def close_all(self) -> None:
        """Close all files, and give all keys back."""
        self.close(list(self.tails))
        self._note_out_of_sight()
        self.vanished &= not self._out_of_sight
        for key in self._closed.keys:
            self._identity.release(key)
        self._closed.clear()

    def _files(self) -> list[Found]:
        return files_of(self._series.stem, only=self._series.only)

    def _wants(self, file: Found) -> bool:
        return self.aside.is_due(file) and not self._closed.has(file)

    def _open(self, file: Found, faults: list[tuple[str, OSError]]) -> Tail | None:
        if self._descriptors.none_left:
            self.starved = True
            return None
        try:
            tail = Tail(file.path, self._series.stem, limits=self._limits)
        except OSError as error:
            if is_there(file) or not isinstance(error, FileNotFoundError):
                self.aside.add(file)
                faults.append((file.path, error))
            return None  # if it is gone, it got another name: the next look finds that
        same = next((other for other in self.tails if other.hint == tail.hint), None)
        if same is not None:  # the path shows another file than a moment ago
            tail.close()
            return same
        tail.copy_of = self.aside.opened(file)
        self.tails.append(tail)
        self._descriptors.take()
        return tail

    def sizes(self) -> list[tuple[int, int]]:
        """Return, of each open file, the descriptor and the size that it was last read at."""
        return [tail.size for tail in self.tails]

    def _drop(self, tail: Tail) -> None:
        self.vanished = tail.deleted
        if tail.deleted:
            self._succession.lost(tail.hint)
        self.tails.remove(tail)
        tail.close()
        self._descriptors.give_back()

    def _forget_gone(self, files: Sequence[Found]) -> None:
        self._note_out_of_sight(files)
        for key, deleted in self._closed.forget_changed(files):
            self._identity.release(key, deleted=deleted)
        self.aside.keep(files)

    def _note_out_of_sight(self, files: Sequence[Found] = ()) -> None:
        self._out_of_sight = not files and bool(self._out_of_sight or self._closed or self.aside)

    def _look_for_gap(
        self, before: Sequence[Tail], shown: Sequence[Tail], *, places: Collection[Place]
    ) -> None:
        first = self._succession.gap_before(before, shown, places=places, copied=self.aside.copied)
        if first is not None:
            first.after_gap = True
            self._on_gap()

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
        self._succession.mark_late(tails, before)
        for tail in tails:
            tail.shown = tail in shown
            live = tail.shown and tail.path == self._series.stem
            if tail.live and not live:
                tail.renamed()
                if tail.deleted:
                    self._on_deleted()
            tail.live = live
