"""One physical line to its text, stream and time. What is in no known format is plain text.

The formats exclude one another by their first byte, so a line becomes the same whichever lines came
before it, and wherever reading resumed (I5): there is no format of a file to be found out or lost.
"""

from __future__ import annotations

from shipper.pipeline.cri import cri
from shipper.pipeline.docker import docker
from shipper.pipeline.line import UNPARSED, Line, plain


def decode(raw: bytes, *, now: str, container: bool) -> Line:
    """Decode a line; never fails, because what fits no format is plain text.

    Args:
        raw: The line without its newline.
        now: RFC 3339 time of reading, for a line that carries none.
        container: The file is one that a container runtime writes, so that a line in no known
            format is worth a flag.
    """
    line = docker(raw) if raw.startswith(b"{") else cri(raw)
    return line or plain(raw, now=now, flags=(UNPARSED,) if container else ())
