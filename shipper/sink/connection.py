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
from shipper.resolve import Resolver

_REDIRECTS = range(300, 400)
_TOO_LARGE = 413
_SECRETS = frozenset(("username", "password", "api_key"))


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
                limit_per_host=self._connections_per_node,
                ssl=self._ssl_context or False,
                resolver=Resolver(),  # a silent name server must not hold up the agent's end
            ),
        )


def connect(settings: ElasticsearchConfig, connections: int) -> BoundedNode:
    """Return a node with up to so many connections, none of them open yet.

    Raises:
        SinkUnavailable: The issuers' file cannot be used, or not be looked for.
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
    if settings.access_dir is not None:
        return _login_of(settings.access_dir)
    key = _secret(settings.api_key_file, settings.api_key)
    password = _secret(settings.password_file, settings.password)
    return _header(settings.username or "", password, key=key)


def ca_of(settings: ElasticsearchConfig) -> Path | None:
    """Return the file with the issuers that are trusted; None for those of the system.

    Raises:
        SinkUnavailable: Whether the directory holds one cannot be seen.
    """
    folder = settings.access_dir
    if folder is None:
        return settings.ca_file
    try:
        (folder / "ca.crt").stat()
    except FileNotFoundError:
        return settings.ca_file
    except OSError as error:
        raise _unreadable(folder, error) from None
    return folder / "ca.crt"


def _login_of(folder: Path) -> dict[str, str]:
    """Log in with what is there: the Secret that is mounted may be optional, or come later."""
    try:
        names = {path.name for path in folder.iterdir()} & _SECRETS
    except OSError as error:
        raise _unreadable(folder, error) from None
    if names not in (set(), {"api_key"}, {"username", "password"}):
        raise SinkUnavailable(
            f"{folder}: holds {' and '.join(sorted(names))}: it must be username and password,"
            " or api_key alone, or nothing"
        )
    found = dict.fromkeys(_SECRETS, "") | {name: _secret(folder / name, None) for name in names}
    return _header(found["username"], found["password"], key=found["api_key"])


def _unreadable(folder: Path, error: OSError) -> SinkUnavailable:
    return SinkUnavailable(f"{folder}: access_dir cannot be read: {error.strerror}")


def _header(username: str, password: str, *, key: str) -> dict[str, str]:
    if key:
        return {"authorization": f"ApiKey {key}"}
    if not username:
        return {}
    pair = base64.b64encode(f"{username}:{password}".encode()).decode()
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
    ca_file = ca_of(settings)
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        key = "access_dir" if settings.access_dir else "ca_file"
        raise SinkUnavailable(
            f"output.elasticsearch.{key}: {ca_file} cannot be used: {error}"
        ) from error
    if not settings.verify_ssl:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
