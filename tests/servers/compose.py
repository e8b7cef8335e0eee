"""`docker compose` as Debian packages it, unpacked into the cache, not installed."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.servers import packages
from tests.servers.cache import cached
from tests.servers.docker import DockerEngine
from tests.servers.process import tool

COMMAND = "usr/bin/docker-compose"
MODULES = "usr/lib/python3/dist-packages"
"""Of release 12, whose command is in Python; later ones have a single binary."""
SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Compose:
    """The command, for one file and one engine."""

    engine: DockerEngine
    file: Path
    variables: Mapping[str, str]

    def call(self, *arguments: str) -> str:
        """Runs a command of it and returns what it printed.

        Raises:
            ServerError: it failed.
        """
        folder = fetch()
        own = {"DOCKER_HOST": self.engine.host, "PYTHONPATH": str(folder / MODULES)}
        return tool(
            *(str(folder / COMMAND), "--file", str(self.file), *arguments),
            seconds=SECONDS,
            env={**self.engine.environment(), **own, **self.variables},
        )


def fetch() -> Path:
    """The folder it is unpacked in, with all that this machine does not have already.

    Raises:
        ServerError: apt or dpkg failed.
    """
    return cached(packages.fetch().name.replace("docker-", "compose-", 1), _download)


def _download(folder: Path) -> None:
    archives = folder / "archives"
    (archives / "partial").mkdir(parents=True)
    here = ("-o", f"Dir::Cache::archives={archives}", "-o", "Debug::NoLocking=true")
    how = ("--yes", "--download-only", "--reinstall", "--no-install-recommends")
    packages.apt(*here, *how, "install", "docker-compose", folder=archives)
    packages.unpack(archives, folder)
