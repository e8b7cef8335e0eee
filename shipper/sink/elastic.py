"""Sends chunks to Elasticsearch 2 to 9 and OpenSearch as they are: one gzip member, one `_bulk`.

Theory of operation: the server's version, asked for before the first chunk and again after every
request that went wrong (it may have come back as another one), decides on path and encoding. An
answer is judged by its body; a request that gets none, or a garbled one, is to be sent again.

Owns: the connections. Does not know: files of the buffer, waiting, retrying.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import aiohttp
import orjson
from elastic_transport import HttpHeaders, TlsError, TransportError

from shipper.buffer.chunk import decompress
from shipper.config import ElasticsearchConfig
from shipper.errors import SinkRefused, SinkUnavailable
from shipper.sink.bulk import FILTER_PATH, Outcomes, error_of, outcomes_of, redact
from shipper.sink.connection import BoundedNode, authorization, ca_of, connect

_FIRST_TYPELESS = 7
_FIRST_GZIP = 5
_OLD_TYPE = "fluentd"
"""The type that Fluentd's plugin used; versions before 7 want one."""
_OK = 200
_LOG_IN_FAILED = 401
_TOO_LARGE = 413
_ASK_AGAIN = frozenset((408, 425, 429))
_SERVER_ERRORS = 500
_CLOSED_FOR_SIZE = 3
"""Elasticsearch 2 closes the connection on a body that is too large, 9 while it is being sent; so
does a server that restarts. After so many in a row, each with `GET /` answered before it, it is the
size."""


@dataclass(frozen=True, slots=True)
class _Dialect:
    """How this server wants its requests.

    Attributes:
        target: Path and query.
        gzip: Whether it reads gzip.
        may_refuse_gzip: It does so by closing the connection, unless it is configured to read it.
    """

    target: str
    gzip: bool
    may_refuse_gzip: bool


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    body: bytes
    retry_after: str | None


