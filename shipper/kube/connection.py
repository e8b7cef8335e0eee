"""Requests to the API, and every way in which one can fail turned into one kind of fault.

Theory of operation: how to get there is read for each request (`access`), so a renewed token counts
at once; when certificates have changed, connections are made anew. Bodies are read as they come, by
the caller: nothing makes objects of them here.

Owns: the connections. Does not know: what is asked, waiting, retrying.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp

from shipper import __version__
from shipper.errors import KubeUnavailable
from shipper.kube.access import Access, AccessReader, Tls
from shipper.kube.certificate import describe
from shipper.kube.faults import no_answer, refused
from shipper.resolve import Resolver

_CONNECT_SECS = 10.0
_HEADERS_SECS = 15.0
"""From the request to the beginning of the answer, a watch's among them."""
_ERROR_BYTES = 64 << 10
_OK, _UNAUTHORIZED = 200, 401
_KEEPALIVE = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3}
"""A peer that is gone without a word is noticed within a minute, where the system can say so; and
what stands between forgets no connection that is silent for long."""


class Connection:
    """The way to one API."""

    def __init__(self, reader: AccessReader) -> None:
        """Prepare; nothing is read or opened before the first request."""
        self._reader = reader
        self._session: aiohttp.ClientSession | None = None
        self._tls: Tls | None = None
        self._distrusted = ("", "")

    @contextlib.asynccontextmanager
    async def get(
        self, path: str, query: Mapping[str, str], *, silent_secs: float
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Ask for something; the answer is there when its status is 200.

        Args:
            path: What, below the server's URL.
            query: How.
            silent_secs: How long the answer may pause.

        Raises:
            KubeUnavailable: There is no answer, or another one, or it breaks off.
        """
        access, session = await self._prepare()
        timeout = aiohttp.ClientTimeout(
            total=None, connect=_CONNECT_SECS, sock_connect=_CONNECT_SECS, sock_read=silent_secs
        )
        headers = {"Authorization": access.authorization} if access.authorization else {}
        try:
            async with asyncio.timeout(_CONNECT_SECS + _HEADERS_SECS):
                with _sound(access.url):
                    response = await session.get(
                        access.url + path,
                        params=query,
                        headers=headers,
                        timeout=timeout,
                        allow_redirects=False,
                        proxy=access.proxy,
                        server_hostname=access.tls.server_name,
                    )
            async with response:
                await self._check(response, access, path=path)
                _keep_alive(response)
                yield response
        except (aiohttp.ClientError, OSError) as error:  # TimeoutError is an OSError
            certificate = await self._certificate(access, error)
            raise no_answer(access, error, certificate=certificate) from None

    def told(self, fault: KubeUnavailable) -> str:
        """Return what is said of a fault, with the server that it is of."""
        url, text = self._reader.url, str(fault)
        return text if url in text else f"{url}: {text}"

    async def close(self) -> None:
        """Close the connections; the next request opens new ones."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _prepare(self) -> tuple[Access, aiohttp.ClientSession]:
        try:
            access = await self._reader.read()
            return access, await self._session_of(access.tls)
        except OSError as error:  # no folder for temporary files, no process for a kubeconfig
            raise KubeUnavailable(
                f"what is needed for a request cannot be had here: {error}: is there room, and a"
                " folder for temporary files that may be written (TMPDIR)?",
                reason="config",
            ) from None

    async def _check(self, response: aiohttp.ClientResponse, access: Access, *, path: str) -> None:
        if response.status == _OK:
            return
        if response.status == _UNAUTHORIZED:
            self._reader.refused()
        raise refused(
            access,
            "namespaces" if "/namespaces/" in path else "pods",
            status=response.status,
            headers=response.headers,
            body=await response.content.read(_ERROR_BYTES),
        )

    async def _session_of(self, tls: Tls) -> aiohttp.ClientSession:
        if self._session is None or tls != self._tls:
            await self.close()
            self._session, self._tls = _session(tls), tls
        return self._session

    async def _certificate(self, access: Access, error: Exception) -> str:
        """Describe a certificate that was not trusted, once for each thing that is wrong."""
        if not isinstance(error, aiohttp.ClientConnectorCertificateError):
            return ""
        if self._distrusted[0] != str(error):
            place = urlsplit(access.url)
            host, port, name = place.hostname or "", place.port or 443, access.tls.server_name
            words = await asyncio.to_thread(describe, host, port, server_name=name)
            self._distrusted = (str(error), words)
        return self._distrusted[1]


@contextlib.contextmanager
def _sound(url: str) -> Iterator[None]:
    """Tell of names that no request can be made of: those of a kubeconfig come unchecked."""
    try:
        yield
    except ValueError as error:
        if isinstance(error, OSError):  # a certificate that is not trusted is both
            raise
        raise KubeUnavailable(
            # Their own words may hold a password of that URL, or a part of it.
            f"{url}: no request can be made: {type(error).__name__}: is the kubeconfig's proxy-url"
            " wrong?",
            reason="config",
        ) from None


def _session(tls: Tls) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        # Connections are made once in minutes: what a name stands for now is what counts.
        connector=aiohttp.TCPConnector(ssl=_context(tls), use_dns_cache=False, resolver=Resolver()),
        headers={"Accept": "application/json", "User-Agent": f"shipper/{__version__}"},
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=True,
    )


def _context(tls: Tls) -> ssl.SSLContext:
    try:
        # Python refuses text beyond ASCII, which comments between certificates have.
        authorities = tls.ca.encode("ascii", "replace").decode()
        context = ssl.create_default_context(cadata=authorities or None)
        # Since 3.13 Python refuses CAs without key identifiers, which clusters have.
        # Source: https://github.com/tomplus/kubernetes_asyncio/issues/349
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        if not tls.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
    except (ssl.SSLError, ValueError) as error:
        raise KubeUnavailable(
            f"{tls.ca_name}: holds no certificates that can be used: {error}", reason="tls"
        ) from None
    if tls.cert:
        _show(context, tls)
    return context


def _show(context: ssl.SSLContext, tls: Tls) -> None:
    """Have the client's certificate shown; Python loads it from files only."""
    with tempfile.TemporaryDirectory() as folder:  # 0700
        cert, key = Path(folder) / "cert", Path(folder) / "key"
        cert.write_text(tls.cert, encoding="utf-8")
        key.write_text(tls.key or tls.cert, encoding="utf-8")
        try:
            context.load_cert_chain(cert, key, password="")  # else OpenSSL asks at the terminal
        except (ssl.SSLError, ValueError) as error:
            raise KubeUnavailable(
                f"the client's certificate for the Kubernetes API cannot be used: {error}: do"
                " client_cert_file and client_key_file belong together, is the key not encrypted?",
                reason="tls",
            ) from None


def _keep_alive(response: aiohttp.ClientResponse) -> None:
    transport = response.connection and response.connection.transport
    plain: socket.socket | None = transport.get_extra_info("socket") if transport else None
    if plain is None:
        return
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE.items():
        if hasattr(socket, name):
            plain.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
