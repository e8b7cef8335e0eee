"""The Docker engine and a node's network, as Debian packages them, unpacked, not installed.

The versions are those of the machine's Debian release, checked by apt's own signatures: older ones
leave the archive with each security update, so an exact pin would break. The cache's folder has the
release in its name.
"""

import os
import platform
import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType

from tests.servers.cache import cached
from tests.servers.prerequisites import program
from tests.servers.process import ServerError, tool

APT_SECONDS = 600.0
PACKAGES = (
    *("docker.io", "containerd", "runc", "tini", "busybox-static"),
    *("libdevmapper1.02.1", "libseccomp2"),  # libraries that not every machine has
)
CNI_PACKAGES = ("containernetworking-plugins",)
NAME_SERVER_PACKAGES = (
    *("dnsmasq-base", "libdbus-1-3", "libnetfilter-conntrack3", "libnfnetlink0", "libmnl0"),
    *("libnftables1", "libnftnl11", "libjansson4", "libxtables12"),
)
PROGRAMS = MappingProxyType(
    {
        "dockerd": ("usr/sbin/dockerd",),
        "docker": ("usr/bin/docker",),
        "containerd": ("usr/bin/containerd",),
        "ctr": ("usr/bin/ctr",),
        "runc": ("usr/sbin/runc", "usr/bin/runc"),
        "tini-static": ("usr/bin/tini-static",),
        "busybox": ("bin/busybox", "usr/bin/busybox"),
    }
)
"""Where each program that we need may be: some moved between releases of Debian."""


def fetch() -> Path:
    """The folder the packages are unpacked in, downloaded the first time.

    Raises:
        ServerError: apt or dpkg failed, or this release's packages lack a program.
    """
    return cached(f"docker-{_release()}", _download_docker)


def fetch_cni() -> Path:
    """The folder of the plugins that give pods their network, downloaded the first time.

    Raises:
        ServerError: apt or dpkg failed.
    """
    folder = cached(f"cni-{_release()}", partial(_download, CNI_PACKAGES))
    return folder / "usr/lib/cni"


def fetch_name_server() -> Path:
    """The folder of dnsmasq, downloaded the first time.

    Raises:
        ServerError: apt or dpkg failed.
    """
    return cached(f"name-server-{_release()}", partial(_download, NAME_SERVER_PACKAGES))


def environment(unpacked: Path, home: Path) -> dict[str, str]:
    """The whole environment of programs of these packages: no setting of the user's."""
    programs = ":".join(str(unpacked / part) for part in ("usr/sbin", "usr/bin"))
    libraries = (*unpacked.glob("lib/*-linux-gnu"), *unpacked.glob("usr/lib/*-linux-gnu"))
    return {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "LD_LIBRARY_PATH": ":".join(map(str, libraries)),
        "HOME": str(home),
    }


def path(packages: Path, name: str) -> str:
    """Where a program of `PROGRAMS` is.

    Raises:
        ServerError: the packages lack it.
    """
    for place in PROGRAMS[name]:
        if (packages / place).exists():
            return str(packages / place)
    raise ServerError(f"the packages {', '.join(PACKAGES)} lack {name}")


def _release() -> str:
    release = platform.freedesktop_os_release()
    version = f"{release.get('ID', 'linux')}{release.get('VERSION_ID', '')}"
    return f"{version}-{platform.machine()}"


def _download_docker(folder: Path) -> None:
    _download(PACKAGES, folder)
    for name in PROGRAMS:
        path(folder, name)


def _download(packages: Sequence[str], folder: Path) -> None:
    archives = folder / "archives"
    archives.mkdir()
    apt("download", *packages, folder=archives)
    unpack(archives, folder)


def apt(*arguments: str, folder: Path) -> None:
    """Runs apt-get; with package lists of its own where the machine has none, or outdated ones.

    Those need neither root nor the system's lock, and change nothing. Without apt's own user, which
    may not write to our folder.

    Raises:
        ServerError: it failed either way.
    """
    command = (program("apt-get"), "-qq", "-o", "APT::Sandbox::User=root")
    try:
        tool(*command, *arguments, seconds=APT_SECONDS, cwd=folder)
    except ServerError:
        state = folder / "apt"
        for name in ("lists/partial", "cache/archives/partial"):
            (state / name).mkdir(parents=True)
        own = ("-o", f"Dir::State::lists={state}/lists", "-o", f"Dir::Cache={state}/cache")
        tool(*command, *own, "update", seconds=APT_SECONDS, cwd=folder)
        tool(*command, *own, *arguments, seconds=APT_SECONDS, cwd=folder)


def unpack(archives: Path, folder: Path) -> None:
    """Unpacks every package of a folder into another, and removes the folder."""
    for archive in sorted(archives.glob("*.deb")):
        tool(program("dpkg"), "-x", str(archive), str(folder), seconds=APT_SECONDS)
    shutil.rmtree(archives)
