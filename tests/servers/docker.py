"""A real Docker engine that leaves the machine as it was.

Theory of operation: the engine lives in a pid namespace and a mount namespace of its own, under a
small init. When the init ends, the kernel kills containerd, every shim and every container, and
every mount is gone: nothing has to be found and undone. /run and /etc are file systems of its own
in there, because the engine writes to both and has no option that moves it away; a Docker that the
machine already runs is out of its sight. Its control groups have the name of the run's folder: they
and the folder are what `sweep` removes.

There is no network: no iptables, no bridge, and a container has nothing but its own loopback,
unless it is given that of the machine (`network="host"`), as a build that fetches is.
"""

import json
import signal
import tarfile
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Self

from tests.servers import packages
from tests.servers.guard import sweep
from tests.servers.prerequisites import program, root
from tests.servers.process import Process, ServerError, last_lines, only_child, tool, wait_until

START_SECONDS = 60.0
STOP_SECONDS = 30.0
CALL_SECONDS = 60.0
"""One call of the `docker` command; each takes some 50 ms."""
IMAGE = "shipper/busybox:1"
PAUSE = "shipper/pause:1"
"""The same files; it does nothing, and a pod of Kubernetes begins with it."""
PAUSE_COMMAND = ("/bin/tail", "-f", "/dev/null")
NOTHING: Mapping[str, str] = MappingProxyType({})
OWN_FOLDERS = """
mount -t tmpfs tmpfs /run && cp /etc/resolv.conf /etc/hosts /run &&
mount -t tmpfs tmpfs /etc && mv /run/resolv.conf /run/hosts /etc &&
mount -t tmpfs tmpfs /var/lib && mkdir /var/lib/docker && mount --bind "$1" /var/lib/docker &&
shift && exec "$@"
"""
"""A container may be given the engine's own files by the path that they have everywhere."""


