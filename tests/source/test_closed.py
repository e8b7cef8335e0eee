"""Closed: which files need not be opened, and which keys they keep."""

from shipper.source.closed import Closed
from shipper.source.directory import Found

LIVE, ROTATED = "/logs/a.log", "/logs/a.log.1"
A, B, GROWN = (1, 1, 10, 5), (1, 2, 10, 5), (1, 1, 11, 6)


def test_file_is_known_while_it_is_as_it_was() -> None:
    """Whatever its name; with other bytes it is opened again."""
    closed = Closed()
    closed.add(A, "key")
    assert closed.has(Found(LIVE, A))
    assert closed.has(Found(ROTATED, A))
    assert not closed.has(Found(LIVE, GROWN))
    assert not closed.has(Found(LIVE, B))
    assert (closed.keys, closed.key_of(A), closed.key_of(B)) == (["key"], "key", "")


def test_file_with_a_half_line_is_known_under_its_name_alone() -> None:
    """Rotated, it is opened again: nobody but the clock ends that line then."""
    closed = Closed()
    closed.add(A, "key", only_as=LIVE)
    assert closed.has(Found(LIVE, A))
    assert not closed.has(Found(ROTATED, A))
    assert closed.forget_changed([Found(ROTATED, A)]) == [("key", False)]
    assert not closed


def test_what_changed_is_told_from_what_was_deleted() -> None:
    """And nothing counts as deleted where nothing is left: it may be out of sight."""
    closed = Closed()
    for files in ([Found(LIVE, A)], [Found(LIVE, GROWN)], [Found(LIVE, B)], []):
        closed.clear()
        closed.add(A, "key")
        changed = [] if files == [Found(LIVE, A)] else [("key", files == [Found(LIVE, B)])]
        assert closed.forget_changed(files) == changed
        assert bool(closed) == (not changed)
