"""Certificates of an authority of our own, made by openssl."""

import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path

_LEAF = "subjectAltName=IP:127.0.0.1,DNS:localhost\nbasicConstraints=CA:FALSE\n"
_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


@dataclass(frozen=True, slots=True)
class Authority:
    """A directory with the authority's certificate and a server's, which it has signed."""

    folder: Path

    @property
    def ca_file(self) -> Path:
        """What a client has to trust."""
        return self.folder / "ca.pem"

    def server_context(self) -> ssl.SSLContext:
        """TLS as a server on 127.0.0.1 does it."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.folder / "server.pem", self.folder / "server.key")
        return context


def make_authority(folder: Path) -> Authority:
    """Make an authority and a certificate for 127.0.0.1."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "leaf.conf").write_text(_LEAF)
    usage = ("-addext", "keyUsage=critical,keyCertSign,cRLSign")
    _openssl(
        folder,
        *("req", "-x509", *_KEY, "-days", "2", "-subj", "/CN=test authority", *usage),
        *("-keyout", "ca.key", "-out", "ca.pem"),
    )
    _openssl(
        folder, "req", *_KEY, "-subj", "/CN=server", "-keyout", "server.key", "-out", "server.csr"
    )
    _openssl(
        folder,
        *("x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key"),
        *("-CAcreateserial", "-days", "2", "-extfile", "leaf.conf", "-out", "server.pem"),
    )
    return Authority(folder)


def _openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)
