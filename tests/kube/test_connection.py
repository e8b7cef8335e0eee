"""Connections: certificates of both sides, as they are when a request is made."""

import ssl
import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.fakes.certificates import Authority
from tests.kube.attempts import attempt


def test_client_certificate_is_shown(authority: Authority) -> None:
    """A server that wants to see a certificate sees that of the configuration."""
    context = authority.server_context()
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(authority.ca_file)
    told = attempt(
        tls=context,
        url="https://127.0.0.1:PORT",
        ca_file=authority.ca_file,
        client_cert_file=authority.folder / "server.pem",
        client_key_file=authority.folder / "server.key",
    )
    assert told.concern == ""
    told = attempt(tls=context, url="https://127.0.0.1:PORT", ca_file=authority.ca_file)
    assert told.concern != ""


def test_ca_file_without_certificates_is_named(authority: Authority, tmp_path: Path) -> None:
    """A CA file that holds something else is named."""
    path = tmp_path / "ca.crt"
    path.write_text("nothing")
    told = attempt(tls=authority.server_context(), url="https://127.0.0.1:PORT", ca_file=path)
    assert str(path) in told.concern


def test_key_of_another_certificate_is_said(authority: Authority) -> None:
    """A client certificate with another's key is a trouble that is said."""
    told = attempt(
        tls=authority.server_context(),
        url="https://127.0.0.1:PORT",
        client_cert_file=authority.folder / "server.pem",
        client_key_file=authority.folder / "ca.key",
    )
    assert "client_key_file" in told.concern


def test_comments_between_certificates_may_be_in_any_script(
    authority: Authority, tmp_path: Path
) -> None:
    """A bundle that names its authorities as they are written at home is a good one."""
    path = tmp_path / "ca.crt"
    path.write_text("# F\u0151tan\u00fas\u00edtv\u00e1ny\n" + authority.ca_file.read_text())
    told = attempt(tls=authority.server_context(), url="https://127.0.0.1:PORT", ca_file=path)
    assert told.concern == ""


def test_empty_ca_file_is_not_the_systems(authority: Authority, tmp_path: Path) -> None:
    """A CA file that is there and empty trusts nobody, and is named."""
    path = tmp_path / "ca.crt"
    path.write_text("")
    told = attempt(tls=authority.server_context(), url="https://127.0.0.1:PORT", ca_file=path)
    assert f"{path}: the CA is empty" in told.concern


def test_encrypted_key_is_a_trouble_and_no_question(authority: Authority, tmp_path: Path) -> None:
    """A key with a pass phrase ends nothing, and nobody is asked for that at a terminal."""
    key = tmp_path / "key"
    given = ["-in", str(authority.folder / "server.key"), "-out", str(key)]
    subprocess.run(["openssl", "pkey", "-aes256", "-passout", "pass:word", *given], check=True)
    told = attempt(
        tls=authority.server_context(),
        url="https://127.0.0.1:PORT",
        client_cert_file=authority.folder / "server.pem",
        client_key_file=key,
    )
    assert "is the key not encrypted" in told.concern


def test_no_folder_for_temporary_files_ends_nothing(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nothing may be written, a client's certificate cannot be shown: that is a trouble."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    told = attempt(
        tls=authority.server_context(),
        url="https://127.0.0.1:PORT",
        client_cert_file=authority.folder / "server.pem",
        client_key_file=authority.folder / "server.key",
    )
    assert "TMPDIR" in told.concern
