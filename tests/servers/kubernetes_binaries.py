"""The programs of Kubernetes and etcd, built from the sources that the Go module proxy has.

No archive of binaries is fetched: Kubernetes' own go.mod pins every module, etcd's server among
them, and its go.sum their hashes. What has to be made of it is a module whose replacements name the
published staging modules in the place of the folder that only the repository has. The
API's programs take eight minutes of two cores, once, those of a node two more: Go keeps what it
compiled in its own cache.
"""

import json
import os
import platform
import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from tests.servers.cache import cached
from tests.servers.prerequisites import go
from tests.servers.process import ServerError, tool

VERSION = "1.34.4"
PROGRAMS = ("etcd", "kube-apiserver")
NODE_PROGRAMS = ("kube-controller-manager", "kube-scheduler", "kubelet", "kubectl")
ETCD = "go.etcd.io/etcd/server/v3"
DOWNLOAD_SECONDS = 900.0
BUILD_SECONDS = 3600.0
STAGING = re.compile(r"=> \./staging/src/(k8s\.io/[a-z-]+)")


def fetch() -> Path:
    """The folder with etcd and kube-apiserver, built the first time.

    Raises:
        ServerError: Go is missing, or the build failed.
    """
    return cached(f"kubernetes-{VERSION}-{platform.machine()}", partial(_build, PROGRAMS))


def fetch_node() -> Path:
    """The folder with what a node and its user need beside these; as `fetch`.

    Raises:
        ServerError: as in `fetch`.
    """
    fetch()  # the first build fills Go's cache, in which this one finds most of its parts
    name = f"kubernetes-node-{VERSION}-{platform.machine()}"
    return cached(name, partial(_build, NODE_PROGRAMS))


def _build(programs: Sequence[str], folder: Path) -> None:
    source = folder / "source"
    _make_module(source)
    variables = _version_variables()
    for name in programs:
        package = ETCD if name == "etcd" else f"k8s.io/kubernetes/cmd/{name}"
        _go(
            *("build", "-trimpath", "-tags=grpcnotrace,notest,selinux"),
            *("-ldflags", f"-s -w {variables}", "-o", str(folder / name), package),
            folder=source,
            seconds=BUILD_SECONDS,
        )
    for left in source.iterdir():
        left.unlink()
    source.rmdir()


def _make_module(source: Path) -> None:
    """Turns Kubernetes' go.mod into one that builds its commands as those of other modules."""
    source.mkdir()
    (source / "go.mod").write_text("module probe\n\ngo 1.24\n", encoding="utf-8")
    module = f"k8s.io/kubernetes@v{VERSION}"
    said = _go("mod", "download", "-json", module, folder=source, seconds=DOWNLOAD_SECONDS)
    published = Path(json.loads(said)["Dir"])
    text = (published / "go.mod").read_text(encoding="utf-8")
    text = text.replace("module k8s.io/kubernetes\n", "module servers\n", 1)
    text = STAGING.sub(rf"=> \1 v0.{VERSION.partition('.')[2]}", text)
    text += f"\nrequire k8s.io/kubernetes v{VERSION}\n"
    (source / "go.mod").write_text(text, encoding="utf-8")
    (source / "go.sum").write_bytes((published / "go.sum").read_bytes())


def _version_variables() -> str:
    """What its own build stamps: without a version the server refuses to start."""
    major, minor, _ = VERSION.split(".")
    values = {
        "gitMajor": major,
        "gitMinor": minor,
        "gitVersion": f"v{VERSION}",
        "gitTreeState": "clean",
        "gitCommit": "0" * 40,
        "buildDate": "2026-01-01T00:00:00Z",  # fixed, so that a link may be found in Go's cache
    }
    packages = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
    return " ".join(
        f"-X {package}.{name}={value}" for package in packages for name, value in values.items()
    )


def _go(*arguments: str, folder: Path, seconds: float) -> str:
    own = {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOFLAGS": "-mod=mod", "GOWORK": "off"}
    program = go()
    path = f"{Path(program).parent}:{os.environ['PATH']}"
    try:
        return tool(
            *(program, *arguments),
            seconds=seconds,
            cwd=folder,
            env={**os.environ, **own, "PATH": path},
        )
    except ServerError as error:
        raise ServerError(f"Kubernetes {VERSION} could not be built: {error}") from error
