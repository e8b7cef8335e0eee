"""Reads a kubeconfig as kubectl does: contexts, relative paths, data in place, plugins that log in.

Theory of operation: kubernetes_asyncio knows all that, and its import takes 76 MB and more than a
second of CPU time, since it brings a class for every type of the API. So it runs in a process of
its own, this module as a program, which prints what it found and ends.

Owns: nothing lasting. Does not know: connections.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from pathlib import Path

import msgspec

from shipper.errors import KubeUnavailable

_PROGRAM_SECS = 30.0
"""A plugin that logs in may ask a server far away."""


class Part(msgspec.Struct, frozen=True):
    """Something that a kubeconfig names or holds: a file, or its content."""

    path: str = ""
    text: str = ""

    @property
    def file(self) -> Path | None:
        """The file, if it is one."""
        return Path(self.path) if self.path else None


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What a kubeconfig says of its cluster and its user."""

    url: str = ""
    authorization: str = ""
    token_file: str = ""
    ca: Part = Part()
    cert: Part = Part()
    key: Part = Part()
    verify: bool = True
    server_name: str | None = None
    proxy: str | None = None


async def read(path: Path, context: str | None) -> Answer:
    """Read a kubeconfig in a process of its own.

    Raises:
        KubeUnavailable: It cannot be read, or what logs in for it fails.
    """
    program = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", __name__, str(path), *([context] if context else [])),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(_PROGRAM_SECS):
            out, said = await program.communicate()
    except TimeoutError:
        raise _fault(path, f"not read within {_PROGRAM_SECS:g} s") from None
    finally:
        if program.returncode is None:
            program.kill()
            await program.wait()
    if program.returncode:
        last = said.decode(errors="replace").strip().rpartition("\n")[2]
        raise _fault(path, last or f"exit status {program.returncode}")
    try:
        return msgspec.json.decode(out, type=Answer)
    except (msgspec.MsgspecError, UnicodeDecodeError):  # a plugin that says more
        raise _fault(path, "something else writes to its output") from None


def _fault(path: Path, why: str) -> KubeUnavailable:
    return KubeUnavailable(
        f"kubernetes.kubeconfig {path} cannot be used: {why}: does `kubectl --kubeconfig {path}"
        " get nodes` work here?",
        reason="config",
    )


async def _load(path: str, context: str | None) -> Answer:
    from kubernetes_asyncio import client, config  # noqa: PLC0415  # see above

    found = client.Configuration()
    with tempfile.TemporaryDirectory() as folder:
        loader = await config.load_kube_config(
            config_file=path,
            context=context,
            client_configuration=found,
            persist_config=False,
            temp_file_path=folder,
        )
        return Answer(
            url=found.host or "",
            authorization=found.api_key.get("BearerToken", ""),
            token_file=_token_file(path, loader.current_context or {}),
            ca=_part(found.ssl_ca_cert, folder),
            cert=_part(found.cert_file, folder),
            key=_part(found.key_file, folder),
            verify=found.verify_ssl,
            server_name=found.tls_server_name,
            proxy=found.proxy,
        )


def _part(path: str | None, folder: str) -> Part:
    """Return a file by its path, as it may be replaced; data that was in place by its content."""
    if not path:
        return Part()
    if path.startswith(folder):
        return Part(text=Path(path).read_text(encoding="utf-8"))
    return Part(path=path)


def _token_file(path: str, context: dict[str, dict[str, str]]) -> str:
    """Return the file that the user's token is in: the library tells only its content."""
    import yaml  # noqa: PLC0415  # as above

    tree = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    name = context.get("context", {}).get("user")
    users = (each.get("user") or {} for each in tree.get("users") or [] if each["name"] == name)
    user: dict[str, str] = next(users, {})
    given = "" if "token" in user else user.get("tokenFile", "")
    return os.path.normpath(Path(path).parent / given) if given else ""


def main(arguments: list[str]) -> None:
    """Print what a kubeconfig says; what is wrong is the last line of the traceback."""
    context = arguments[1] if len(arguments) > 1 else None
    sys.stdout.buffer.write(msgspec.json.encode(asyncio.run(_load(arguments[0], context))))


if __name__ == "__main__":
    main(sys.argv[1:])
