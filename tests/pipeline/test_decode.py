"""A line is told to be docker's or CRI's by itself; any other line is kept as it is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipper.pipeline.cri import cri as cri_line
from shipper.pipeline.decode import decode
from shipper.pipeline.docker import docker as docker_line
from shipper.pipeline.line import Line, is_utf8
from tests.pipeline.lines import CHANGED, HOSTILE, NOW, TIME, docker
from tests.pipeline.lines_cri import CHANGED_CRI, HOSTILE_CRI, cri

ANY = HOSTILE | HOSTILE_CRI | st.sampled_from(CHANGED) | st.sampled_from(CHANGED_CRI) | st.binary()


def decoded(raw: bytes, *, container: bool = True) -> Line:
    """Decode a line read at NOW."""
    return decode(raw, now=NOW, container=container)


@pytest.mark.parametrize(
    "raw", [b"", b"plain", b" ", b"{", b"{}", b"[]", b"null", cri("x", tags="X"), docker("a")[:-2]]
)
def test_what_no_runtime_writes_is_kept_verbatim(raw: bytes) -> None:
    """A line in no known format is its own text, read now, with a flag in a container's log."""
    assert decoded(raw) == Line(raw.decode(), NOW, flags=("unparsed",))
    assert decoded(raw, container=False) == Line(raw.decode(), NOW)


def test_each_line_shows_its_own_format() -> None:
    """Docker and CRI lines are understood in any file, whatever came before them."""
    lines = [docker("a\n"), cri("b"), docker("c", stream="stderr"), cri("d", tags="P")]
    assert [decoded(line.removesuffix(b"\n"), container=False) for line in lines] == [
        Line("a\n", TIME, "stdout", runtime="docker"),
        Line("b", TIME, "stdout", runtime="cri"),
        Line("c", TIME, "stderr", complete=False, runtime="docker"),
        Line("d", TIME, "stdout", complete=False, runtime="cri"),
    ]


@given(ANY, st.booleans())
def test_decode_never_fails(raw: bytes, container: bool) -> None:
    """Any bytes become a line; one without a stream is the bytes themselves."""
    line = decoded(raw, container=container)
    assert line.stream or line.text == raw.decode(errors="replace")
    assert bool(line.stream) == bool(line.runtime)
    assert ("unparsed" in line.flags) == (container and not line.stream)
    assert ("invalid_utf8" in line.flags) == (not is_utf8(raw))


@given(ANY)
def test_no_line_is_of_two_formats(raw: bytes) -> None:
    """I5: The order in which formats are tried can't matter: at most one takes a line."""
    lines = [line for line in (docker_line(raw), cri_line(raw)) if line is not None]
    assert len(lines) <= 1
    line = decoded(raw)
    assert lines == ([line] if line.runtime else [])
