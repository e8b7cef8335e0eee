"""The connections to one Elasticsearch: TLS, credentials, and bounds on what it may answer.

The node of elastic_transport is used below its client and transport: those check the product, set
media types that older servers refuse, and parse answers that need no parsing.

Owns: nothing lasting; what it makes belongs to its caller. Secrets are read from their files for
each request (they may be rotated), and stand in no message.
"""

from __future__ import annotations

import asyncio
import base64
import ssl
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from elastic_transport import AiohttpHttpNode, NodeConfig
from pydantic import SecretStr

from shipper.config import ElasticsearchConfig
from shipper.errors import SinkUnavailable

_REDIRECTS = range(300, 400)
_TOO_LARGE = 413


class BoundedNode(AiohttpHttpNode):
    """elastic_transport's node, with a bound on what a server may answer, and no redirects."""

    def __init__(self, config: NodeConfig, *, max_response_bytes: int) -> None:
        """Prepare; connections are opened by requests."""
        super().__init__(config)
        self._max_response_bytes = max_response_bytes

    def _create_aiohttp_session(self) -> None:
        limit = self._max_response_bytes

        class Bounded(aiohttp.ClientResponse):
            async def start(self, connection: Any) -> aiohttp.ClientResponse:  # noqa: ANN401  # its own type is private
                protocol = connection.protocol
                await super().start(connection)
                if self.status in _REDIRECTS:  # a POST would be followed by a GET without a body
                    place = self.headers.get("location", "nowhere")
                    raise aiohttp.ClientError(
                        f"{self.status}, a redirect to {place}: it is not followed, name it in the"
                        " URL if it is right"
                    )
                if self.status == _TOO_LARGE:  # 5 and 6 answer the next request on it wrongly
                    protocol.force_close() if self.connection else protocol.close()
                return self

            async def read(self) -> bytes:
                try:
                    await self.content.readexactly(limit + 1)
                except asyncio.IncompleteReadError as end:
                    return end.partial
                raise aiohttp.ClientPayloadError(f"the answer is longer than {limit} bytes")

        self._loop = asyncio.get_running_loop()
        self.session = aiohttp.ClientSession(
            headers=self.headers,
            skip_auto_headers=("accept", "accept-encoding", "user-agent"),
            cookie_jar=aiohttp.DummyCookieJar(),
            response_class=Bounded,
            connector=aiohttp.TCPConnector(
                limit_per_host=self._connections_per_node, ssl=self._ssl_context or False
            ),
        )


def connect(settings: ElasticsearchConfig, connections: int) -> BoundedNode:
    """Return a node with up to so many connections, none of them open yet.

    Raises:
        SinkUnavailable: ca_file cannot be used.
    """
    url = urlsplit(settings.url)
    config = NodeConfig(
        scheme=url.scheme,
        host=url.hostname or "",
        port=url.port or (443 if url.scheme == "https" else 80),
        path_prefix=url.path,
        connections_per_node=connections,
        request_timeout=settings.request_timeout_secs,
        verify_certs=settings.verify_ssl,
        ssl_show_warn=False,
        ssl_context=_ssl_context(settings) if url.scheme == "https" else None,
    )
    return BoundedNode(config, max_response_bytes=settings.max_response_bytes)


def authorization(settings: ElasticsearchConfig) -> dict[str, str]:
    """Return the header that logs in; none where nothing is configured.

    Raises:
        SinkUnavailable: The file of a secret cannot be read, or holds none.
    """
    key = _secret(settings.api_key_file, settings.api_key)
    if key:
        return {"authorization": f"ApiKey {key}"}
    if settings.username is None:
        return {}
    password = _secret(settings.password_file, settings.password)
    pair = base64.b64encode(f"{settings.username}:{password}".encode()).decode()
    return {"authorization": f"Basic {pair}"}


def _secret(path: Path | None, given: SecretStr | None) -> str:
    if path is None:
        return given.get_secret_value() if given else ""
    try:
        secret = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8"
        raise SinkUnavailable(f"{path}: the secret cannot be read: {reason}") from None
    if not secret or not secret.isprintable():
        raise SinkUnavailable(f"{path}: must hold the secret, in one line, and nothing else")
    return secret


def _ssl_context(settings: ElasticsearchConfig) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=settings.ca_file)
    except OSError as error:
        raise SinkUnavailable(
            f"output.elasticsearch.ca_file {settings.ca_file} cannot be used: {error}"
        ) from error
    if not settings.verify_ssl:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
