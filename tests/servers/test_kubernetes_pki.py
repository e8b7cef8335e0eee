"""The certificates of the clusters that tests start."""

import socket
import ssl
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

from tests.servers.kubernetes_pki import Pki


def test_certificates_are_taken_by_a_strict_client(tmp_path: Path) -> None:
    """The server's certificate is trusted where RFC 5280 is held to: Python does since 3.13."""
    pki = Pki(tmp_path / "pki")
    pki.make("IP:127.0.0.1")
    there = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    there.load_cert_chain(pki.folder / "server.crt", pki.folder / "server.key")
    here = ssl.create_default_context(cafile=str(pki.ca_file))
    here.verify_flags |= ssl.VERIFY_X509_STRICT
    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor(1) as thread:
        served = thread.submit(lambda: there.wrap_socket(server.accept()[0], server_side=True))
        plain = socket.create_connection(server.getsockname(), timeout=10)
        with closing(here.wrap_socket(plain, server_hostname="127.0.0.1")) as secure:
            assert ("IP Address", "127.0.0.1") in (secure.getpeercert() or {})["subjectAltName"]
        served.result().close()
