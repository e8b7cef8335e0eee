r"""The fast path: a block of ordinary docker lines becomes documents without a loop over them.

A docker line is almost the document: `log` and `time` go over as the bytes they are. The block is
taken only if every line is exactly
`{"log":"…\n","stream":"stdout|stderr","time":"<day>T<clock>.<fraction>Z"}⏎`; anything else returns
None, and the reference path does it. How that is proven, for all lines at once:

* `decode_lines` finds the three fields, each present, no other, all valid JSON, and that `stream`
  is one of the two. What it does not check is UTF-8: `isascii` or one decode does.
* The lengths of the values, with what compact JSON puts around them, add up to the length of the
  block. Each line is at least as long as that, so equality leaves no room in *any* line for white
  space, a repeated key, an escape in a key or a blank line.
* The block begins `{"log":"`, ends `Z"}⏎`, and is joined by `Z"}⏎{"log":"`, which no text holds (a
  newline there is escaped): each `log` comes first and is a string, each `time` comes last.
* `\n","stream":"st` occurs once a line, and no backslash stands before it: a quote inside a string
  is escaped, so this one ends `log`, behind a newline.
* The joined times match the day and a time of day.

Measured on lines of 225 bytes: 0.8 us a line, where the reference path takes 6. A compiled twin may
stand in for `splice`.
"""

from __future__ import annotations

import re
from itertools import accumulate
from typing import Literal

import msgspec

from shipper.pipeline.line import is_utf8
from shipper.pipeline.splice import Columns, is_before, weave
from shipper.pipeline.timestamp import CLOCK

START = re.compile(rb'\{"log":"')


class _DockerLine(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    log: msgspec.Raw
    stream: Literal["stdout", "stderr"]
    time: msgspec.Raw


_decode_lines = msgspec.json.Decoder(_DockerLine).decode_lines
_FRAME_BYTES = len(b'{"log":,"stream":"stdout","time":}\n')
_TO_TIME = {
    "stdout": b',"stream":"stdout","@timestamp":',
    "stderr": b',"stream":"stderr","@timestamp":',
}


def day_of(block: bytes) -> str:
    """Return the first ten characters of the first line's time; anything if it has none."""
    start = block.find(b'","time":"') + len(b'","time":"')
    return block[start : start + 10].decode("ascii", "replace")


def splice(
    block: bytes, offset: int, *, day: str, prefix: bytes, suffix: bytes, since: bytes = b""
) -> tuple[bytes, int] | None:
    """Turn a block of ordinary docker lines of one day into bulk lines, or return None.

    As `splice.Splicer` says.
    """
    if not is_utf8(block):
        return None
    try:
        lines = _decode_lines(block)
    except (msgspec.DecodeError, RecursionError):
        return None
    logs = [line.log for line in lines]
    times = [line.time for line in lines]
    sizes = [_FRAME_BYTES + len(log) + len(time) for log, time in zip(logs, times, strict=True)]
    starts = tuple(accumulate(sizes, initial=offset))
    if starts[-1] != offset + len(block) or not _is_ordinary(block, times, day=day):
        return None
    if since:
        before = is_before(b"".join(times)[1:-2].split(b'Z""'), since)
        if before is not False:
            return (b"", 0) if before else None
    marks = [_TO_TIME[line.stream] for line in lines]
    columns = Columns(logs, marks, times, to_log=b'{"log":')
    return weave(columns, starts[:-1], prefix=prefix, end=suffix), len(lines)


def _is_ordinary(block: bytes, times: list[msgspec.Raw], *, day: str) -> bool:
    """Tell whether a block whose lengths add up has nothing but ordinary lines."""
    return (
        block.startswith(b'{"log":"')
        and block.endswith(b'Z"}\n')
        and block.count(b'Z"}\n{"log":"') == len(times) - 1
        and block.count(b'\\n","stream":"st') == len(times)
        and b'\\\\n","stream":"st' not in block
        and re.fullmatch(rf'(?:"{day}T{CLOCK}\.\d{{1,9}}Z")*+'.encode(), b"".join(times))
        is not None
    )
