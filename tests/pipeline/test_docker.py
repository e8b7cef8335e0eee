"""A docker line becomes its text, stream and time; any other line is refused."""

import json

import pytest
from hypothesis import given

from shipper.pipeline.docker import docker as docker_line
from shipper.pipeline.line import Line
from tests.pipeline.lines import STREAMS, TEXTS, TIME, docker

LINE = docker("a\n").removesuffix(b"\n")


@given(TEXTS, STREAMS)
def test_docker_text_is_taken_to_the_character(text: str, stream: str) -> None:
    """Text, stream and time of a docker line are those that docker was given."""
    line = docker_line(docker(text, stream=stream).removesuffix(b"\n"))
    assert line == Line(text, TIME, stream, complete=text.endswith("\n"), runtime="docker")


def test_a_time_with_an_offset_becomes_utc() -> None:
    """The time of a docker line is converted, because its UTC date chooses the index."""
    line = docker_line(docker("a\n", time="2026-11-24T00:11:12.5+02:30").removesuffix(b"\n"))
    assert line is not None
    assert line.time == "2026-11-23T21:41:12.5Z"


def test_attrs_are_kept_without_dots() -> None:
    """Dots in the names of attrs become `_`, as Elasticsearch would make objects of them."""
    line = docker_line(LINE.replace(b"}", b',"attrs":{"io.k8s.pod":"web","env":"a.b"}}'))
    assert line is not None
    assert line.attrs == {"io_k8s_pod": "web", "env": "a.b"}


def test_spaces_and_escapes_are_json() -> None:
    """A docker line may be any JSON of the three fields, in any order."""
    raw = b' { "time":"%s" ,\t"l\\u006fg":"\\u0061\\/\\n", "stream":"stderr" } '.strip()
    assert docker_line(raw % TIME.encode()) == Line("a/\n", TIME, "stderr", runtime="docker")


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
def test_what_docker_does_not_write_is_refused(raw: bytes) -> None:
    """A line that docker cannot have written is none of its lines."""
    assert docker_line(raw) is None


@pytest.mark.parametrize(
    "value",
    [
        *(b"[" * 100_000, b"[" * 100_000 + b"]" * 100_000, b'{"a":' * 5_000 + b"1" + b"}" * 5_000),
        *(b"9" * 100_000, b"-1e999999", b"NaN", b'"' + b"\\u0000" * 10_000 + b'"'),
    ],
    ids=["open", "deep", "objects", "huge", "exponent", "nan", "nul"],
)
@pytest.mark.parametrize("field", ["log", "stream", "time", "attrs", "extra"])
def test_monstrous_values_do_no_harm(field: str, value: bytes) -> None:
    """Nesting and numbers without limit neither raise nor pass for text."""
    head = b'{"stream":"stdout","time":"%s","log":"a\\n"' % TIME.encode()
    raw = head + b',"%s":%s}' % (field.encode(), value)
    line = docker_line(raw)
    assert line is None or line.text == json.loads(value)


def test_invalid_utf8_in_a_docker_line_is_replaced_and_flagged() -> None:
    """A docker line keeps its stream and time when its text is no UTF-8."""
    line = docker_line(LINE.replace(b"a\\n", b"a\xff\xc3\\n"))
    assert line == Line(
        "a\ufffd\ufffd\n", TIME, "stdout", flags=("invalid_utf8",), runtime="docker"
    )
