"""How a command finds a running agent, and asks it.

The agent writes where it listens into its state directory, in a file of its own beside the lock:
`shipper run PATH…` may have taken another port than the usual one. A kill leaves that file behind,
so who answers there is asked which state directory it has.

Owns: the file.
"""

from __future__ import annotations

import contextlib
import http.client
import os
from pathlib import Path
from urllib.parse import urlsplit

from shipper.allowed import listen_address
from shipper.config import Config, ServerConfig
from shipper.errors import ConfigError, ShipperError
from shipper.ops.status import Status, decode

_FILE = "server"
_MAX_URL_BYTES = 1000
_TIMEOUT_SECS = 10.0
_OK = 200


def announce(state_dir: Path, url: str) -> None:
    """Write where the agent listens; an empty URL removes what an earlier one has written."""
    path = state_dir / _FILE
    with contextlib.suppress(OSError):  # a full disk: `--listen` is left to whoever asks
        path.unlink(missing_ok=True)
        if url:
            descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(f"{url}\n")


def find(config: Config | None, state_dir: Path | None, *, listen: str | None) -> str:
    """Return where to ask the agent that the command line means.

    Args:
        config: Its configuration, if that is named.
        state_dir: Its state directory, if that is named.
        listen: Its address and port, if they are named: then nothing else counts.

    Raises:
        ShipperError: It says nowhere that it listens.
    """
    if listen is not None:
        return _url_of(listen)
    directory = state_dir or (config.state_dir if config else None)
    url = _announced(directory) if directory else ""
    if url:
        return url
    if config is not None and not config.server.enabled:
        raise ShipperError(
            "the agent cannot be asked: server.enabled is false. Set it to true, and restart it"
        )
    if directory is not None and config is None:
        raise ShipperError(
            f"no agent is running on {directory}, or it cannot be asked (`--listen off`, `--once`):"
            " look for it with `ps`, or start one with `shipper run`"
        )
    return _url_of((config.server if config else ServerConfig()).listen)


def ask(url: str, *, state_dir: Path | None = None) -> Status:
    """Ask the agent that listens there how it does.

    Args:
        url: Where it listens.
        state_dir: Whose agent it has to be; None for any.

    Raises:
        ShipperError: Nothing answers there, or not the one that was meant.
    """
    status = decode(_answer(url, "/status", of=state_dir))
    if state_dir is not None and Path(status.state_dir).resolve() != state_dir.resolve():
        raise ShipperError(
            f"no agent is running on {state_dir}: the one at {url} works on {status.state_dir}"
        )
    return status


def alive(url: str) -> str:
    """Ask whether the agent that listens there is alive, and return its answer.

    Raises:
        ShipperError: Nothing answers there, or not in time.
    """
    return _answer(url, "/livez").decode(errors="replace")


def _answer(url: str, path: str, *, of: Path | None = None) -> bytes:
    try:
        return _get(url, path)
    except ConnectionRefusedError as error:
        where = f" on {of}" if of else ""
        raise ShipperError(
            f"no agent is running{where}: nothing listens at {url}. Start one with `shipper run`,"
            " or say which is meant: --config FILE, --state-dir DIR or --listen ADDRESS:PORT"
        ) from error
    except (OSError, http.client.HTTPException) as error:
        why = str(error) or type(error).__name__
        raise ShipperError(f"the agent at {url} does not answer: {why}") from error


def _announced(state_dir: Path) -> str:
    try:
        with (state_dir / _FILE).open() as file:
            return file.read(_MAX_URL_BYTES).strip()
    except OSError:  # no such file; or not for this user, who may still ask the server
        return ""


def _url_of(listen: str) -> str:
    try:
        host, _, port = listen_address(listen).rpartition(":")
    except ValueError as error:
        raise ConfigError(f"--listen: {error}") from error
    here = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # all of its addresses: ask here
    bare = host.strip("[]")
    address = here.get(bare, bare)
    return f"http://[{address}]:{port}" if ":" in address else f"http://{address}:{port}"


def _get(url: str, path: str) -> bytes:
    # Not urllib: it would ask a proxy.
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=_TIMEOUT_SECS)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read()
    finally:
        connection.close()
    if answer.status != _OK:
        raise ShipperError(f"{url} answered {answer.status} to GET {path}: that is no shipper")
    return body
