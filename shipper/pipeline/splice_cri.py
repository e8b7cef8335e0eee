r"""The fast path of CRI: a block of ordinary lines becomes documents without a loop over them.

The block is taken only if every line is exactly
`<day>T<clock>[.<fraction>]<zone> <stdout|stderr> F <text>⏎`, valid UTF-8, all of one day and zone,
all of one day in UTC, too. Anything else returns None, and the reference path does it. How that is
proven, for all lines at once:

* No line has a DEL, so each newline can be one. DEL is the one control character that JSON does not
  escape: the whole block, as one JSON string, still shows where its lines end, and nothing before a
  text needs an escape. Decoding checks the UTF-8; orjson writes here what it writes for the
  reference path, so the documents are the same to the byte.
* That string is split at each newline that the head of an ordinary line follows. As many heads as
  lines, each behind a newline of its own: so all lines have one, and what is between is their text.

Measured on lines of 184 bytes: 0.8 us a line, as docker's lines of the same texts (225 bytes) take.
"""

from __future__ import annotations

import re
from io import BytesIO
from itertools import accumulate

import orjson

from shipper.pipeline.cri import HEAD
from shipper.pipeline.splice import Columns, is_before, weave
from shipper.pipeline.timestamp import CLOCK, to_utc

START = HEAD
_NEWLINE = b"\x7f"
_UTC = (b"Z", b"+00:00", b"-00:00")
_MINUTE = len("2026-11-23T10:11")
_TO_TIME = {
    b"stdout": b'","stream":"stdout","@timestamp":"',
    b"stderr": b'","stream":"stderr","@timestamp":"',
}


def day_of(block: bytes) -> str:
    """Return the UTC day of the first line; empty if it has none."""
    head = HEAD.match(block)
    return (to_utc(head["time"].decode()) or "")[:10] if head else ""


def splice(
    block: bytes, offset: int, *, day: str, prefix: bytes, suffix: bytes, since: bytes = b""
) -> tuple[bytes, int] | None:
    """Turn a block of ordinary CRI lines of one day into bulk lines, or return None.

    As `splice.Splicer` says.
    """
    head = HEAD.match(block)
    if head is None or head["end"] != b"F" or not block.endswith(b"\n") or _NEWLINE in block:
        return None
    try:
        text = (_NEWLINE + block).replace(b"\n", _NEWLINE).decode()
    except UnicodeDecodeError:
        return None
    starts = tuple(accumulate(map(len, BytesIO(block)), initial=offset))[:-1]
    times, streams, logs = _split(text, head["time"][:10], zone=head["zone"])
    if len(times) != len(starts):
        return None
    times = _in_utc(times, day, zone=head["zone"])
    if not times:
        return None
    if since:
        before = is_before(times, since)
        if before is not False:
            return (b"", 0) if before else None
    columns = Columns(logs, [_TO_TIME[stream] for stream in streams], times, to_log=b'{"log":"')
    return weave(columns, starts, prefix=prefix, end=b'Z"' + suffix), len(times)


def _split(text: str, day: bytes, *, zone: bytes) -> list[list[bytes]]:
    """Return the times, streams and escaped texts of the lines that are ordinary ones of a day.

    Behind a line that is none, texts are not those of the times.
    """
    clock = rf"{CLOCK}(?:\.\d{{1,9}})?+".encode()
    head = rb"%b(%bT%b)%b (stdout|stderr) F " % (_NEWLINE, day, clock, re.escape(zone))
    pieces = re.split(head, orjson.dumps(text)[1:-2])  # without the quotes and the last newline
    return [pieces[column::3] for column in (1, 2, 3)]


def _in_utc(times: list[bytes], day: str, *, zone: bytes) -> list[bytes]:
    """Return times of one day and zone in UTC, without the zone; none if any is of another day.

    Offsets are whole minutes, and a block has few different ones to convert.
    """
    if zone in _UTC:
        return times if times[0].startswith(day.encode()) else []
    minutes = {time[:_MINUTE] for time in times}
    utc = {minute: to_utc(f"{minute.decode()}:00{zone.decode()}") or "" for minute in minutes}
    if not all(minute.startswith(day) for minute in utc.values()):
        return []
    heads = {minute: time[:_MINUTE].encode() for minute, time in utc.items()}
    return [heads[time[:_MINUTE]] + time[_MINUTE:] for time in times]
