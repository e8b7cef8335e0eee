"""Just enough of HTTP/1.1 for a null server: requests out of a buffer, answers into bytes. Pure.

Knows Content-Length and chunked bodies; knows no trailers, no upgrades, no HTTP/2.
"""

import zlib
from dataclasses import dataclass

_GZIP_WINDOW = 31


@dataclass(frozen=True, slots=True)
class Head:
    """The request line and headers of one request; header names are in lower case."""

    method: str
    target: str
    headers: dict[str, str]


def take_head(buffer: bytearray) -> Head | None:
    """Remove a request's head from the front of the buffer; None while it is not complete."""
    end = buffer.find(b"\r\n\r\n")
    if end < 0:
        return None
    request_line, *fields = buffer[:end].decode("latin1").split("\r\n")
    del buffer[: end + 4]
    method, target, _ = request_line.split(" ")
    pairs = (field.split(":", 1) for field in fields)
    return Head(method, target, {name.lower(): value.strip() for name, value in pairs})


def take_body(head: Head, buffer: bytearray, *, chunks: list[bytes]) -> bytes | None:
    """Remove the body that belongs to the head, or return None while it is not complete.

    ``chunks`` is the caller's, one empty list per request: it keeps what has come of a chunked body
    from call to call, so that a body of many small chunks is not read over and over.
    """
    if "chunked" in head.headers.get("transfer-encoding", ""):
        return b"".join(chunks) if _take_chunks(buffer, chunks) else None
    length = int(head.headers.get("content-length", "0"))
    if len(buffer) < length:
        return None
    body = bytes(buffer[:length])
    del buffer[:length]
    return body


def _take_chunks(buffer: bytearray, chunks: list[bytes]) -> bool:
    """Move the complete chunks out of the buffer; tell whether the last one was among them."""
    start = 0
    size = -1
    while size and (line_end := buffer.find(b"\r\n", start)) >= 0:
        size = int(buffer[start:line_end].split(b";")[0], 16)
        chunk = line_end + 2
        if len(buffer) < chunk + size + 2:
            size = -1
            break
        chunks.append(bytes(buffer[chunk : chunk + size]))
        start = chunk + size + 2
    del buffer[:start]
    return size == 0


def decode_body(head: Head, body: bytes) -> bytes:
    """Return the body without its content encoding.

    Raises:
        ValueError: gzip that is broken or cut short. (A real 9.5 answers 200 to the latter and
            loses documents; a benchmark had better fail.)
    """
    if head.headers.get("content-encoding", "") not in {"gzip", "x-gzip"}:
        return body
    parts: list[bytes] = []
    while body:
        member = zlib.decompressobj(_GZIP_WINDOW)
        try:
            parts.append(member.decompress(body))
        except zlib.error as error:
            raise ValueError(str(error)) from error
        if not member.eof:
            raise ValueError("the gzip stream ends early")
        body = member.unused_data
    return b"".join(parts)


def answer(head: Head, content: bytes, *, status: str = "200 OK") -> bytes:
    """Return a whole response, with the media type that the request's Accept header asks for."""
    vendor = "vnd.elasticsearch+json" in head.headers.get("accept", "")
    kind = (
        b"application/vnd.elasticsearch+json;compatible-with=9" if vendor else b"application/json"
    )
    return (
        b"HTTP/1.1 %b\r\nX-Elastic-Product: Elasticsearch\r\nContent-Type: %b\r\n"
        b"Content-Length: %d\r\n\r\n%b"
        % (status.encode(), kind, len(content), b"" if head.method == "HEAD" else content)
    )
