"""The Docker engine as Debian packages it, unpacked into the cache, not installed.

The versions are those of the machine's Debian release, checked by apt's own signatures: older ones
leave the archive with each security update, so an exact pin would break. The cache's folder has the
release in its name.
"""

import platform
import shutil
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
PROGRAMS = MappingProxyType(
    {
        "dockerd": ("usr/sbin/dockerd",),
        "docker": ("usr/bin/docker",),
        "containerd": ("usr/bin/containerd",),
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
    release = platform.freedesktop_os_release()
    version = f"{release.get('ID', 'linux')}{release.get('VERSION_ID', '')}"
    return cached(f"docker-{version}-{platform.machine()}", _download)


def path(packages: Path, name: str) -> str:
    """Where a program of `PROGRAMS` is.

    Raises:
        ServerError: the packages lack it.
    """
    for place in PROGRAMS[name]:
        if (packages / place).exists():
            return str(packages / place)
    raise ServerError(f"the packages {', '.join(PACKAGES)} lack {name}")


def _download(folder: Path) -> None:
    archives = folder / "archives"
    archives.mkdir()
    try:
        _apt("download", *PACKAGES, folder=archives)
    except ServerError:  # no package lists on this machine, or outdated ones
        _download_by_new_lists(archives)
    for archive in sorted(archives.glob("*.deb")):
        tool(program("dpkg"), "-x", str(archive), str(folder), seconds=APT_SECONDS)
    shutil.rmtree(archives)
    for name in PROGRAMS:
        path(folder, name)


def _download_by_new_lists(archives: Path) -> None:
    """With package lists of our own: needs neither root nor the system's lock, changes nothing."""
    state = archives / "apt"
    for name in ("lists/partial", "cache/archives/partial"):
        (state / name).mkdir(parents=True)
    own = ("-o", f"Dir::State::lists={state}/lists", "-o", f"Dir::Cache={state}/cache")
    _apt(*own, "update", folder=archives)
    _apt(*own, "download", *PACKAGES, folder=archives)


def _apt(*arguments: str, folder: Path) -> None:
    """Without apt's own user, which may not write to our folder."""
    sandbox = ("-o", "APT::Sandbox::User=root")
    tool(program("apt-get"), "-qq", *sandbox, *arguments, seconds=APT_SECONDS, cwd=folder)
