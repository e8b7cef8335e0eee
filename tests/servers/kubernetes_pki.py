"""Certificates, keys and tokens of a cluster of our own, made by openssl.

The certificates have all that RFC 5280 wants of them: since 3.13, Python takes no others.
"""

import base64
import json
import subprocess
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

from tests.servers.process import tool

ISSUER = "https://kubernetes.default.svc.cluster.local"
SECONDS = 30.0
KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
AUTHORITY = """\
[req]
distinguished_name=none
[none]
[authority]
basicConstraints=critical,CA:TRUE
keyUsage=critical,keyCertSign,cRLSign
subjectKeyIdentifier=hash
"""
EXTENSIONS = """\
basicConstraints=CA:FALSE
keyUsage=digitalSignature,keyEncipherment
extendedKeyUsage=serverAuth,clientAuth
subjectKeyIdentifier=hash
authorityKeyIdentifier=keyid:always
"""


@dataclass(frozen=True, slots=True)
class Pki:
    """A folder with an authority, what it has signed, and the key of service account tokens."""

    folder: Path

    @property
    def ca_file(self) -> Path:
        """What a client has to trust."""
        return self.folder / "ca.crt"

    def make(self, names: str) -> None:
        """Makes all of it; the server's certificate is for these names."""
        self.folder.mkdir()
        self.make_authority(names)
        self._openssl("genrsa", "-out", "sa.key", "2048")
        self._openssl("rsa", "-in", "sa.key", "-pubout", "-out", "sa.pub")

    def make_authority(self, names: str) -> None:
        """Makes an authority, in the place of one that there was, and what it signs."""
        (self.folder / "authority").write_text(AUTHORITY, encoding="ascii")
        self._openssl(
            *("req", "-x509", *KEY, "-days", "2", "-subj", f"/CN=test cluster {uuid.uuid4()}"),
            *("-config", "authority", "-extensions", "authority"),
            *("-keyout", "ca.key", "-out", "ca.crt"),
        )
        self.sign("server", "/CN=kube-apiserver", names=names)
        self.sign("admin", "/O=system:masters/CN=test-admin")

    def sign(self, name: str, subject: str, *, names: str = "") -> None:
        """Makes a key and a certificate: `name`.key, `name`.crt."""
        extensions = EXTENSIONS + (f"subjectAltName={names}\n" if names else "")
        (self.folder / "extensions").write_text(extensions, encoding="ascii")
        self._openssl(
            "req", *KEY, "-subj", subject, "-keyout", f"{name}.key", "-out", f"{name}.csr"
        )
        self._openssl(
            *("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.crt", "-CAkey", "ca.key"),
            *("-CAcreateserial", "-days", "2", "-extfile", "extensions", "-out", f"{name}.crt"),
        )

    def token(self, namespace: str, account: str, *, uid: str, seconds: float) -> str:
        """A service account's token, of any life: the API makes none of under ten minutes."""
        now = int(time.time())
        claims = {
            "aud": [ISSUER],
            "iss": ISSUER,
            "iat": now,
            "nbf": min(now, int(now + seconds)),
            "exp": int(now + seconds),
            "jti": str(uuid.uuid4()),
            "sub": f"system:serviceaccount:{namespace}:{account}",
            "kubernetes.io": {
                "namespace": namespace,
                "serviceaccount": {"name": account, "uid": uid},
            },
        }
        parts = ({"alg": "RS256", "typ": "JWT"}, claims)
        message = b".".join(_base64(json.dumps(part).encode()) for part in parts)
        command = ["openssl", "dgst", "-sha256", "-sign", str(self.folder / "sa.key")]
        signed = subprocess.run(command, input=message, stdout=subprocess.PIPE, check=True)
        return (message + b"." + _base64(signed.stdout)).decode()

    def _openssl(self, *arguments: str) -> None:
        tool("openssl", *arguments, seconds=SECONDS, cwd=self.folder)


def _base64(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")
