"""What is said of a certificate that is not trusted."""

from pathlib import Path

from tests.fakes.certificates import Authority, make_authority
from tests.kube.attempts import attempt


def test_ca_is_read_again(authority: Authority, tmp_path: Path) -> None:
    """A CA that was replaced counts from the next try on."""
    other = make_authority(tmp_path / "other")
    ca_file = tmp_path / "ca.crt"
    ca_file.write_bytes(other.ca_file.read_bytes())
    told = attempt(
        tls=authority.server_context(),
        url="https://127.0.0.1:PORT",
        ca_file=ca_file,
        mend=lambda _: ca_file.write_bytes(authority.ca_file.read_bytes()),
    )
    for text in (str(ca_file), "IP Address:127.0.0.1", "test authority", "valid until"):
        assert text in told.concern


def test_certificate_of_nobody_known_is_refused(authority: Authority) -> None:
    """Without its CA, a server's certificate is checked against the system's, and refused."""
    told = attempt(tls=authority.server_context(), url="https://127.0.0.1:PORT")
    assert "the system's certificates" in told.concern
    assert "kubernetes.ca_file" in told.concern
    told = attempt(tls=authority.server_context(), url="https://127.0.0.1:PORT", verify_ssl=False)
    assert told.concern == ""
