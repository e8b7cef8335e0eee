"""Which file is which: file keys.

Theory of operation: a path and an inode say nothing lasting about a log file. Its key is a hash of
the path stem (rotation suffix and `.gz` removed) and its head (the first line, 1,024 bytes at
most), so a renamed, copied or compressed file keeps its key and a rewritten one gets another.
Where the path names a container id, that is all: the head has a time in nanoseconds, and the ids
are the same again after lost state. Elsewhere the node's name goes in, and a random generation
number where heads can be equal.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from shipper.model import Position, SavedFile
from shipper.source.head import FirstLine, base_of, first_line_of, hash_of

Place = tuple[int, int]
"""Device and inode."""

CHECK_BYTES = 1_024
"""How much before a position has to be the same for a file to take it."""


def position_check(data: bytes) -> str:
    """Hash the bytes before a position."""
    return hashlib.blake2b(data, digest_size=8).hexdigest() if data else ""


@dataclass(frozen=True, slots=True)
class Claim:
    """A file's identity, once it is known.

    Attributes:
        key: The file key.
        base: Hash of stem and head.
        position: Where reading goes on; None for a file never seen.
        since: RFC 3339; events before it are skipped.
        sequence: Larger than those of all files before.
    """

    key: str
    base: str
    position: Position | None
    since: str = ""
    sequence: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class CopyOf:
    """A file is the copy, or another name, of one that has its key still.

    Attributes:
        key: That one's.
    """

    key: str


@dataclass(frozen=True, slots=True)
class Looks:
    """What is seen of an open file besides its head.

    Attributes:
        place: Its device and inode: decide only among equal heads, and while they are the same.
        live: The path of the series shows it.
        compressed: It is a `.gz`.
        fits: Whether the bytes before a position are its own.
        shorter: Whether it ends before a position.
        copies: Whether it seems to be a copy of the file that has a key.
        is_at: Whether a path shows it, too.
        copy_of: Key of the file that it was seen to be a copy of; empty for none.
        yields: Whether another open file has the inode of a saved one, and fits it as well.
    """

    place: Place
    live: bool
    compressed: bool
    fits: Callable[[Position], bool]
    shorter: Callable[[Position], bool] = lambda _: False
    copies: Callable[[str], bool] = lambda _: False
    is_at: Callable[[str], bool] = lambda _: False
    copy_of: str = ""
    yields: Callable[[SavedFile], bool] = lambda _: False


class Identity:
    """Gives files their keys. Each key belongs to one file at a time: open, or done and on disk.

    Attributes:
        followed: Stems of the series that are followed.
    """

    def __init__(
        self,
        node: str,
        saved: Callable[[str], list[SavedFile]],
        *,
        saved_at: Callable[[int, int], list[SavedFile]] = lambda _device, _inode: [],
        saved_as: Callable[[str], SavedFile | None] = lambda _key: None,
        sequence: int = 0,
    ) -> None:
        """Identify files of this node.

        Args:
            node: Its name, fixed at the first start.
            saved: What is saved under a hash of stem and head.
            saved_at: What is saved of files that had this device and inode.
            saved_as: What is saved under a key.
            sequence: The largest one that is saved.
        """
        self.followed: set[str] = set()
        self._node = node
        self._saved = saved
        self._saved_at, self._saved_as = saved_at, saved_as
        self._bases: dict[str, str] = {}  # of the keys that have their file
        self._keys: dict[str, set[str]] = {}  # the other way round
        self._places: dict[Place, str] = {}
        self._place_of: dict[str, Place] = {}
        self._retired: set[str] = set()
        self._named_twice: set[str] = set()
        self._sequence = sequence

    def claim(self, stem: str, head: bytes, *, looks: Looks) -> Claim | CopyOf:
        """Identify an open file.

        Args:
            stem: Its real path without rotation suffix.
            head: Its first line, or its first `HEAD_BYTES`.
            looks: What else can be seen of it.
        """
        if looks.place in self._places:
            self._named_twice.add(self._places[looks.place])
            return CopyOf(self._places[looks.place])
        first = first_line_of(stem, self._node, head=head)
        saved, moved = self._saved(first.base), self._moved(first.base)
        if moved is not None and not self._waits(moved):
            saved = [*saved, moved]
        found = self._found(saved, looks, first=first)
        if found is not None:
            return found
        elsewhere = self._under_another_name(stem, head, looks=looks)
        if elsewhere is not None and (first.timed or _is_same(elsewhere, looks)):
            return self._resumed(replace(elsewhere, base=first.base), looks)
        known = first.base in {file.key for file in saved} or moved is not None
        unique = first.timed and first.base not in self._keys and not known
        key = first.base if unique else hash_of(first.base, secrets.token_hex(8))
        return self._take(Claim(key, first.base, None), looks)

    def newest(self, claim: Claim) -> Claim:
        """Return a claim as that of the file that was seen last."""
        return replace(claim, sequence=self._next_sequence(claim))

    def knows(self, place: Place) -> bool:
        """Tell whether the file of this device and inode has a key, by whatever name."""
        return place in self._places

    def holds(self, key: str) -> bool:
        """Tell whether the file of a key is there."""
        return key in self._bases

    def release(self, key: str, *, deleted: bool = False) -> None:
        """Say that the file of this key is closed, or not on disk any more.

        Args:
            key: The key.
            deleted: The file has no name any more: what begins like it and is not compressed is
                another one, even if it got the same inode.
        """
        base = self._bases.pop(key, key)
        self._places.pop(self._place_of.pop(key, (0, 0)), None)
        alike = self._keys.get(base, set())
        alike.discard(key)
        if not alike:
            self._keys.pop(base, None)
        if deleted:
            self._retired.add(key)

    def retired(self, key: str) -> bool:
        """Tell whether the file of a key was deleted."""
        return key in self._retired

    def forget(self, key: str) -> None:
        """Say that nothing is saved of the file of this key any more."""
        self._retired.discard(key)
        self._named_twice.discard(key)

    def named_twice(self, key: str) -> bool:
        """Tell whether the file of a key was seen to have a name in another series, too."""
        return key in self._named_twice

    def base_of(self, stem: str, head: bytes) -> str:
        """Return the hash of stem and head on this node."""
        return base_of(stem, self._node, head=head)

    def _found(
        self, saved: list[SavedFile], looks: Looks, *, first: FirstLine
    ) -> Claim | CopyOf | None:
        """Find the saved file that this is, or the one that it is a copy of."""
        alike = self._keys.get(first.base, ())
        original = next((k for k in alike if _is_copy(k, looks, first=first)), "")
        for file in sorted(saved, key=lambda f: (not _is_at_place(f, looks), -f.position.end)):
            if not _fits(file, looks, first=first):
                continue
            if file.key in self._bases:
                if _is_copy(file.key, looks, first=first):
                    return CopyOf(file.key)
            elif self._may_be(file, looks, timed=first.timed):
                return self._resumed_or_copy(file, looks, first=first, original=original)
        return CopyOf(original) if original else None

    def _resumed_or_copy(
        self, file: SavedFile, looks: Looks, *, first: FirstLine, original: str
    ) -> Claim | CopyOf | None:
        """Take a free key, unless another file has a better claim to it, or this to another one.

        The other one may have its own, by its name in another series: it will not take this one,
        and whoever waits for that would wait for ever.
        """
        if _is_at_place(file, looks):
            return self._resumed(file, looks)
        if original:  # all its bytes say so, those before a position less
            return CopyOf(original)
        if not first.timed and looks.yields(file):
            known = self.knows((file.device, file.inode))
            return None if known else CopyOf(file.key)
        return self._resumed(file, looks)

    def _may_be(self, file: SavedFile, looks: Looks, *, timed: bool) -> bool:
        """Tell whether a file can be a saved one, by what is seen from outside.

        Where heads can be equal, a live file keeps its inode: one with another inode is new, even
        if all that is in it so far was in an older one, too. So is what begins like a deleted one.
        """
        if looks.compressed or timed:
            return True
        named = file.key not in self._retired or file.key == looks.copy_of
        return named and (not looks.live or file.inode == looks.place[1])

    def _under_another_name(self, stem: str, head: bytes, *, looks: Looks) -> SavedFile | None:
        """Find what is saved of a file that has, or had, a name in another series."""
        for file in self._saved_at(*looks.place):
            alike = file.stem != stem and self.base_of(file.stem, head) == file.base
            deleted = file.key in self._retired and file.key != looks.copy_of
            free = not deleted and file.key not in self._bases
            if alike and free and not self._waits(file) and looks.fits(file.position):
                return file
        return None

    def _moved(self, base: str) -> SavedFile | None:
        """Return what is saved of the file that began so, if that went on in another series."""
        file = self._saved_as(base)
        return replace(file, base=base) if file is not None and file.base != base else None

    def _waits(self, file: SavedFile) -> bool:
        """Tell whether the end of a line may come to a file where it is followed now."""
        return file.stem in self.followed and bool(file.position.pins)

    def _resumed(self, file: SavedFile, looks: Looks) -> Claim:
        claim = Claim(file.key, file.base, file.position, file.since, file.sequence)
        return self._take(claim, looks)

    def _take(self, claim: Claim, looks: Looks) -> Claim:
        if claim.sequence <= 0:
            claim = self.newest(claim)
        self._bases[claim.key] = claim.base
        self._keys.setdefault(claim.base, set()).add(claim.key)
        self._places[looks.place] = claim.key
        self._place_of[claim.key] = looks.place
        return claim

    def _next_sequence(self, claim: Claim) -> int:
        self._sequence = max(self._sequence, claim.sequence) + 1
        return self._sequence


def _is_at_place(file: SavedFile, looks: Looks) -> bool:
    """Tell whether a file has the inode of a saved one; that of a `.gz` is chance."""
    return file.inode == looks.place[1] and not looks.compressed


def _is_same(file: SavedFile, looks: Looks) -> bool:
    """Tell whether a file with the inode of a saved one is that one, and no younger file."""
    return file.key == looks.copy_of or looks.is_at(file.stem)


def _fits(file: SavedFile, looks: Looks, *, first: FirstLine) -> bool:
    shorter = first.of_runtime or file.key == looks.copy_of
    return looks.fits(file.position) or (shorter and looks.shorter(file.position))


def _is_copy(key: str, looks: Looks, *, first: FirstLine) -> bool:
    """Tell whether a file is a copy of the one that has a key; it gets that when it is free.

    A live file is none: where both begin alike, the other one is its copy.
    """
    return not looks.live and (first.of_runtime or looks.copies(key))
