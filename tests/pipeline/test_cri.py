"""A CRI line becomes its text, stream and time; any other line is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipper.pipeline.cri import cri as cri_line
from shipper.pipeline.line import Line
from tests.pipeline.lines import STREAMS, TIME
from tests.pipeline.lines_cri import CRI_TEXTS, cri

HEAD = f"{TIME} stdout F".encode()


@given(CRI_TEXTS, STREAMS, st.sampled_from(("F", "P", "F:x", "P:x:y")))
def test_cri_text_is_taken_to_the_character(text: str, stream: str, tags: str) -> None:
    """Text, stream and time are those that the runtime wrote; the first tag says if it is whole."""
    line = cri_line(cri(text, stream=stream, tags=tags).removesuffix(b"\n"))
    assert line == Line(text, TIME, stream, complete=tags[0] == "F", runtime="cri")


@pytest.mark.parametrize("raw", [HEAD, HEAD + b" "])
def test_an_empty_text_may_come_without_its_blank(raw: bytes) -> None:
    """A line that ends behind its tag, or behind the blank, has an empty text."""
    assert cri_line(raw) == Line("", TIME, "stdout", runtime="cri")


@pytest.mark.parametrize("text", [" ", "  a", "\ta", "a\r", "\u2028", "\0", "a\0", "F x", "\x7f"])
def test_blanks_and_controls_are_text(text: str) -> None:
    """One blank ends the head; all behind it is text."""
    assert cri_line(HEAD + b" " + text.encode()) == Line(text, TIME, "stdout", runtime="cri")


@pytest.mark.parametrize(
    ("time", "utc"),
    [
        ("2026-11-24T00:11:12.5+02:30", "2026-11-23T21:41:12.5Z"),
        ("2026-11-23T23:59:59.999999999-00:01", "2026-11-24T00:00:59.999999999Z"),
        ("2026-11-23T10:11:12.000000000+00:00", "2026-11-23T10:11:12.000000000Z"),
        ("2026-11-23T10:11:12Z", "2026-11-23T10:11:12Z"),
    ],
)
def test_a_time_with_an_offset_becomes_utc(time: str, utc: str) -> None:
    """Runtimes write the node's zone; the UTC date chooses the index."""
    line = cri_line(cri("a", time=time).removesuffix(b"\n"))
    assert line is not None
    assert line.time == utc


@pytest.mark.parametrize(
    "raw",
    [
        *(b"", b" ", HEAD[:-1], HEAD[:-2], HEAD + b"\t", HEAD + b"x", b" " + HEAD, b"\0" + HEAD),
        *(HEAD.replace(b"F", tag) for tag in (b"X", b"f", b"FP", b":F", b"F:\xff", b"F:\0")),
        *(HEAD.replace(b"stdout", stream) for stream in (b"stdin", b"", b"STDOUT", b"stdout ")),
        *(
            HEAD.replace(TIME.encode(), time)
            for time in (
                *(b"", b"yesterday", b"2026-11-23", b"2026-11-23T10:11Z", b"2026-11-23T10:11:12"),
                *(b"2026-11-23T23:59:60Z", b"2026-11-23T24:00:00Z", b"2026-02-29T10:11:12Z"),
                *(b"2026-11-23T10:11:12.1234567890Z", b"2026-11-23T10:11:12.Z"),
                *(b"2026-11-23T10:11:12+24:00", b"2026-11-23T10:11:12+0200"),
                *(b"0001-01-01T00:00:00+01:00", b"9999-12-31T23:59:59-01:00"),
            )
        ),
    ],
)
def test_what_no_runtime_writes_is_refused(raw: bytes) -> None:
    """A line whose time is none, or whose stream or first tag is unknown, is no CRI line."""
    assert cri_line(raw) is None


def test_invalid_utf8_is_replaced_and_flagged() -> None:
    """A CRI line keeps its stream and time when its text is no UTF-8."""
    line = cri_line(HEAD + b" a\xff\xc3")
    assert line == Line("a\ufffd\ufffd", TIME, "stdout", flags=("invalid_utf8",), runtime="cri")


def test_a_huge_line_is_a_line() -> None:
    """The length of a text is no matter, nor that of what looks like a tag."""
    text = "x" * 1_000_000
    line = cri_line(HEAD + b" " + text.encode())
    assert line is not None
    assert line.text == text
    assert cri_line(HEAD + b":" * 1_000_000) == Line("", TIME, "stdout", runtime="cri")
