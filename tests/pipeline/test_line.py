"""Plain text is kept verbatim, and what is cut says so."""

from hypothesis import given
from hypothesis import strategies as st

from shipper.pipeline.line import Line, cut, is_utf8, plain, truncation_mark
from tests.pipeline.lines import NOW


@given(st.binary())
def test_is_utf8_agrees_with_python(raw: bytes) -> None:
    """Bytes are UTF-8 exactly if Python decodes them."""
    replaced = raw.decode(errors="replace").encode()
    assert is_utf8(raw) == (replaced == raw)


def test_plain_keeps_the_flags_it_is_given() -> None:
    """A plain line's flags come before the one for invalid bytes."""
    assert plain(b"\xff", now=NOW, flags=("x",)) == Line("\ufffd", NOW, flags=("x", "invalid_utf8"))


@given(st.text(min_size=1), st.integers(1, 4))
def test_a_cut_line_is_marked(text: str, size: int) -> None:
    """What is cut has a visible mark and its original length, and no half character."""
    line = cut(text.encode()[:size], original_bytes=2_000_000, now=NOW)
    mark = truncation_mark(2_000_000)
    assert line.text.endswith(mark)
    assert text.startswith(line.text.removesuffix(mark))
    assert (line.flags, line.original_bytes) == (("truncated",), 2_000_000)


def test_a_cut_line_of_invalid_bytes_says_so() -> None:
    """Invalid bytes before the cut are replaced and flagged, as anywhere."""
    assert cut(b"\xff?", original_bytes=9, now=NOW).flags == ("truncated", "invalid_utf8")
