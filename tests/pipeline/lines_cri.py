r"""Lines as containerd and CRI-O write them, and as an enemy would, as hypothesis strategies.

A hostile line is an ordinary one with a few changes, each aimed at one of the proofs of
`splice_cri`: two heads in a line, none, one in the text, another zone, bytes that JSON escapes.
"""

from collections.abc import Iterator

from hypothesis import strategies as st

from tests.pipeline.lines import BLOCKS as DOCKER_BLOCKS
from tests.pipeline.lines import DAY, PLAIN, STREAMS, TEXTS, TIME

ZONES = ("Z", "+00:00", "-00:00", "+02:00", "-05:30", "+14:00")
"""Zones of which a whole block can be ordinary; those behind the third need a conversion."""


def cri(text: str, *, stream: str = "stdout", time: str = TIME, tags: str = "F") -> bytes:
    """Return the line that a runtime writes for a text."""
    return f"{time} {stream} {tags} {text}\n".encode()


_NASTY = (
    *("\x7f", " ", f"{TIME} stdout F ", f"\x7f{TIME} stderr F ", "\\u007f", "\b\f", '","stream":"'),
    *(" stdout F ", "Z stdout F ", "F", "P", "\x0b", "\x1e"),
)
CRI_TEXTS = st.lists(st.sampled_from(_NASTY) | TEXTS, max_size=3).map(
    lambda texts: "".join(texts).replace("\n", "")
)
"""Texts of one line."""

_CLOCKS = st.sampled_from(("00:00:00", "10:11:12", "19:59:59", "20:00:00", "23:59:59"))
_FRACTIONS = st.text("0123456789", min_size=1, max_size=9).map(".{}".format) | st.just("")
_TIMES = st.builds("{}T{}{}".format, st.just(DAY), _CLOCKS, _FRACTIONS)


def _lines(zone: str, *, texts: st.SearchStrategy[str], tags: str) -> st.SearchStrategy[bytes]:
    times = _TIMES.map(f"{{}}{zone}".format)
    return st.builds(cri, texts, stream=STREAMS, time=times, tags=st.sampled_from(tags))


_WITHOUT_DEL = CRI_TEXTS.map(lambda text: text.replace("\x7f", "?"))
ORDINARY_CRI = _lines("Z", texts=_WITHOUT_DEL, tags="F")
"""Whole lines of one day in UTC: what the fast path takes."""

WHOLE_CRI = st.sampled_from(ZONES).flatmap(lambda zone: _lines(zone, texts=CRI_TEXTS, tags="F"))
"""Whole lines of any zone."""

CRI_PARTS = _lines("Z", texts=CRI_TEXTS, tags="PPF")
"""Lines of which most are a part of a longer one."""

