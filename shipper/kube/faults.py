"""What is wrong with the API or the way to it, in words that say what to do.

Each message names the server, the file that matters, and the remedy; it says the same as long as
the fault is the same, so that it is logged once. No secret is in it.
"""

from __future__ import annotations

import base64
import binascii
import os
import socket
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import aiohttp
import orjson

from shipper.errors import KubeUnavailable
from shipper.kube.access import Access
from shipper.kube.stream import retry_after_of

RULES = {
    "pods": '{apiGroups: [""], resources: ["pods"], verbs: ["list", "watch"]}',
    "namespaces": '{apiGroups: [""], resources: ["namespaces"], verbs: ["get"]}',
}
"""By resource, the RBAC rule that shipper needs."""

_REASONS = {401: "unauthorized", 403: "forbidden", 404: "missing", 410: "expired", 429: "throttled"}
_SERVER_ERRORS = 500
_SHOWN = 200
_NOBODY = "system:anonymous"


def refused(
    access: Access, resource: str, *, status: int, headers: Mapping[str, str], body: bytes
) -> KubeUnavailable:
    """Return the fault of an answer that is not 200."""
    answer = _status_of(body)
    said = str(answer.get("message") or body[:_SHOWN].decode(errors="replace").strip())
    after = headers.get("Retry-After", "").strip()
    reason = _REASONS.get(status, "server" if status >= _SERVER_ERRORS else "refused")
    advice = _advice(access, resource, status=status, said=said)
    return KubeUnavailable(
        f"{access.url} answered {status}: {said}{advice}",
        reason=reason,
        retry_after_secs=float(after) if after.isdecimal() else retry_after_of(answer),
        relist=reason == "expired",
    )


def no_answer(access: Access, error: Exception, *, certificate: str = "") -> KubeUnavailable:
    """Return the fault of a connection that was not made, or broke.

    Args:
        access: Where to.
        error: What the library said.
        certificate: Of a server that is not trusted, what its certificate says.
    """
    url = access.url
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return KubeUnavailable(_untrusted(access, error, certificate=certificate), reason="tls")
    if isinstance(error, aiohttp.ClientSSLError):
        return KubeUnavailable(
            f"{url}: TLS failed: {_words(error.os_error)}: does TLS begin at this port? If not, its"
            " URL begins with http://",
            reason="tls",
        )
    if isinstance(error, aiohttp.ClientConnectorError):
        return _no_connection(access, error)
    if isinstance(error, TimeoutError):
        return KubeUnavailable(
            f"{url}: no answer in time: is it overloaded, or a proxy on the way?", reason="timeout"
        )
    words = _words(error)
    return KubeUnavailable(f"{url}: the connection broke: {words}{_hint(access)}", reason="cut")


def _no_connection(access: Access, error: aiohttp.ClientConnectorError) -> KubeUnavailable:
    host = f"{error.host}:{error.port}"
    if isinstance(error.os_error, socket.gaierror):
        return KubeUnavailable(
            f"{access.url}: no address is known of {error.host} ({error.os_error.strerror}): is the"
            " name right, does DNS work here? A pod in the host's network needs dnsPolicy:"
            " ClusterFirstWithHostNet; kubernetes.url may name an address",
            reason="dns",
        )
    number = error.os_error.errno  # asyncio's own words say no more than the address
    words = os.strerror(number) if number else _words(error.os_error)
    return KubeUnavailable(
        f"{access.url}: no connection to {host}: {words}: is the API server running, is this its"
        " address?",
        reason="connect",
    )


def _untrusted(
    access: Access, error: aiohttp.ClientConnectorCertificateError, *, certificate: str
) -> str:
    cause = getattr(error.certificate_error, "verify_message", "") or str(error.certificate_error)
    shown = f" ({certificate})" if certificate else ""
    return (
        f"{access.url}: its certificate is not trusted: {cause}{shown}: checked against"
        f" {access.tls.ca_name}; name its issuer's certificate in kubernetes.ca_file, and one of"
        " its names in kubernetes.url"
    )


def _advice(access: Access, resource: str, *, status: int, said: str) -> str:
    reason = _REASONS.get(status)
    if reason == "unauthorized":
        if not access.login:
            return ": nothing logs in: name kubernetes.token_file, or kubernetes.client_cert_file"
        expiry = _expiry(access.authorization)
        return f": it does not take {access.login}{expiry}: put a valid one there, it is read again"
    if reason == "forbidden":
        rule = f"a ClusterRole with this rule: {RULES[resource]}"
        if not access.login or _NOBODY in said:  # that user is whoever can reach the server
            return f": nothing logs in: name kubernetes.token_file, of an account that has {rule}"
        return f": bind to that user {rule}"
    if reason == "missing":
        return ": is this the API of Kubernetes? The URL goes without /api"
    if "HTTPS" in said:
        return ": its URL begins with https://"
    return ""


def _expiry(authorization: str) -> str:
    """Say when a token expires, if it is one that says that."""
    try:
        payload = authorization.split(".")[1]
        expires = orjson.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["exp"]
        moment = datetime.fromtimestamp(expires, UTC)
    except (IndexError, KeyError, TypeError, ValueError, OverflowError, OSError, binascii.Error):
        return ""
    verb = "expired" if moment < datetime.now(UTC) else "is valid until"
    return f", which {verb} {moment:%Y-%m-%dT%H:%M:%SZ}"


def _status_of(body: bytes) -> dict[str, Any]:
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return answer if isinstance(answer, dict) else {}


def _words(error: Exception) -> str:
    if isinstance(error, aiohttp.ClientHttpProxyError):  # its own words hold the proxy's password
        return f"the proxy answered {error.status} {error.message}"
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _hint(access: Access) -> str:
    is_plain = access.url.startswith("http:")
    return " (if TLS begins at this port, its URL begins with https://)" if is_plain else ""
