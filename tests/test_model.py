"""The values that pass between the parts do the little arithmetic that they promise."""

from hypothesis import given
from hypothesis import strategies as st

from shipper.model import Documents, Position, SavedFile

STREAMS = ("stdout", "stderr", "")
PINS = st.dictionaries(st.sampled_from(STREAMS), st.integers(0, 100))


@given(PINS, st.integers(100, 200), st.sampled_from(STREAMS), st.integers(0, 300))
def test_reading_resumes_before_all_that_is_not_committed(
    pins: dict[str, int], end: int, stream: str, offset: int
) -> None:
    """I4: What lies before the offset to resume at is committed, whatever its stream."""
    position = Position(end, pins)
    assert position.committed(stream, offset) == (offset < pins.get(stream, end))
    assert position.committed(stream, offset) or offset >= position.resume


def test_documents_add_up() -> None:
    """Extended documents are the bodies one after the other and the sums of the counts."""
    documents = Documents(b"a\n", 1, 10, {"x": 5}, {"cut": 1})
    documents.extend(Documents(b"b\n", 2, 20, {"x": 1, "y": 2}, {"cut": 1, "odd": 3}))
    assert documents == Documents(b"a\nb\n", 3, 30, {"x": 6, "y": 2}, {"cut": 2, "odd": 3})


def test_a_saved_file_moves_without_changing_who_it_is() -> None:
    """Another position is all that differs."""
    file = SavedFile("key", "base", "stem", 1, 2, Position(3))
    assert file.at(Position(9)) == SavedFile("key", "base", "stem", 1, 2, Position(9))
    assert file.position == Position(3)
