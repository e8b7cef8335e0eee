r"""Lines of docker's json-file driver, one at a time.

Source: `{"log":"…\n","stream":"stdout","time":"…Z"}` and, where log-opts ask for them,
`"attrs":{"name":"value"}`; a `log` that does not end in a newline is a part of a longer line
(16 KiB each), https://docs.docker.com/engine/logging/drivers/json-file/.
"""

from __future__ import annotations

from typing import Any

import orjson

from shipper.pipeline.line import UNDECODABLE, Line, is_utf8
from shipper.pipeline.timestamp import to_utc

_KEYS = frozenset(("log", "stream", "time", "attrs"))
_STREAMS = ("stdout", "stderr")  # no set: what is looked up may be a list


def docker(raw: bytes) -> Line | None:
    """Decode a line, or return None if docker cannot have written it so.

    Args:
        raw: The line without its newline. Invalid UTF-8 is replaced and flagged.
    """
    if not raw.startswith(b"{"):
        return None
    line = _parsed(raw)
    if line is None and not is_utf8(raw):
        line = _parsed(raw.decode(errors="replace").encode())
        if line is not None:
            line.flags = (UNDECODABLE,)
    return line


def _parsed(raw: bytes) -> Line | None:
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
    whole = text.endswith("\n")
    return Line(text, time, fields["stream"], complete=whole, attrs=attrs, runtime="docker")


def _is_docker(fields: dict[str, Any]) -> bool:
    attrs = fields.get("attrs", {})
    return (
        fields.keys() <= _KEYS
        and isinstance(fields.get("log"), str)
        and isinstance(fields.get("time"), str)
        and fields.get("stream") in _STREAMS
        and isinstance(attrs, dict)
        and all(isinstance(value, str) for value in attrs.values())
    )
