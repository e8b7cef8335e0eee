r"""One physical line to its text, stream and time. What is no docker JSON is plain text, verbatim.

Source: docker's json-file driver writes `{"log":"…\n","stream":"stdout","time":"…Z"}` and, where
log-opts ask for them, `"attrs":{"name":"value"}`; a `log` that does not end in a newline is a part
of a longer line (16 KiB each), https://docs.docker.com/engine/logging/drivers/json-file/.
"""

from __future__ import annotations

from codecs import utf_8_decode
from dataclasses import dataclass, field
from typing import Any

import orjson

from shipper.pipeline.timestamp import to_utc

UNDECODABLE = "invalid_utf8"
"""Flag of a document in which invalid bytes were replaced by U+FFFD."""

UNPARSED = "unparsed"
"""Flag of a line that its container runtime cannot have written so; kept verbatim."""

TRUNCATED = "truncated"
"""Flag of a document whose text was cut; `original_bytes` says how long it was."""

_DOCKER_KEYS = frozenset(("log", "stream", "time", "attrs"))
_STREAMS = ("stdout", "stderr")  # no set: what is looked up may be a list


@dataclass(slots=True)
class Line:
    """One physical line, decoded.

    Attributes:
        text: What was logged; docker's text keeps its newline, plain text has none.
        time: RFC 3339, UTC.
        stream: `stdout` or `stderr`; empty where the format names none.
        complete: False for a part that a later line of the same stream goes on.
        attrs: docker's extra attributes.
        flags: What the reader of the document should know.
        original_bytes: Length of the text before it was cut; 0 if it was not.
    """

    text: str
    time: str
    stream: str = ""
    complete: bool = True
    attrs: dict[str, str] = field(default_factory=dict)
    flags: tuple[str, ...] = ()
    original_bytes: int = 0


def is_utf8(raw: bytes) -> bool:
    """Tell whether bytes are valid UTF-8; msgspec does not check that of what it skips."""
    try:
        return raw.isascii() or bool(raw.decode())
    except UnicodeDecodeError:
        return False


def decode(raw: bytes, *, now: str, container: bool) -> Line:
    """Decode a line; never fails, because what fits no format is plain text.

    Args:
        raw: The line without its newline.
        now: RFC 3339 time of reading, for a line that carries none.
        container: The file is one that a container runtime writes, so that a line in no known
            format is worth a flag.
    """
    line = _docker(raw)
    if line is None and raw.startswith(b"{") and not is_utf8(raw):
        line = _docker(raw.decode(errors="replace").encode())
        if line is not None:
            line.flags = (UNDECODABLE,)
    return line or plain(raw, now=now, flags=(UNPARSED,) if container else ())


def plain(raw: bytes, *, now: str, flags: tuple[str, ...] = ()) -> Line:
    """Take a line verbatim; invalid UTF-8 is replaced and flagged."""
    if not is_utf8(raw):
        flags = (*flags, UNDECODABLE)
    return Line(raw.decode(errors="replace"), now, flags=flags)


def cut(raw: bytes, *, original_bytes: int, now: str) -> Line:
    """Take the head of a line that is too long, with a mark that a reader sees."""
    _, whole = utf_8_decode(raw, "replace")  # a character that the cut went through is left out
    line = plain(raw[:whole], now=now, flags=(TRUNCATED,))
    line.text += truncation_mark(original_bytes)
    line.original_bytes = original_bytes
    return line


def truncation_mark(original_bytes: int) -> str:
    """Return the visible end of a text that was cut."""
    return f" [truncated by shipper: {original_bytes} bytes]"


def _docker(raw: bytes) -> Line | None:
    if not raw.startswith(b"{"):
        return None
    try:
        fields = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None
    if not _is_docker(fields):
        return None
    time = to_utc(fields["time"])
    if time is None:
        return None
    text: str = fields["log"]
    attrs = {name.replace(".", "_"): value for name, value in fields.get("attrs", {}).items()}
    return Line(text, time, fields["stream"], complete=text.endswith("\n"), attrs=attrs)


def _is_docker(fields: dict[str, Any]) -> bool:
    attrs = fields.get("attrs", {})
    return (
        fields.keys() <= _DOCKER_KEYS
        and isinstance(fields.get("log"), str)
        and isinstance(fields.get("time"), str)
        and fields.get("stream") in _STREAMS
        and isinstance(attrs, dict)
        and all(isinstance(value, str) for value in attrs.values())
    )
