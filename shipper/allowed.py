"""What values the configuration allows, where a type cannot say it: each returns it, or ValueError.

What is said of a wrong value does not quote it: it may be a secret.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import orjson
from pydantic import SecretStr

OWN_FIELDS = frozenset(
    ("log", "stream", "@timestamp", "attrs", "shipper", "docker", "kubernetes", "tag")
)
"""Fields of a document that static `fields` may not replace."""

_INDEX_PREFIX = re.compile(r"[^\\/*?\"<>|\s,#:.+_-][^\\/*?\"<>|\s,#:]*")
_MAX_PREFIX_BYTES = 200
"""Elasticsearch allows 255 for a name; the date comes behind it."""
_MAX_PORT = 65535


def listen_address(value: str) -> str:
    """Take an IP address and a port."""
    host, _, port = value.rpartition(":")
    try:
        ip_address(host.strip("[]"))
        allowed = port.isdecimal() and int(port) <= _MAX_PORT
    except ValueError:
        allowed = False
    if not allowed:
        raise ValueError("must be IP-ADDRESS:PORT, such as 127.0.0.1:9880 or [::1]:9880")
    return value


def http_url(value: str) -> str:
    """Take a URL without credentials, query and fragment; returns it without its last slash."""
    fault = ValueError("must be a URL such as http://elasticsearch:9200 or https://host/path")
    try:
        url = urlsplit(value)
        host = (url.hostname or "").encode("idna").decode()
        is_plain = not (url.query or url.fragment or re.search(r"\s", value)) and url.port != 0
    except ValueError:  # a port that is none, a host that is none
        raise fault from None
    if not host or not is_plain or url.scheme not in {"http", "https"}:
        raise fault
    if url.username is not None or url.password is not None:
        raise ValueError("must hold no credentials: use username and password_file")
    return urlunsplit((url.scheme, url.netloc, url.path.rstrip("/"), "", ""))


def kubernetes_url(value: str) -> str:
    """Take the URL of a Kubernetes API, as `http_url` does."""
    if "://" not in value:
        raise ValueError("has no scheme: write http:// or https:// before it")
    try:
        return http_url(value)
    except ValueError:
        raise ValueError(
            "must be a URL such as https://10.0.0.1:6443 or http://127.0.0.1:8080, without"
            " credentials: name a token_file, or a client_cert_file"
        ) from None


def index_prefix(value: str) -> str:
    """Take what names of indices may begin with."""
    fits = len(value.encode(errors="replace")) <= _MAX_PREFIX_BYTES and value.isprintable()
    if not fits or value != value.lower() or not _INDEX_PREFIX.fullmatch(value):
        raise ValueError(
            "must be lower case, not begin with . + _ or -, and have no spaces nor any of"
            ' \\/*?"<>|,#: (such as logstash)'
        )
    return value


def document_fields(value: dict[str, Any]) -> dict[str, Any]:
    """Take fields that every document may have; returns them as JSON has them."""
    taken = sorted(OWN_FIELDS & value.keys())
    if taken:
        raise ValueError(f"{', '.join(taken)}: fields of the document itself, choose other names")
    dotted = sorted(name for name in value if "." in name or not name)
    if dotted:
        raise ValueError(f"{dotted}: Elasticsearch 2 refuses dots and empty names, use `_`")
    try:
        plain: dict[str, Any] = orjson.loads(orjson.dumps(value))
    except TypeError as error:  # a number as a key, an integer of more than 64 bits
        raise ValueError(f"must be what JSON can hold: {error}") from None
    return plain


def read_from(value: str) -> str:
    """Take `beginning`, `end`, or an RFC 3339 time; returns a time in UTC."""
    if value in {"beginning", "end"}:
        return value
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise ValueError("must be beginning, end, or a time such as 2026-11-23T10:00:00Z")
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def switch(value: object) -> object:
    """Take `true` and `false` as text, too, as a variable of the environment has them."""
    return value == "true" if value in ("true", "false") else value


def or_none(value: object) -> object:
    """Take an empty text for nothing, such as `${VAR:-}` may be."""
    return None if value == "" else value


def absolute(value: Path) -> Path:
    """Take an absolute path."""
    if not value.is_absolute():
        raise ValueError("must be an absolute path, such as /var/lib/shipper")
    return value


def one_line(value: SecretStr) -> SecretStr:
    """Take a secret that fits into a header."""
    if not value.get_secret_value() or not value.get_secret_value().isprintable():
        raise ValueError("must be one line of text, and not empty")
    return value
