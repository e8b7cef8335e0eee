"""A stand-in for `python:3.12-slim`, made of this machine's own parts: no registry is needed.

It holds an interpreter in /usr/local, the libraries that it and wheels load, a static busybox as
its shell and commands, and what pip needs here to reach the index: the machine's certificates and
its settings of pip. So the Dockerfile is the users' own, free of all that. What it lacks beside the
real one: Debian's packages and their tools.

It has 3.12 if pyenv has that one, else the interpreter that runs the tests. The tar lies in the
cache; an engine takes it by `import_python`.
"""

import hashlib
import io
import os
import re
import shutil
import ssl
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.servers import packages
from tests.servers.cache import cached
from tests.servers.prerequisites import program
from tests.servers.process import ServerError, tool

WANTED = "3.12"
SECONDS = 60.0
CERTIFICATES = "etc/ssl/certs/ca-certificates.crt"
PIP_SETTINGS = ("index-url", "extra-index-url", "trusted-host", "timeout", "proxy")
LEFT_OUT = {"__pycache__", "test", "idlelib", "turtledemo", "site-packages"}
OFTEN_LOADED = (
    *("libgcc_s.so.1", "libstdc++.so.6"),
    *("libdl.so.2", "libpthread.so.0", "libresolv.so.2", "librt.so.1", "libutil.so.1"),
)
"""By wheels, by the names that libc had for its parts in particular; the real one has them."""
ACCOUNTS = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/nonexistent:/bin/false\n",
    "etc/group": "root:x:0:\nnogroup:x:65534:\n",
}
CHANGES = (
    "ENV PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin",
    "ENV LANG=C.UTF-8",
    'CMD ["python3"]',
)
"""What an image says beside its files, as the real one does."""


@dataclass(frozen=True, slots=True)
class _Interpreter:
    binary: Path
    name: str  # python3.12
    version: str

    @property
    def library(self) -> Path:
        return self.binary.parents[1] / "lib" / self.name

    @property
    def pip(self) -> list[Path]:
        return sorted((self.library / "site-packages").glob("pip*"))


def fetch() -> Path:
    """The image's files as a tar, put together the first time, and when what is in it has changed.

    Raises:
        ServerError: the interpreter has no pip, or a tool failed.
    """
    python, settings = _interpreter(), _pip_settings()
    parts = (Path(__file__).read_bytes(), _certificates().read_bytes(), settings.encode())
    recipe = hashlib.sha256(b"".join(parts)).hexdigest()[:8]
    name = packages.fetch().name.replace("docker-", f"python-image-{python.version}-{recipe}-", 1)
    return cached(name, lambda folder: _make(python, settings, folder / "files.tar")) / "files.tar"


def _make(python: _Interpreter, settings: str, archive: Path) -> None:
    with tarfile.open(archive, "w") as tar:
        _add_commands(tar)
        _add_python(tar, python)
        for path in sorted(_libraries(python)):
            tar.add(path.resolve(), _place(path), filter=_as_root)
        tar.add(_certificates(), CERTIFICATES, filter=_as_root)
        for name, text in {**ACCOUNTS, "etc/pip.conf": settings}.items():
            _add_text(tar, name, text)
        for name, mode in {"tmp": 0o1777, "root": 0o700, "var/tmp": 0o1777}.items():
            _add_folder(tar, name, mode)


def _add_commands(tar: tarfile.TarFile) -> None:
    busybox = packages.path(packages.fetch(), "busybox")
    tar.add(busybox, "bin/busybox", filter=_as_root)
    for command in sorted(set(tool(busybox, "--list", seconds=SECONDS).split()) - {"busybox"}):
        _add_link(tar, f"bin/{command}", "busybox")


def _add_python(tar: tarfile.TarFile, python: _Interpreter) -> None:
    tar.add(python.binary.resolve(), f"usr/local/bin/{python.name}", filter=_as_root)
    for link in ("python", "python3"):
        _add_link(tar, f"usr/local/bin/{link}", python.name)
    place = f"usr/local/lib/{python.name}"
    tar.add(python.library, place, filter=_needed)
    site = f"{place}/site-packages"
    for path in python.pip:
        tar.add(path, f"{site}/{path.name}", filter=_needed)


def _needed(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    name = Path(entry.name).name
    unwanted = name in LEFT_OUT or name.endswith((".a", ".pyc"))
    return None if unwanted else _as_root(entry)


def _as_root(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = "root"
    return entry


def _libraries(python: _Interpreter) -> Iterator[Path]:
    """All that the interpreter and its modules load, with the loader itself."""
    objects = (python.binary, *(python.library / "lib-dynload").glob("*.so"))
    told = "".join(tool("ldd", str(path), seconds=SECONDS) for path in objects)
    known = tool(_ldconfig(), "-p", seconds=SECONDS)
    wanted = "|".join(re.escape(name) for name in OFTEN_LOADED)
    found = {*re.findall(r"(/\S+) \(0x", told), *re.findall(rf"(?:{wanted}) .*=> (/\S+)", known)}
    return (Path(path) for path in found)


def _ldconfig() -> str:
    return shutil.which("ldconfig") or program("/sbin/ldconfig")


def _place(library: Path) -> str:
    """Where the loader looks without a cache: beside libc, but for the loader itself."""
    if library.name.startswith("ld-linux"):
        return str(library).lstrip("/")
    machine = os.uname().machine
    return f"lib/{machine}-linux-gnu/{library.name}"


def _certificates() -> Path:
    """Whom this machine trusts."""
    named = os.environ.get("SSL_CERT_FILE") or ssl.get_default_verify_paths().cafile
    return Path(named or f"/{CERTIFICATES}").resolve()


def _pip_settings() -> str:
    """What this machine tells pip of the index, from its files and its environment."""
    said = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False
    )
    lines = [f"cert = /{CERTIFICATES}"]
    for name in PIP_SETTINGS:
        values = re.findall(rf"^(?:global|:env:)\.{name}='(.*)'$", said.stdout, re.MULTILINE)
        lines += [f"{name} = {values[0]}".replace("\\n", "\n    ")] if values else []
    return "\n".join(("[global]", *lines, ""))


def _add_text(tar: tarfile.TarFile, name: str, text: str) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(text.encode())
    tar.addfile(entry, io.BytesIO(text.encode()))


def _add_folder(tar: tarfile.TarFile, name: str, mode: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode = tarfile.DIRTYPE, mode
    tar.addfile(entry)


def _add_link(tar: tarfile.TarFile, name: str, to: str) -> None:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = tarfile.SYMTYPE, to
    tar.addfile(entry)


def _interpreter() -> _Interpreter:
    """The one of WANTED that pyenv has, else ours.

    Raises:
        ServerError: it has no pip.
    """
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    found = sorted(root.glob(f"versions/{WANTED}.*/bin/python{WANTED}"))
    own = "python{}.{}".format(*sys.version_info[:2])
    binary = found[-1] if found else Path(sys.base_prefix) / "bin" / own
    said = tool(str(binary), "-c", "import sys; print(sys.version.split()[0])", seconds=SECONDS)
    python = _Interpreter(binary, binary.name, said.strip())
    if not python.pip:
        raise ServerError(f"missing: pip of {binary} (in {python.library}/site-packages)")
    return python
