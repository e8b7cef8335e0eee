"""Identity: which file is which, by its head and its past rather than by its name."""

from pathlib import Path

import pytest

from shipper.model import Position, SavedFile
from shipper.source.identity import Claim, Identity, Looks, position_check, split_name

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
) -> Claim | None:
    looks = Looks(inode, live=live, compressed=compressed, fits=lambda _: fits)
    return identity.claim(stem, head, looks=looks)


def taken(*args: object, **looks: object) -> Claim:
    found = claim(*args, **looks)  # type: ignore[arg-type]  # the same, without None
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("a.log", "a.log"),
        ("a.log.1", "a.log"),
        ("a.log.12.gz", "a.log"),
        ("a.log.gz", "a.log"),
        ("a.log-20261123", "a.log"),
        ("a.log-20261123-2.gz", "a.log"),
        ("0.log.20261123-101112", "0.log"),
        ("0.log.20261123-101112.gz", "0.log"),
        ("a.log.1.2", "a.log"),
        ("a-20261123.log", "a-20261123.log"),
        ("a.1.log", "a.1.log"),
        (".1", ".1"),
        ("syslog", "syslog"),
        ("a.log.1.gz.tmp", "a.log.1.gz.tmp"),
    ],
)
def test_name_is_split_into_stem_and_generation(name: str, stem: str) -> None:
    """A rotation suffix and `.gz` are no part of the stem; what only looks a bit like one is."""
    assert split_name(name)[0] == stem
    assert split_name(stem)[0] == stem
    assert split_name(name)[1].live == (name == stem)


@pytest.mark.parametrize(
    "names",
    [
        ["a.log.10.gz", "a.log.2.gz", "a.log.1", "a.log"],
        ["a.log-20251231", "a.log-20261123", "a.log-20261123-2", "a.log"],
        ["0.log.20261123-101112.gz", "0.log.20261123-101113", "0.log"],
    ],
)
def test_generations_sort_from_the_oldest_to_the_live_one(names: list[str]) -> None:
    """Higher numbers and earlier dates are older, and the file without a suffix is the newest."""
    ages = [split_name(name)[1] for name in names]
    assert ages == sorted(ages)
    assert len(set(ages)) == len(ages)


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
    assert taken(identity, live=False).key != before.key
    identity.release(before.key)
    assert taken(identity).key == before.key


def test_compressed_file_waits_for_the_key_of_its_original() -> None:
    """A `.gz` has the key of what it compresses, and none while that has it still."""
    saved = Saved()
    identity = Identity("n", saved)
    before = taken(identity)
    assert claim(identity, live=False, compressed=True, inode=2) is None
    saved.keep(before, inode=1)
    assert claim(identity, live=False, compressed=True, inode=2) is None
    identity.release(before.key, deleted=True)
    assert taken(identity, live=False, compressed=True, inode=2).key == before.key


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
