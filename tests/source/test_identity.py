"""Identity: which file is which, by its head and its past rather than by its name."""

from dataclasses import replace
from pathlib import Path

import pytest

from shipper.model import Position, SavedFile
from shipper.source.identity import Claim, Identity, Looks, position_check

CONTAINER = "/var/lib/docker/containers/" + "ab" * 32 + "/" + "ab" * 32 + "-json.log"
TIMED = b'{"log":"a\\n","stream":"stdout","time":"2026-11-23T10:11:12.123456789Z"}\n'
BANNER = b"=== begin ===\n"


class Saved:
    """What a spool has saved: claims become saved files when they are `keep`t."""

    def __init__(self) -> None:
        self.files: dict[str, SavedFile] = {}

    def keep(self, claim: Claim, *, inode: int, end: int = 100) -> None:
        place = Position(end, {}, position_check(b"x"))
        self.files[claim.key] = SavedFile(claim.key, claim.base, "/a.log", 1, inode, place)

    def __call__(self, base: str) -> list[SavedFile]:
        return [file for file in self.files.values() if file.base == base]


def claim(
    identity: Identity,
    head: bytes = BANNER,
    *,
    stem: str = "/a.log",
    inode: int = 1,
    live: bool = True,
    compressed: bool = False,
    fits: bool = True,
    copies: bool = False,
) -> Claim | None:
    looks = Looks(
        (1, inode),
        live=live,
        compressed=compressed,
        fits=lambda _: fits,
        copies=lambda _: copies,
    )
    found = identity.claim(stem, head, looks=looks)
    return found if isinstance(found, Claim) else None


def taken(*args: object, **looks: object) -> Claim:
    found = claim(*args, **looks)  # type: ignore[arg-type]  # the same, without None
    assert found is not None
    return found


def test_key_of_container_file_is_the_same_after_lost_state() -> None:
    """I5: where the path names a container, neither the node nor chance is in the key."""
    first = taken(Identity("node-1", Saved()), TIMED, stem=CONTAINER)
    assert taken(Identity("node-2", Saved()), TIMED, stem=CONTAINER) == first


def test_key_of_other_file_holds_the_node() -> None:
    """Two nodes' files of one path that begin alike have different keys."""
    first = taken(Identity("node-1", Saved()), TIMED)
    assert taken(Identity("node-1", Saved()), TIMED) == first
    assert taken(Identity("node-2", Saved()), TIMED).key != first.key


def test_key_holds_chance_where_heads_can_be_equal() -> None:
    """I5: a head without a time may come again, so its key cannot be made twice."""
    first = taken(Identity("node-1", Saved()))
    again = taken(Identity("node-1", Saved()))
    assert first.base == again.base
    assert first.key != again.key


def test_file_takes_its_position_again() -> None:
    """A file whose bytes before the saved position are the same goes on there."""
    saved = Saved()
    before = taken(Identity("n", saved))
    saved.keep(before, inode=1)
    again = taken(Identity("n", saved))
    assert (again.key, again.position) == (before.key, saved.files[before.key].position)


@pytest.mark.parametrize("head", [TIMED, BANNER], ids=["timed", "banner"])
def test_rewritten_file_has_a_new_key(head: bytes) -> None:
    """A file that begins as before but differs before the position is another one."""
    saved = Saved()
    before = taken(Identity("n", saved), head)
    saved.keep(before, inode=1)
    again = taken(Identity("n", saved), head, fits=False)
    assert again.key != before.key
    assert again.position is None


def test_new_file_that_begins_like_an_old_one_is_new() -> None:
    """A live file with another inode does not take the position of one that began alike."""
    saved = Saved()
    saved.keep(before := taken(Identity("n", saved)), inode=1)
    assert taken(Identity("n", saved), inode=2).key != before.key


def test_deleted_file_does_not_come_back_with_its_inode() -> None:
    """A new file with the inode of a deleted one that began alike is new."""
    saved = Saved()
    identity = Identity("n", saved)
    saved.keep(before := taken(identity), inode=1)
    identity.release(before.key, deleted=True)
    assert taken(identity).key != before.key


def test_key_belongs_to_one_file_at_a_time() -> None:
    """While a file has a key no other one gets it, afterwards the same file does."""
    saved = Saved()
    identity = Identity("n", saved)
    saved.keep(before := taken(identity), inode=1)
    assert taken(identity, live=False, inode=2).key != before.key
    assert claim(identity, inode=1) is None, "a second name of the same file"
    identity.release(before.key)
    assert taken(identity).key == before.key


def test_compressed_file_waits_for_the_key_of_its_original() -> None:
    """A `.gz` has the key of what it compresses, and none while that has it still."""
    saved = Saved()
    identity = Identity("n", saved)
    before = taken(identity)
    assert claim(identity, live=False, compressed=True, inode=2, copies=True) is None
    saved.keep(before, inode=1)
    assert claim(identity, live=False, compressed=True, inode=2, copies=True) is None
    identity.release(before.key, deleted=True)
    assert taken(identity, live=False, compressed=True, inode=2).key == before.key


def test_key_is_that_of_the_file_that_went_on_in_another_series() -> None:
    """What is left of a file under its first name is no other file, whoever follows it by now."""
    moved: dict[str, SavedFile] = {}

    def identity() -> Identity:
        return Identity("n", lambda _: [], saved_as=moved.get)

    first = taken(identity(), TIMED)
    position = Position(100, {}, position_check(b"x"))
    moved[first.key] = SavedFile(first.key, "of b", "/b.log", 1, 1, position)
    again = taken(identity(), TIMED, inode=2, live=False, compressed=True)
    assert (again.key, again.base, again.position) == (first.key, first.base, position)
    assert taken(identity(), TIMED, inode=2, fits=False).key != first.key
    waiting = identity()
    waiting.followed.add("/b.log")
    moved[first.key] = replace(moved[first.key], position=replace(position, pins={"stdout": 50}))
    assert taken(waiting, TIMED, inode=2, live=False, compressed=True).key != first.key


def test_longest_past_is_preferred_among_equal_heads() -> None:
    """Of the saved files that fit, the one with the same inode is taken, then the longest read."""
    saved = Saved()
    first, second, third = (taken(Identity("n", saved)) for _ in range(3))
    saved.keep(first, inode=1, end=10)
    saved.keep(second, inode=2, end=30)
    saved.keep(third, inode=3, end=20)
    assert taken(Identity("n", saved), live=False, inode=1).key == first.key
    assert taken(Identity("n", saved), live=False, inode=9).key == second.key


def test_path_with_undecodable_name_has_a_key() -> None:
    """A path that is not UTF-8 can be identified like any other."""
    stem = str(Path("/logs") / b"\xff.log".decode(errors="surrogateescape"))
    assert taken(Identity("n", Saved()), TIMED, stem=stem).key