_ODD_TIMES = (
    *(f"{DAY}T10:11:12.1234567891Z", f"{DAY}T10:11:12.Z", f"{DAY}T10:11Z", f"{DAY}T10:11:12.1"),
    *(f"{DAY}T24:00:00Z", f"{DAY}T23:60:00Z", f"{DAY}T23:59:60Z", f"{DAY}t10:11:12z"),
    *(f"{DAY} 10:11:12Z", f" {TIME}", f"{DAY}T10:11:12.\u0661Z", f"{DAY}T10:11:12+24:00"),
    *(f"{DAY}T10:11:12+0200", f"{DAY}T10:11:12+02", f"{DAY}T10:11:12.1.2Z", f"{DAY}T::::::::Z"),
    *(f"{DAY}T23:59:59-00:01", f"{DAY}T00:00:00+00:01", f"{DAY}T10:11:12,5Z", f"{TIME}{TIME}"),
    *("2026-11-24T00:00:00Z", "2026-11-22T23:30:00-01:00", "2026-02-29T10:11:12.1Z"),
    *("2026-02-30T10:11:12+02:00", "0000-01-01T10:11:12Z", "0001-01-01T00:00:00+01:00"),
    *("9999-12-31T23:59:59-01:00", "99999-12-31T23:59:59Z", "yesterday", "", "1795428672", "Z"),
)
_ODD_STREAMS = ("stdin", "", "STDOUT", "stdout ", "std", "stdoutt", "\tstdout", '"stdout"', "é")
_ODD_TAGS = (
    *("P", "P:x", "F:P", "P:F", "F:x:y", "F:", "P:", ":F", "FP", "f", "", "X", "F ", " F", "F\t"),
    *("F:é", "F:\x7f", "F:\0", "F:\ufeff"),
)
_HEAD = f"{TIME} stdout F".encode()
_ODD_LINES = (
    *(_HEAD, _HEAD + b"\r", _HEAD + b" \r", _HEAD + b" ", _HEAD + b"  ", _HEAD[:-1], _HEAD[:-2]),
    *(_HEAD + b"x", _HEAD + b"\tx", b" " + _HEAD + b" x", b"\xef\xbb\xbf" + _HEAD + b" x"),
    *(_HEAD + b" " + _HEAD + b" x", b"\0" + _HEAD + b" x", b"\0\0\0" + _HEAD, _HEAD + b" \0\0"),
    *(b"\x7f" + _HEAD + b" x", b"x" + _HEAD + b" x", b'"' + _HEAD + b" x", b"\0\0\0", b"\0"),
    *(_HEAD + b" \xff", _HEAD + b" \xed\xa0\x80", _HEAD + b" \xc3", _HEAD + b" \xf4\x90\x80\x80"),
    *(_HEAD + b":\xff x", _HEAD.replace(b"stdout", b"std\xff") + b" x", b"\xff" + _HEAD + b" x"),
    *(_HEAD + b' {"log":"a\\n","stream":"stdout"}', _HEAD + b" " + b"x" * 3_000),
)


def _changed() -> Iterator[bytes]:
    """An ordinary line with each change that there is."""
    yield from (cri("a", time=time) for time in _ODD_TIMES)
    yield from (cri("a", stream=stream) for stream in _ODD_STREAMS)
    yield from (cri("a", tags=tags) for tags in _ODD_TAGS)
    yield from (line + b"\n" for line in _ODD_LINES)
    yield from (cri(f"a{chr(code)}b") for code in range(128) if chr(code) != "\n")
    yield from (cri("a", time=TIME.replace("Z", zone)) for zone in ZONES)


CHANGED_CRI = list(_changed())
"""Ordinary lines with one change each; some are still ordinary."""

_BYTES = (b"", *(bytes([byte]) for byte in b'\n\r\\" :.FPZ+09\0\x7f\x80\xff'))


@st.composite
def _broken(draw: st.DrawFn) -> bytes:
    """A line with a few bytes changed, put in or taken out."""
    line = draw(WHOLE_CRI)
    for _ in range(draw(st.integers(1, 2))):
        start = draw(st.integers(0, len(line)))
        end = start + draw(st.integers(0, 2))
        line = line[:start] + draw(st.sampled_from(_BYTES)) + line[end:]
    return line


HOSTILE_CRI = st.sampled_from(CHANGED_CRI) | _broken() | CRI_PARTS | WHOLE_CRI | PLAIN
"""Lines, or what was one, that the fast path must not take for ordinary ones; some are."""

SAME_ZONE = st.sampled_from(ZONES).flatmap(
    lambda zone: st.lists(_lines(zone, texts=_WITHOUT_DEL, tags="F"), min_size=1, max_size=4)
)
"""Lines of one zone, most of one day in UTC."""

_SOME = st.one_of(ORDINARY_CRI, ORDINARY_CRI, ORDINARY_CRI, HOSTILE_CRI)
CRI_BLOCKS = (
    SAME_ZONE
    | st.lists(ORDINARY_CRI, max_size=4)
    | st.tuples(HOSTILE_CRI, ORDINARY_CRI)
    | st.tuples(ORDINARY_CRI, HOSTILE_CRI)
    | st.lists(_SOME, min_size=1, max_size=6)
    | st.lists(HOSTILE_CRI, min_size=1, max_size=4)
).map(b"".join)
"""Blocks of CRI lines; some do not end in a newline."""

MIXED_BLOCKS = st.lists(CRI_BLOCKS | DOCKER_BLOCKS, max_size=3).map(b"".join)
"""Blocks in which docker, CRI and plain lines follow one another, some glued together."""