class Elasticsearch:
    """One Elasticsearch or OpenSearch endpoint."""

    def __init__(self, settings: ElasticsearchConfig, *, connections: int) -> None:
        """Prepare; nothing is sent and no file is read before the first call."""
        self._settings = settings
        self._connections = connections
        self._node: BoundedNode | None = None
        self._dialect: _Dialect | None = None
        self._closes = 0
        self._has_answered = False

    async def check(self) -> None:
        """Ask the server for its version, which decides how chunks are sent.

        Raises:
            SinkUnavailable: It does not answer.
            SinkRefused: It does not know these credentials.
        """
        await self._ask()

    async def send(self, data: bytes, documents: int) -> Outcomes:
        """Index a chunk.

        Args:
            data: The chunk's file.
            documents: How many documents it holds.

        Raises:
            SinkUnavailable: It has to be sent again (or split, where it is too large).
            SinkRefused: The request as a whole is refused.
        """
        dialect = self._dialect or await self._ask()
        headers = {"content-type": "application/x-ndjson", "accept": "application/json"}
        if dialect.gzip:
            headers["content-encoding"] = "gzip"
        body = data if dialect.gzip else await asyncio.to_thread(decompress, data)
        try:
            answer = await self._request("POST", dialect.target, body=body, headers=headers)
        except SinkUnavailable as error:
            self._dialect = None
            if _was_closed(error):
                raise self._closed(error, dialect) from error
            raise
        self._closes = 0
        return self._judge(answer, documents)

    async def close(self) -> None:
        """Close the connections; the next call opens new ones."""
        node, self._node, self._dialect = self._node, None, None
        if node is not None:
            await node.close()

    async def _ask(self) -> _Dialect:
        answer = await self._request("GET", "/", body=None, headers={"accept": "application/json"})
        if answer.status == _LOG_IN_FAILED:
            raise SinkRefused(self._explain(answer), status=answer.status)
        if answer.status in _ASK_AGAIN or answer.status >= _SERVER_ERRORS:
            raise self._unavailable(answer)
        # 403, 404, 405: it may be asked for nothing but _bulk. Then it is taken for a new one.
        self._dialect = dialect = self._dialect_of(_major(answer.body))
        return dialect

    def _judge(self, answer: _Answer, documents: int) -> Outcomes:
        if answer.status == _OK:
            outcomes = outcomes_of(answer.body, documents)
            if outcomes is None:
                self._dialect = None
                said = redact(answer.body[:200].decode(errors="replace")) or "nothing"
                raise SinkUnavailable(
                    f"{self._settings.url} answered 200, but not with one item for each of"
                    f" {documents} documents (is it an Elasticsearch?): {said}"
                )
            return outcomes
        if answer.status in {_TOO_LARGE, *_ASK_AGAIN} or answer.status >= _SERVER_ERRORS:
            raise self._unavailable(answer)
        self._dialect = None  # refused by another version than the one that was asked, perhaps
        raise SinkRefused(self._explain(answer), status=answer.status)

    async def _request(
        self, method: str, target: str, *, body: bytes | None, headers: dict[str, str]
    ) -> _Answer:
        if self._node is None:
            self._node = connect(self._settings, self._connections)
        headers |= authorization(self._settings)
        try:
            meta, answer = await self._node.perform_request(
                method, target, body=body, headers=HttpHeaders(headers)
            )
        except TransportError as error:
            _let_go_of_frames(error)
            if isinstance(error, TlsError):
                await self.close()  # the next one reads ca_file anew
            raise self._no_answer(error) from error  # in no variable: its frame would hold it
        self._has_answered = True
        return _Answer(meta.status, answer, meta.headers.get("retry-after"))

    def _no_answer(self, error: TransportError) -> SinkUnavailable:
        settings = self._settings
        cause = next(iter(error.errors), error)
        if isinstance(cause, TimeoutError):
            secs = settings.request_timeout_secs
            return SinkUnavailable(
                f"{settings.url}: no answer within {secs:g} s"
                " (output.elasticsearch.request_timeout_secs)"
            )
        if isinstance(error, TlsError):
            advice = self._tls_advice(cause)
            return SinkUnavailable(f"{settings.url}: TLS failed: {cause}: {advice}")
        if isinstance(cause, aiohttp.ClientConnectorError):
            words = cause.os_error.strerror or str(cause)
            return SinkUnavailable(f"{settings.url}: no connection: {words}")
        words = redact(str(cause)) or type(cause).__name__
        return SinkUnavailable(f"{settings.url}: no answer: {words}{self._hint(cause)}")

    def _hint(self, cause: Exception) -> str:
        new = self._settings.url.startswith("http:") and not self._has_answered
        if new and isinstance(cause, aiohttp.ServerDisconnectedError | aiohttp.ClientResponseError):
            return " (if TLS begins at this port, its URL begins with https://)"
        return ""

    def _tls_advice(self, cause: Exception) -> str:
        if not isinstance(cause, aiohttp.ClientConnectorCertificateError):
            return "does TLS begin at this port? If not, its URL begins with http://"
        settings = self._settings
        known = ca_of(settings) or "the system's certificates"
        advice = "name its issuer's certificate in output.elasticsearch.ca_file"
        if settings.access_dir:
            advice = f"put its issuer's certificate into {settings.access_dir}/ca.crt"
        return f"its certificate was checked against {known}; {advice}"

    def _closed(self, error: SinkUnavailable, dialect: _Dialect) -> SinkUnavailable:
        if dialect.may_refuse_gzip:
            return SinkUnavailable(
                f"{error} (this version reads gzip only with http.compression: true; see"
                " output.elasticsearch.compression)"
            )
        self._closes += 1
        too_large = self._closes >= _CLOSED_FOR_SIZE
        if too_large:
            self._closes = 0
        return SinkUnavailable(str(error), too_large=too_large)

    def _dialect_of(self, major: int | None) -> _Dialect:
        settings = self._settings
        old_type = _OLD_TYPE if major is not None and major < _FIRST_TYPELESS else "none"
        name = old_type if settings.document_type == "auto" else settings.document_type
        # The index of the path is only a default; each action line names its own (I8).
        path = "/_bulk" if name == "none" else f"/shipper/{name}/_bulk"
        reads_gzip = major is None or major >= _FIRST_GZIP
        gzip = reads_gzip if settings.compression == "auto" else settings.compression == "gzip"
        return _Dialect(f"{path}?filter_path={FILTER_PATH}", gzip, gzip and not reads_gzip)

    def _unavailable(self, answer: _Answer) -> SinkUnavailable:
        return SinkUnavailable(
            self._explain(answer),
            status=answer.status,
            retry_after_secs=_secs(answer.retry_after),
            too_large=answer.status == _TOO_LARGE,
        )

    def _explain(self, answer: _Answer) -> str:
        url, status = self._settings.url, answer.status
        login = "username, password_file and api_key_file"
        if self._settings.access_dir:
            login = f"username and password, or api_key, in {self._settings.access_dir}"
        hint = f" (see {login})" if status == _LOG_IN_FAILED else ""
        return f"{url} answered {status}{hint}: {error_of(answer.body)}"


def _was_closed(error: SinkUnavailable) -> bool:
    cause = error.__cause__
    errors = cause.errors if isinstance(cause, TransportError) else ()
    # Closed in the place of an answer, or while the body was still being written.
    closed = aiohttp.ServerDisconnectedError | aiohttp.ClientOSError | ConnectionResetError
    never_open = aiohttp.ClientConnectorError
    return any(isinstance(e, closed) and not isinstance(e, never_open) for e in errors)


def _major(answer: bytes) -> int | None:
    """Return the major version of an Elasticsearch; None for all that speaks like a new one."""
    try:
        version = orjson.loads(answer)["version"]
        return int(version["number"].partition(".")[0]) if "distribution" not in version else None
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def _let_go_of_frames(error: BaseException) -> None:
    """Cut the tracebacks of a library's error and of what led to it.

    Their frames hold the chunk and each other: until the garbage collector came by, each failed try
    would keep megabytes.
    """
    cause: BaseException | None = error
    while cause is not None:
        cause.__traceback__ = None
        cause = cause.__cause__ or cause.__context__


def _secs(retry_after: str | None) -> float | None:
    """Return a Retry-After of seconds; one that is a date counts as none."""
    return float(retry_after) if retry_after and retry_after.strip().isdecimal() else None
