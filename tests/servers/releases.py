"""The Elasticsearch releases that are tested against: where they come from and how each starts.

What differs between versions of the server, from the artifact to the options, is here and nowhere
else. The unpacked release in the cache is only read: configuration, data, logs, temporary files
and the pid go to the folder of a run.
"""

import hashlib
import json
import os
import shutil
import subprocess
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from tests.servers.cache import cached
from tests.servers.prerequisites import java_home, program
from tests.servers.process import ServerError, free_port, tool

DOWNLOAD_SECONDS = 600.0
TOOL_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Release:
    """A version as it is published: the artifact, what it must hash to, the JDK it runs on."""

    artifact: str
    sha256: str
    jdk: int


RELEASES: Mapping[str, Release] = MappingProxyType(
    {
        "2.4.1": Release(
            artifact="org.elasticsearch.distribution.zip:elasticsearch:2.4.1:zip",
            sha256="b546eb9fd32e9a908bb46c931478b7c268bedcf9f323975977a8a7cab296effd",
            jdk=17,
        ),
        "9.5.3": Release(
            artifact="org.elasticsearch.distribution.integ-test-zip:elasticsearch:9.5.3:zip",
            sha256="bec49f3b8d00e75c8d1cec85c35298635ec9fbd3ae80ef5aeb6bc05abdb3db2d",
            jdk=25,
        ),
    }
)


def fetch(version: str) -> Path:
    """The unpacked release, downloaded the first time.

    Raises:
        ServerError: it is not pinned, or Maven failed, or what came is not what was pinned.
    """
    if version not in RELEASES:
        raise ServerError(f"Elasticsearch {version} is not pinned, only {', '.join(RELEASES)}")
    return cached(f"elasticsearch-{version}", lambda folder: _download(RELEASES[version], folder))


def _download(release: Release, folder: Path) -> None:
    tool(
        *(program("mvn"), "-B", "-q", "dependency:copy"),
        *(f"-Dartifact={release.artifact}", f"-DoutputDirectory={folder}"),
        seconds=DOWNLOAD_SECONDS,
        cwd=folder,
    )
    archive = next(folder.glob("*.zip"))
    with archive.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != release.sha256:
        raise ServerError(f"{archive.name} has the sha256 {found}, not {release.sha256}")
    _unpack(archive, folder)
    archive.unlink()


def _unpack(archive: Path, folder: Path) -> None:
    """Unpacks without the archive's top folder, and with the permissions that zipfile forgets.

    Everybody may read: some archives keep the configuration to the owner, who is not always the
    user who runs the server.
    """
    with zipfile.ZipFile(archive) as opened:
        for entry in opened.infolist():
            _, _, entry.filename = entry.filename.partition("/")
            if entry.filename:
                unpacked = Path(opened.extract(entry, folder))
                least = 0o755 if entry.is_dir() else 0o644
                unpacked.chmod((entry.external_attr >> 16) & 0o777 | least)
    for name in ("logs", "plugins"):  # empty, so an archive may lack them
        (folder / name).mkdir(exist_ok=True)


def configure(version: str, run: Path, settings: Mapping[str, str]) -> None:
    """Writes the configuration of one node on loopback into a run's folder; `settings` win."""
    for name in ("logs", "tmp"):
        (run / name).mkdir(exist_ok=True)
    config = run / "config"
    shutil.copytree(fetch(version) / "config", config, dirs_exist_ok=True)
    chosen = {**_defaults(version, run), **settings}
    lines = (f"{key}: {json.dumps(value)}\n" for key, value in chosen.items())
    (config / "elasticsearch.yml").write_text("".join(lines), encoding="utf-8")


def add_user(version: str, run: Path, login: str, role: Mapping[str, object] | None = None) -> None:
    """Makes `name:password` a user of a configured server that has security.

    Its role is that of Elasticsearch's API; without one the user is a superuser.
    """
    name, _, password = login.partition(":")
    if role:
        with (run / "config" / "roles.yml").open("a", encoding="utf-8") as file:
            file.write(json.dumps({name: role}))  # JSON is YAML
    tool(
        *(*_unprivileged(), f"{fetch(version)}/bin/elasticsearch-users", "useradd", name),
        *("-p", password, "-r", name if role else "superuser"),
        seconds=TOOL_SECONDS,
        env=environment(version, run, "64m"),
    )


def _defaults(version: str, run: Path) -> dict[str, str]:
    transport = free_port()
    chosen = {
        "cluster.name": "shipper-test",  # a part of the path of 2.x's data, which may be kept
        "node.name": run.name,
        "network.host": "127.0.0.1",
        "path.data": f"{run}/data",
        "path.logs": f"{run}/logs",
        "cluster.routing.allocation.disk.threshold_enabled": "false",
    }
    if version.startswith("2."):
        peer = f"127.0.0.1:{transport}"  # itself: it shall find nobody else on this machine
        return chosen | {
            "transport.tcp.port": str(transport),
            "discovery.zen.ping.unicast.hosts": peer,
        }
    return chosen | {
        "transport.port": str(transport),
        "discovery.type": "single-node",
        "xpack.security.enabled": "false",
    }


def command(version: str, run: Path) -> list[str]:
    """What starts the configured server; it writes its pid to `pid` in the run's folder."""
    place = [f"--path.conf={run}/config"] if version.startswith("2.") else []
    return [*_unprivileged(), f"{fetch(version)}/bin/elasticsearch", "-p", f"{run}/pid", *place]


def _unprivileged() -> list[str]:
    """What makes root somebody else, since the server refuses root; needs no account.

    In a user namespace the files stay root's and the process takes itself for uid 1000. Where
    such a namespace is forbidden, an unknown uid keeps just the right to pass over permissions.
    """
    if os.geteuid() != 0:
        return []
    namespace = ["unshare", "--user", "--map-user=1000", "--map-group=1000"]
    if _works([*namespace, "true"]):
        return namespace
    return [
        *("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"),
        *("--inh-caps=+dac_override", "--ambient-caps=+dac_override"),
        "--securebits=+no_setuid_fixup",  # or access(2), which Java asks, would not count the right
    ]


def _works(command: list[str]) -> bool:
    return subprocess.run(command, capture_output=True, check=False, timeout=10).returncode == 0


def environment(version: str, run: Path, heap: str) -> dict[str, str]:
    """The whole environment of the server: nothing of ours may change how Java runs."""
    java = str(java_home(RELEASES[version].jdk))
    env = {"PATH": os.environ["PATH"], "HOME": str(run), "LANG": "C.UTF-8"}
    if version.startswith("2."):
        return env | {
            "JAVA_HOME": java,
            "ES_HEAP_SIZE": heap,
            "ES_GC_OPTS": "-XX:+UseG1GC",  # its own choice, CMS, is gone from Java 17
            # From Java 17 on the security manager, which 2.4 installs, must be allowed.
            "ES_JAVA_OPTS": f"-Djava.io.tmpdir={run}/tmp -Djava.security.manager=allow",
        }
    return env | {
        "ES_JAVA_HOME": java,
        "ES_PATH_CONF": f"{run}/config",
        "ES_TMPDIR": f"{run}/tmp",
        "ES_JAVA_OPTS": f"-Xms{heap} -Xmx{heap}",
    }