@dataclass(slots=True)
class DockerEngine:
    """A running engine; as a context manager it is stopped at the end and its folder removed."""

    folder: Path
    data_root: Path
    unpacked: Path
    _process: Process | None = field(default=None, init=False)

    @classmethod
    def start(cls, data_root: Path | None = None) -> Self:
        """An engine that answers; with images and logs that end with it, unless given a place.

        Raises:
            ServerError: it did not start; the text ends with the last lines of its log.
        """
        root()
        unpacked = packages.fetch()
        folder = Path(tempfile.mkdtemp(prefix="shipper-docker-"))
        engine = cls(folder, (data_root or folder / "data").absolute(), unpacked)
        try:
            engine._launch()
        except BaseException:
            engine.stop()
            raise
        return engine

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def host(self) -> str:
        """Where it listens, as DOCKER_HOST wants it."""
        return f"unix://{self.folder}/docker.sock"

    @property
    def log(self) -> Path:
        """What the engine and its containerd printed."""
        return self.folder / "out"

    def import_busybox(self) -> str:
        """Makes an image of Debian's static busybox, all its commands linked; returns its name."""
        archive = self.folder / "busybox.tar"
        busybox = packages.path(self.unpacked, "busybox")
        with tarfile.open(archive, "w") as tar:
            tar.add(busybox, "bin/busybox")
            commands = set(tool(busybox, "--list", seconds=CALL_SECONDS).split()) - {"busybox"}
            for command in sorted(commands):
                tar.addfile(_link(f"bin/{command}", to="busybox"))
        self.call("import", str(archive), IMAGE)
        self.call("import", "--change", f"CMD {json.dumps(PAUSE_COMMAND)}", str(archive), PAUSE)
        return IMAGE

    def save(self, archive: Path, *images: str) -> None:
        """Write images into an archive that containerd takes."""
        self.call("save", "--output", str(archive), *images)

    def run(
        self,
        image: str,
        *command: str,
        log_opts: Mapping[str, str] = NOTHING,
        volumes: Mapping[str, str] = NOTHING,
        labels: Mapping[str, str] = NOTHING,
        name: str | None = None,
        network: str = "none",
        detach: bool = True,
    ) -> str:
        """Starts a container with the json-file log driver and returns its id of 64 digits.

        Shape: `volumes` is from the path here to the path in the container; without `detach` the
        container has ended when the call returns.
        """
        options = [f"--log-opt={key}={value}" for key, value in log_opts.items()]
        options += [f"--volume={here}:{there}" for here, there in volumes.items()]
        options += [f"--label={key}={value}" for key, value in labels.items()]
        options += [f"--name={name}"] if name else []
        fixed = ("--detach", "--pull=never", f"--network={network}", "--log-driver=json-file")
        container = self.call("run", *fixed, *options, image, *command)
        if not detach:
            self.wait(container)
        return container

    def wait(self, container: str, *, seconds: float = CALL_SECONDS) -> int:
        """Waits for the container's end and returns its exit code.

        Raises:
            ServerError: it has not ended in `seconds`.
        """
        return int(self.call("wait", container, seconds=seconds))

    def log_path(self, container: str) -> Path:
        """The live log file; the rotated ones are beside it, `.1` or `.1.gz` the newest."""
        return self.data_root / "containers" / container / f"{container}-json.log"

    def remove(self, container: str) -> None:
        """Kills the container if it runs, and removes it with its logs."""
        self.call("rm", "--force", "--volumes", container)

    def stop(self) -> None:
        """Removes every container and ends the engine; twice is fine."""
        process, self._process = self._process, None
        try:
            if process is not None:
                with suppress(ServerError):  # it may hang or be gone: its namespace ends it all
                    for container in self.call("ps", "--all", "--quiet", "--no-trunc").split():
                        self.remove(container)
                init = only_child(process.launcher.pid)
                process.end(init, how=signal.SIGTERM, seconds=STOP_SECONDS)
        finally:
            sweep(self.folder)

    def call(self, *arguments: str, seconds: float = CALL_SECONDS) -> str:
        """Runs the `docker` command on this engine and returns what it printed.

        Raises:
            ServerError: it failed, or took longer than `seconds`.
        """
        command = (packages.path(self.unpacked, "docker"), "--host", self.host, *arguments)
        return tool(*command, seconds=seconds, env=self.environment()).strip()

    def environment(self) -> dict[str, str]:
        """The whole environment of the engine and of its command: no setting of the user's."""
        return packages.environment(self.unpacked, self.folder)

    def _launch(self) -> None:
        self.data_root.mkdir(parents=True, exist_ok=True)
        (self.folder / "daemon.json").write_text("{}", encoding="ascii")
        self._process = Process.start(self._command(), log=self.log, env=self.environment())
        try:
            wait_until(self._ready, seconds=START_SECONDS, what="the Docker engine")
        except ServerError as error:
            said = last_lines(self.log.read_text(encoding="utf-8", errors="replace"))
            raise ServerError(f"{error}; the last lines of its log:\n{said}") from error

    def _command(self) -> list[str]:
        return [
            *(program("unshare"), "--mount", "--propagation=private"),
            *("--pid", "--fork", "--kill-child", "--mount-proc"),
            *(packages.path(self.unpacked, "tini-static"), "--"),
            *("sh", "-c", OWN_FOLDERS, "sh", str(self.data_root)),
            packages.path(self.unpacked, "dockerd"),
            *("--host", self.host, "--config-file", f"{self.folder}/daemon.json"),
            *("--data-root", str(self.data_root), "--exec-root", f"{self.folder}/exec"),
            *("--pidfile", f"{self.folder}/pid"),
            *("--iptables=false", "--ip6tables=false", "--bridge=none", "--ip-forward=false"),
            "--oom-score-adjust=0",  # a lower one needs CAP_SYS_RESOURCE
            *("--exec-opt", "native.cgroupdriver=cgroupfs"),  # there may be no systemd
            *("--cgroup-parent", f"/{self.folder.name}", "--shutdown-timeout", "5"),
        ]

    def _ready(self) -> bool:
        if self._process is None or not self._process.running():
            raise ServerError("the Docker engine did not start")
        with suppress(ServerError):
            return bool(self.call("version", "--format", "{{.Server.Version}}"))
        return False


def _link(name: str, *, to: str) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = tarfile.SYMTYPE, to
    return entry
