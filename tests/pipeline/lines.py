r"""Lines of log files, from what docker writes to what an enemy would, as hypothesis strategies.

A hostile line is an ordinary one with a few changes, each aimed at one of the proofs of `splice`:
lengths that could be made up for elsewhere, quotes that look like structure, values of other types.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from io import BytesIO
from itertools import pairwise, permutations

from hypothesis import strategies as st

DAY = "2026-11-23"
NOW = "2026-11-24T00:00:00.000000007Z"
TIME = f"{DAY}T10:11:12.123456789Z"

_NASTY = (
    *('"', "\\", "\n", "\r", "\r\n", "\t", "\0", "\x1f", "\x7f", "\u2028", "\ufeff", "\ufffd"),
    *("é", "😀", "<&>", "%x", "%", "{}", "\\n", "\\u0041", "Z", "st"),
    '"}\n{"log":"',
    'Z"}\n{"log":"',
    '\\n","stream":"stdout',
    f'","stream":"stdout","time":"{TIME}"}}\n',
    f'a\n","stream":"stderr","time":"{DAY}T',
)
TEXTS = st.lists(st.sampled_from(_NASTY) | st.text(max_size=5), max_size=4).map("".join)
STREAMS = st.sampled_from(("stdout", "stderr"))

_CLOCKS = st.sampled_from(("00:00:00", "10:11:12", "19:59:59", "20:00:00", "23:59:59"))
_FRACTIONS = st.text("0123456789", min_size=1, max_size=9)
_TIMES = st.builds(f"{DAY}T{{}}.{{}}Z".format, _CLOCKS, _FRACTIONS)


def docker(
    log: str, *, stream: str = "stdout", time: str = TIME, escape: Callable[[str], str] = json.dumps
) -> bytes:
    """Return the line that docker writes for a text."""
    return f'{{"log":{escape(log)},"stream":"{stream}","time":"{time}"}}\n'.encode()


def _as_go(text: str) -> str:
    quoted = json.dumps(text, ensure_ascii=False).replace("<", "\\u003c").replace(">", "\\u003e")
    return quoted.replace("&", "\\u0026").replace("\u2028", "\\u2028")


_ESCAPES = st.sampled_from((json.dumps, _as_go))

WHOLE = st.builds(
    docker, TEXTS.map(lambda text: f"{text}\n"), stream=STREAMS, time=_TIMES, escape=_ESCAPES
)
"""Whole lines, as docker writes them."""

ORDINARY = WHOLE.filter(lambda line: b'\\\\n","stream":"' not in line)
"""Whole lines without a backslash before their last newline: what the fast path takes."""

PARTS = st.builds(docker, TEXTS, stream=STREAMS, time=_TIMES, escape=_ESCAPES)
"""Lines of which most are a part of a longer one."""

_NEEDLE = rf'"x\n","stream":"stdout","time":"{TIME}"'.encode()

_ODD_LOGS = (
    *(b'"part"', b'""', b'"\\\\n"', b'"\\\\\\n"', b'"\\u000a"', b'"\\u005cn"', b'"a\\/b\\n"'),
    *(b"1", b"null", b"true", b'["x\\n"]', b"{}", b'{"a":' + _NEEDLE + b"}", b"[" * 2000),
    *(b'"\\ud800\\n"', b'"\\udc00\\n"', b'"\\ud83d\\ude00\\n"', b'"\\ud800\\u0041\\n"'),
    *(b'"\\q\\n"', b'"\\u12\\n"', b'"a\tb\\n"', b'"a\0b\\n"', b'"a\nb\\n"', b'"a\rb\\n"'),
    *(b'"\xff\\n"', b'"\xc3\\n"', b'"\xed\xa0\x80\\n"', b'"\xf4\x90\x80\x80\\n"', b'"\xc0\xaf\\n"'),
)
_ODD_STREAMS = (
    *(b'"stdin"', b'""', b'"stdou\\u0074"', b'"stdout "', b'"STDOUT"', b'"stdxxx"', b"null", b"1"),
    *(b"[]", b"{}", b'["stdout"]', b'{"stdout":1}'),
)
_ODD_TIMES = (
    *(b"null", b"1795428672", b"[]", b'{"time":1}', b'""', b'"\xff"', b'"2026-11-23"'),
    *(
        f'"{time}"'.encode()
        for time in (
            f"{DAY}T10:11:12Z",
            f"{DAY}T10:11:12.Z",
            f"{DAY}T10:11:12.1234567891Z",
            f"{DAY}T10:11:12.1+00:00",
            f"{DAY}T23:11:12.5-02:30",
            f"{DAY}T00:11:12.5+02:30",
            f"{DAY}T24:00:00.1Z",
            f"{DAY}T23:60:00.1Z",
            f"{DAY}T23:59:60.1Z",
            f"{DAY}t10:11:12.1z",
            f"{DAY} 10:11:12.1Z",
            f" {TIME}",
            f'{TIME}\\"{TIME}',
            f"{DAY}T10:11:12.\u0661Z",
            "2026-11-24T00:00:00.1Z",
            "2026-11-2\\u0033T10:11:12.1Z",
            "2026-02-29T10:11:12.1Z",
            "2026-W47-1T10:11:12.1Z",
            "20261123T10:11:12.1Z",
            "0000-01-01T10:11:12.1Z",
            "0001-01-01T00:00:00.1+01:00",
            "0999-12-31T23:00:00.1-01:00",
            "9999-12-31T23:59:59.1-01:00",
            "yesterday",
        )
    ),
)
_ODD_VALUES = (_ODD_LOGS, _ODD_STREAMS, _ODD_TIMES)
_MORE_FIELDS = (
    (b'"attrs"', b'{"io.kubernetes.pod.name":"web","a_b":"c"}'),
    (b'"attrs"', b"{}"),
    (b'"attrs"', b'{"n":1}'),
    (b'"attrs"', b"[" * 2000),
    (b'"attrs"', b'"log"'),
    (b'"extra"', b"9" * 400),
    (b'"extra"', b'"a\\n","stream":"stdout"'),
    (b'"log"', b'"again\\n"'),
    (b'"stream"', b'"stderr"'),
    (b'"time"', f'"{DAY}T01:02:03.4Z"'.encode()),
    (b'"l\\u006fg"', b'"escaped\\n"'),
    (b'""', b'""'),
)
_ODD_KEYS = (
    (b'"Log"', b'"l\\u006fg"', b'"log "', b"log"),
    (b'"stre\\u0061m"', b'"streams"', b'"log"'),
    (b'"t\\u0069me"', b'"@timestamp"', b'"stream"'),
)
_SPACES = (b" ", b"\t", b"\r", b"\n", b"\n\n", b"}", b",", b"\xc2\xa0", b"\0")
_BYTES = (b"", *(bytes([byte]) for byte in b'\n\r\\"{}[]:,n 0Z\0\x80\xff'))


_FIELDS = ((b'"log"', b'"a\\n"'), (b'"stream"', b'"stdout"'), (b'"time"', f'"{TIME}"'.encode()))


def _changed() -> Iterator[bytes]:
    """An ordinary line with each change that there is: a value, key, field, order or space."""
    for index, (key, value) in enumerate(_FIELDS):
        before, after = _FIELDS[:index], _FIELDS[index + 1 :]
        yield from (_line((*before, (key, odd), *after)) for odd in _ODD_VALUES[index])
        yield from (_line((*before, (odd, value), *after)) for odd in _ODD_KEYS[index])
        yield _line((*before, *after))
    for index in range(4):
        more = ((*_FIELDS[:index], field, *_FIELDS[index:]) for field in _MORE_FIELDS)
        yield from map(_line, more)
    yield from map(_line, permutations(_FIELDS))
    tokens = _tokens(_FIELDS)
    for index in range(len(tokens)):
        yield from (b"".join((*tokens[:index], s, *tokens[index:])) for s in _SPACES)


def _line(fields: Sequence[tuple[bytes, bytes]]) -> bytes:
    return b"".join(_tokens(fields))


def _tokens(fields: Sequence[tuple[bytes, bytes]]) -> list[bytes]:
    tokens = [token for key, value in fields for token in (b",", key, b":", value)]
    return [b"{", *tokens[1:], b"}", b"\n"]


CHANGED = list(_changed())
"""Ordinary lines with one change each."""


@st.composite
def _broken(draw: st.DrawFn) -> bytes:
    """A line with a few bytes changed, put in or taken out."""
    line = draw(WHOLE | st.sampled_from(CHANGED))
    for _ in range(draw(st.integers(1, 2))):
        start = draw(st.integers(0, len(line)))
        end = start + draw(st.integers(0, 2))
        line = line[:start] + draw(st.sampled_from(_BYTES)) + line[end:]
    return line


PLAIN = st.sampled_from(
    (b"\n", b"plain\n", b"{\n", b"{}\n", b"[]\n", b"null\n", b" \n", b'{"log":"\n')
)
"""Lines that no container runtime writes."""

HOSTILE = st.sampled_from(CHANGED) | _broken() | PARTS | PLAIN | st.binary(max_size=8)
"""Lines, or what was one, that the fast path must not take for ordinary ones; some are."""

BLOCKS = (
    st.lists(ORDINARY, max_size=4)
    | st.tuples(HOSTILE, ORDINARY)
    | st.tuples(ORDINARY, HOSTILE)
    | st.lists(st.one_of(ORDINARY, ORDINARY, ORDINARY, HOSTILE), min_size=1, max_size=6)
    | st.lists(HOSTILE, min_size=1, max_size=4)
).map(b"".join)
"""Blocks; some do not end in a newline."""

UNENDED = BLOCKS.map(lambda block: block.removesuffix(b"\n"))
"""Blocks that end in the middle of a line."""


def cut_at_lines(data: bytes, boundaries: list[int]) -> list[bytes]:
    """Cut bytes behind some of their newlines; a boundary counts lines, modulo their number."""
    lines = list(BytesIO(data))
    cuts = sorted({boundary % (len(lines) + 1) for boundary in boundaries} | {0, len(lines)})
    return [b"".join(lines[start:end]) for start, end in pairwise(cuts)]
