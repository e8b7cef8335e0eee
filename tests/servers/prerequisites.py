"""What must be installed already, found or named: JDKs, Maven, Debian's tools for Docker, Go."""

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.servers.process import ServerError

JVMS = Path("/usr/lib/jvm")
LEAST_GO = (1, 24)


def java_home(major: int) -> Path:
    """The home of a JDK: `JAVA<major>_HOME`, else the first such JDK in /usr/lib/jvm.

    Raises:
        ServerError: there is none.
    """
    variable = f"JAVA{major}_HOME"
    if chosen := os.environ.get(variable):
        if not (Path(chosen) / "bin/java").exists():
            raise ServerError(f"missing: JDK {major} ({variable}={chosen} has no bin/java)")
        return Path(chosen)
    for home in sorted(JVMS.glob("*")):
        if (home / "bin/java").exists() and _major(home) == major:
            return home
    raise ServerError(f"missing: JDK {major} (neither ${variable} nor in {JVMS})")


def _major(home: Path) -> int | None:
    """What its `release` file says (1.8 is 8), else the first number in its name."""
    release = home / "release"
    text = release.read_text(encoding="utf-8", errors="replace") if release.exists() else ""
    found = re.search(r'^JAVA_VERSION="(?:1\.)?(\d+)', text, re.MULTILINE)
    found = found or re.search(r"(?<!\d)(?:1\.)?(\d+)", home.name)
    return int(found[1]) if found else None


def program(name: str) -> str:
    """The path of a program.

    Raises:
        ServerError: it is not installed.
    """
    if path := shutil.which(name):
        return path
    raise ServerError(f"missing: {name}")


def root() -> str:
    """Says that we are root, whom the Docker engine needs (control groups, namespaces, mounts).

    Raises:
        ServerError: we are not.
    """
    if os.geteuid() == 0:
        return "yes"
    raise ServerError("missing: root (the Docker engine starts for nobody else)")


def go() -> str:
    """The path of a Go that builds Kubernetes: on the PATH, or where its own archive goes.

    Raises:
        ServerError: there is none, or it is too old.
    """
    path = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin")
    if not path:
        raise ServerError("missing: go (neither on the PATH nor in /usr/local/go/bin)")
    said = subprocess.run([path, "version"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"go(\d+)\.(\d+)", said)
    if not found or (int(found[1]), int(found[2])) < LEAST_GO:
        least = ".".join(map(str, LEAST_GO))
        raise ServerError(f"missing: Go {least} ({path} is another: {said.strip()})")
    return path


CHECKS: dict[str, dict[str, Callable[[], object]]] = {
    "es": {
        "JDK 17": lambda: java_home(17),
        "JDK 25": lambda: java_home(25),
        "mvn": lambda: program("mvn"),
    },
    "docker": {
        "apt-get": lambda: program("apt-get"),
        "dpkg": lambda: program("dpkg"),
        "unshare": lambda: program("unshare"),
        "root": root,
    },
    "kubernetes": {
        "Go": go,
        "nsenter": lambda: program("nsenter"),
        "openssl": lambda: program("openssl"),
    },
}
"""By server: what it needs by name, and how to find it."""
