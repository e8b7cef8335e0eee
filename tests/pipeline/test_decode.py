"""A docker line becomes its text, stream and time; any other line is kept as it is."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipper.pipeline.decode import Line, cut, decode, is_utf8, plain, truncation_mark
from tests.pipeline.lines import CHANGED, HOSTILE, NOW, STREAMS, TEXTS, TIME, docker

LINE = docker("a\n").removesuffix(b"\n")


def decoded(raw: bytes, *, container: bool = True) -> Line:
    """Decode a line read at NOW."""
    return decode(raw, now=NOW, container=container)


def unparsed(raw: bytes) -> Line:
    """Return what a line becomes that no container runtime has written."""
    return Line(raw.decode(), NOW, flags=("unparsed",))


@given(TEXTS, STREAMS)
def test_docker_text_is_taken_to_the_character(text: str, stream: str) -> None:
    """Text, stream and time of a docker line are those that docker was given."""
    line = decoded(docker(text, stream=stream).removesuffix(b"\n"))
    assert line == Line(text, TIME, stream, complete=text.endswith("\n"))


def test_a_time_with_an_offset_becomes_utc() -> None:
    """The time of a docker line is converted, because its UTC date chooses the index."""
    line = decoded(docker("a\n", time="2026-11-24T00:11:12.5+02:30").removesuffix(b"\n"))
    assert line.time == "2026-11-23T21:41:12.5Z"


def test_attrs_are_kept_without_dots() -> None:
    """Dots in the names of attrs become `_`, as Elasticsearch would make objects of them."""
    line = decoded(LINE.replace(b"}", b',"attrs":{"io.k8s.pod":"web","env":"a.b"}}'))
    assert line.attrs == {"io_k8s_pod": "web", "env": "a.b"}


def test_spaces_and_escapes_are_json() -> None:
    """A docker line may be any JSON of the three fields, in any order."""
    raw = b' { "time":"%s" ,\t"l\\u006fg":"\\u0061\\/\\n", "stream":"stderr" } '.strip()
    assert decoded(raw % TIME.encode()) == Line("a/\n", TIME, "stderr")


@pytest.mark.parametrize(
    "raw",
    [
        *(b"", b"plain", b" ", b"{", b"{}", b"[]", b"null", b"\xef\xbb\xbf" + LINE),
        LINE + b"x",
        LINE[:-1],
        LINE.replace(b"}", b',"extra":1}'),
        LINE.replace(b'"a\\n"', b"1"),
        LINE.replace(b'"stdout"', b"[]"),
        LINE.replace(b'"stdout"', b"{}"),
        LINE.replace(b'"stdout"', b'"stdin"'),
        LINE.replace(b"}", b',"attrs":null}'),
        LINE.replace(b"}", b',"attrs":{"a":1}}'),
        docker("a\n", time="2026-02-29T10:11:12.1Z").removesuffix(b"\n"),
        docker("half a pair: \ud800\n").removesuffix(b"\n"),
    ],
)
def test_what_docker_does_not_write_is_kept_verbatim(raw: bytes) -> None:
    """A line in no known format is its own text, read now, with a flag in a container's log."""
    assert decoded(raw) == unparsed(raw)
    assert decoded(raw, container=False) == Line(raw.decode(), NOW)


@pytest.mark.parametrize(
    "value",
    [
        *(b"[" * 100_000, b"[" * 100_000 + b"]" * 100_000, b'{"a":' * 5_000 + b"1" + b"}" * 5_000),
        *(b"9" * 100_000, b"-1e999999", b"NaN", b'"' + b"\\u0000" * 10_000 + b'"'),
    ],
    ids=["open", "deep", "objects", "huge", "exponent", "nan", "nul"],
)
@pytest.mark.parametrize("field", ["log", "stream", "time", "attrs", "extra"])
def test_monstrous_values_are_kept_verbatim(field: str, value: bytes) -> None:
    """Nesting and numbers without limit neither raise nor lose a byte."""
    head = b'{"stream":"stdout","time":"%s","log":"a\\n"' % TIME.encode()
    raw = head + b',"%s":%s}' % (field.encode(), value)
    line = decoded(raw)
    assert line == unparsed(raw) or line.text == json.loads(value)


@given(HOSTILE | st.sampled_from(CHANGED) | st.binary(), st.booleans())
def test_decode_never_fails(raw: bytes, container: bool) -> None:
    """Any bytes become a line; one without a stream is the bytes themselves."""
    line = decoded(raw, container=container)
    assert line.stream or line.text == raw.decode(errors="replace")
    assert ("unparsed" in line.flags) == (container and not line.stream)
    assert ("invalid_utf8" in line.flags) == (not is_utf8(raw))


def test_invalid_utf8_in_a_docker_line_is_replaced_and_flagged() -> None:
    """A docker line keeps its stream and time when its text is no UTF-8."""
    line = decoded(LINE.replace(b"a\\n", b"a\xff\xc3\\n"))
    assert line == Line("a\ufffd\ufffd\n", TIME, "stdout", flags=("invalid_utf8",))


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
