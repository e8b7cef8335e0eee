"""Lines of the container runtime interface (containerd, CRI-O), one at a time.

Source: `<RFC 3339 time> <stdout|stderr> <tag>[:<tag>…] <text>`, of which the first tag is `P` for a
part that a later line of the stream goes on, `F` for the last or only one. As the kubelet reads it:
https://github.com/kubernetes/kubernetes/blob/master/pkg/kubelet/kuberuntime/logs/logs.go. An empty
text may come without the blank before it.
"""

from __future__ import annotations

import re

from shipper.pipeline.line import UNDECODABLE, Line, is_utf8
from shipper.pipeline.timestamp import to_utc

HEAD = re.compile(
    rb"(?P<time>\d{4}-\d\d-\d\dT[\d:.]{8,18}(?P<zone>Z|[+-]\d\d:\d\d)) "
    rb"(?P<stream>stdout|stderr) (?P<end>[FP])(?P<tags>(?::[!-~]*+)?)(?=[ \n]|\Z)"
)
"""What stands before the blank before the text; whether the time is one is not checked."""


def cri(raw: bytes) -> Line | None:
    """Decode a line, or return None if no such runtime can have written it so.

    Args:
        raw: The line without its newline. Invalid UTF-8 is replaced and flagged.
    """
    head = HEAD.match(raw)
    if head is None:
        return None
    time = to_utc(head["time"].decode())
    if time is None:
        return None
    text = raw[head.end() + 1 :]
    line = Line(text.decode(errors="replace"), time, head["stream"].decode(), runtime="cri")
    line.complete = head["end"] == b"F"
    line.flags = () if is_utf8(text) else (UNDECODABLE,)
    return line
