"""Where the API is and how to log in, read anew for every request: all of it may be replaced.

A service account's token is renewed by kubelet well before it expires, a CA is rotated, a
kubeconfig is edited: what a file holds now is what counts, and these files are a few kilobytes,
read once in minutes. Kubeconfig files are the exception: to read one takes a process
(`kubeconfig`), so it is done when the file has changed, or its credentials are refused.

Owns: what was read of a kubeconfig. Does not know: connections, TLS.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from shipper import allowed
from shipper.errors import KubeUnavailable
from shipper.kube import kubeconfig
from shipper.kubernetes_config import KubernetesConfig

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_SYSTEM = "the system's certificates"
_HOST, _PORT = "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"


@dataclass(frozen=True, slots=True)
class Tls:
    """How the server's certificate is checked, and which one it is shown.

    Attributes:
        ca: Certificates that it has to be signed by; empty: the system's.
        ca_name: Where those come from, for messages.
        cert: Ours; empty if we have none.
        key: Its key.
        verify: Whether the server's is checked at all.
        server_name: The name that it has to be for, if that is not the URL's.
    """

    ca: str = ""
    ca_name: str = _SYSTEM
    cert: str = ""
    key: str = field(default="", repr=False)
    verify: bool = True
    server_name: str | None = None


@dataclass(frozen=True, slots=True)
class Access:
    """One way to the API.

    Attributes:
        url: Of the server.
        authorization: The header that logs in; empty if none does.
        login: What logs in, for messages; empty if nothing does.
        tls: For an https URL.
        proxy: URL of a proxy on the way, if any.
    """

    url: str
    authorization: str = field(default="", repr=False)
    login: str = ""
    tls: Tls = Tls()
    proxy: str | None = None


def is_configured(settings: KubernetesConfig, environ: Mapping[str, str]) -> bool:
    """Tell whether there is an API to ask: it is configured, or this is a pod of a cluster."""
    if settings.enabled != "auto":
        return settings.enabled
    return bool(settings.url or settings.kubeconfig or environ.get(_HOST))


class AccessReader:
    """Reads how to get to the API, as it is configured.

    Attributes:
        url: Of the server, for messages; empty while it is not known.
    """

    def __init__(
        self,
        settings: KubernetesConfig,
        environ: Mapping[str, str],
        *,
        service_account: Path = SERVICE_ACCOUNT,
    ) -> None:
        """Prepare; no file is read yet."""
        self.url = settings.url or ""
        self._settings = settings
        self._environ = environ
        self._folder = service_account
        self._read_from: bytes | None = None
        self._kubeconfig = kubeconfig.Answer()

    async def read(self) -> Access:
        """Read it.

        Raises:
            KubeUnavailable: Something that is needed is not there, or is not what it should be.
        """
        if self._settings.kubeconfig is not None:
            return self._of_kubeconfig(await self._answer(self._settings.kubeconfig))
        found = self._settings.url or self._url_of_cluster()
        url = self.url = _checked(found, f"{_HOST} and {_PORT}")
        secure = url.startswith("https://")
        authorization, login = self._token(secure=secure)
        return Access(url, authorization, login, self._tls(secure=secure))

    def refused(self) -> None:
        """Take note that the server did not take these credentials."""
        self._read_from = None

    def _url_of_cluster(self) -> str:
        host, port = self._environ.get(_HOST, ""), self._environ.get(_PORT, "")
        if not host or not port:
            raise KubeUnavailable(
                f"this is no pod of a cluster ({_HOST} and {_PORT} are not set): name the API in"
                " kubernetes.url or kubernetes.kubeconfig, or set kubernetes.enabled: false",
                reason="config",
            )
        return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"

    def _token(self, *, secure: bool) -> tuple[str, str]:
        settings, own = self._settings, self._folder / "token"
        if settings.token_file:
            return _bearer(settings.token_file)
        if settings.client_cert_file:
            return "", f"the certificate {settings.client_cert_file}"
        # Unasked, a service account's token goes nowhere where it could be read.
        if settings.url is None or (secure and own.exists()):
            return _bearer(own)
        return "", ""

    def _tls(self, *, secure: bool) -> Tls:
        settings, own = self._settings, self._folder / "ca.crt"
        if not secure:
            return Tls()
        path = settings.ca_file or (own if own.exists() else None)
        cert, key = settings.client_cert_file, settings.client_key_file
        return Tls(
            ca=_text(path, "the CA") if path else "",
            ca_name=str(path or _SYSTEM),
            cert=_text(cert, "the client's certificate") if cert else "",
            key=_text(key, "the client's key") if key else "",
            verify=settings.verify_ssl,
        )

    async def _answer(self, path: Path) -> kubeconfig.Answer:
        content = _text(path, "the kubeconfig").encode()
        if content != self._read_from:
            self._kubeconfig = await kubeconfig.read(path, self._settings.context)
            self._read_from = content
        return self._kubeconfig

    def _of_kubeconfig(self, answer: kubeconfig.Answer) -> Access:
        settings = self._settings
        url = self.url = _checked(answer.url, f"the server in {settings.kubeconfig}")
        authorization, login = answer.authorization, f"kubeconfig {settings.kubeconfig}"
        token_file = settings.token_file or (Path(answer.token_file) if answer.token_file else None)
        if token_file:
            authorization, login = _bearer(token_file)
        return Access(url, authorization, login, _tls_of(answer, settings), answer.proxy)


def _checked(url: str, where: str) -> str:
    """Return a URL that the configuration did not check; it is not quoted: it may hold secrets."""
    try:
        return allowed.kubernetes_url(url)
    except ValueError as error:
        raise KubeUnavailable(f"{where}: {error}", reason="config") from None


def _checked_name(name: str | None, where: str) -> str | None:
    """Return the name that a certificate has to be for; TLS would fail at one that is none."""
    try:
        (name or "").encode("idna")
    except UnicodeError:
        raise KubeUnavailable(f"{where}: must be a host's name", reason="config") from None
    return name


def _tls_of(answer: kubeconfig.Answer, settings: KubernetesConfig) -> Tls:
    ca = settings.ca_file or answer.ca.file
    return Tls(
        ca=_text(ca, "the CA") if ca else answer.ca.text,
        ca_name=str(ca or (settings.kubeconfig if answer.ca.text else _SYSTEM)),
        cert=_part(settings.client_cert_file, answer.cert, what="the client's certificate"),
        key=_part(settings.client_key_file, answer.key, what="the client's key"),
        verify=answer.verify and settings.verify_ssl,
        server_name=_checked_name(answer.server_name, f"tls-server-name in {settings.kubeconfig}"),
    )


def _part(chosen: Path | None, given: kubeconfig.Part, *, what: str) -> str:
    path = chosen or given.file
    return _text(path, what) if path else given.text


def _bearer(path: Path) -> tuple[str, str]:
    token = _text(path, "the token").strip()
    if not token or not token.isascii() or not token.isprintable():
        raise KubeUnavailable(f"{path}: must hold a token, and nothing else", reason="token")
    return f"Bearer {token}", f"the token in {path}"


def _text(path: Path, what: str) -> str:
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise KubeUnavailable(f"{path}: {what} is no text", reason="config") from None
    except OSError as error:
        why = f"{path}: {what} cannot be read: {error.strerror}"
        advice = _ADVICE if path.parent == SERVICE_ACCOUNT else "is it mounted, is the path right?"
        raise KubeUnavailable(f"{why}: {advice}", reason=_reason(what)) from None
    if not text and what != "the token":  # no CA would be that of the system
        raise KubeUnavailable(f"{path}: {what} is empty", reason=_reason(what))
    return text


def _reason(what: str) -> str:
    return {"the token": "token", "the CA": "tls"}.get(what, "config")


_ADVICE = (
    "this pod has no service account's token: give it one (serviceAccountName, and no"
    " automountServiceAccountToken: false), or name kubernetes.token_file"
)
