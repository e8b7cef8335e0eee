"""What the certificate of a server says that was not trusted, for the message about it.

Python tells nothing of a certificate that it has refused, and reads none that it has not checked.
So the server is asked for it again, and then, to have it read, once more with nothing but itself to
trust and no look at the calendar. Nothing is sent over these connections.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Mapping
from typing import Any

_SECS = 5.0
_NO_CHECK_TIME = 0x200000
"""X509_V_FLAG_NO_CHECK_TIME, which Python's ssl has no name for. Source: openssl/x509_vfy.h"""


def describe(host: str, port: int, *, server_name: str | None = None) -> str:
    """Say what a server's certificate is for, who has signed it, and until when it is valid.

    Returns:
        The words, or none if it does not show one.
    """
    name = server_name or host
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusting.check_hostname = False
    trusting.verify_mode = ssl.CERT_NONE
    try:
        shown = _connect(host, port, context=trusting, name=name).der
        again = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        again.check_hostname = False
        again.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | ssl.VerifyFlags(_NO_CHECK_TIME)
        again.load_verify_locations(cadata=shown)
        return _words(_connect(host, port, context=again, name=name).fields)
    except (OSError, ValueError):
        return ""


class _Shown:
    def __init__(self, der: bytes, fields: Mapping[str, Any]) -> None:
        self.der = der
        self.fields = fields


def _connect(host: str, port: int, *, context: ssl.SSLContext, name: str) -> _Shown:
    with (
        socket.create_connection((host, port), _SECS) as plain,
        context.wrap_socket(plain, server_hostname=name) as secure,
    ):
        return _Shown(secure.getpeercert(binary_form=True) or b"", secure.getpeercert() or {})


def _words(fields: Mapping[str, Any]) -> str:
    names = ", ".join(f"{kind}:{name}" for kind, name in fields.get("subjectAltName", ()))
    issuer = ", ".join(f"{key}={value}" for part in fields.get("issuer", ()) for key, value in part)
    return (
        f"its certificate is for {names or 'no name'}, signed by {issuer},"
        f" valid until {fields.get('notAfter')}"
    )
