"""A real Kubernetes of one node that leaves the machine as it was.

Theory of operation: the node lives in a pid, a mount and a network namespace of its own, under a
small init, as the Docker engine does (`docker.py`): etcd, a name server, kube-apiserver, controller
manager, scheduler, containerd and kubelet are started into these. When the init ends, the kernel
kills everything in there, the mounts are gone and so are the addresses. The node's /var/log and
/var/lib are folders of the run's folder, where tests look at them from outside. A server of the
tests, on this machine's loopback, is let in by a forwarder.
"""

import os
import re
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from tests.servers import forward, kubernetes_binaries, packages
from tests.servers.guard import sweep
from tests.servers.kubectl import Kubectl
from tests.servers.node_files import ADDRESS, NAME, NodeFiles
from tests.servers.prerequisites import program, root
from tests.servers.process import Process, ServerError, last_lines, only_child, tool, wait_until

START_SECONDS = 100.0
"""Less than what a test may take, so that the log is seen. 5 s on four idle cores."""
STOP_SECONDS = 5.0
IMPORT_SECONDS = 120.0
PROGRAMS = (
    "etcd",
    "dnsmasq",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "containerd",
    "kubelet",
)


MEMORY_FILES = (
    ("memory.max", "memory.peak"),
    ("memory.limit_in_bytes", "memory.max_usage_in_bytes"),
)
"""Of control groups of version 2, and of version 1."""


@dataclass(frozen=True, slots=True)
class Memory:
    """What a container may have of memory, and the most that it had.

    Attributes:
        peak_bytes: With the pages of files that it read, which the kernel takes back when it must.
        peak_rss_bytes: What its first process held itself.
    """

    limit_bytes: int
    peak_bytes: int
    peak_rss_bytes: int


@dataclass(slots=True)
class Node:
    """A cluster of one node; as a context manager it is stopped and its folder removed."""

    files: NodeFiles
    _processes: dict[str, Process] = field(default_factory=dict, init=False)

    @classmethod
    def start(cls, images: Sequence[Path]) -> Self:
        """A node that is ready, with these images; one must be that of the pause container.

        Raises:
            ServerError: it did not start; the text ends with the last lines of a log.
        """
        root()
        node = cls(NodeFiles(Path(tempfile.mkdtemp(prefix="shipper-node-"))))
        try:
            node._launch(images)
        except BaseException:
            node.close()
            raise
        return node

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def kubectl(self) -> Kubectl:
        """Its administrator's command line."""
        program = str(kubernetes_binaries.fetch_node() / "kubectl")
        return Kubectl(self._inside("--net"), program, self.files.folder / "admin.kubeconfig")

    def restart(self, name: str, *, how: signal.Signals = signal.SIGTERM) -> None:
        """Ends a program and starts it again; returns when the node is ready."""
        self._end(name, how)
        self._run(name)
        self._until(self._is_ready, name)

    def import_images(self, archive: Path) -> None:
        """Make the images of an archive (`docker save`) known to the node."""
        ctr = packages.path(packages.fetch(), "ctr")
        socket = ("--address", str(self.files.containerd_socket), "--namespace", "k8s.io")
        command = (*self._inside("--mount", "--pid"), ctr, *socket, "images", "import")
        tool(*command, str(archive), seconds=IMPORT_SECONDS, env=self._environment())

    def let_in(self, port: int, *, at: int, tls: bool = False) -> str:
        """Let a server of loopback be reached from pods; returns its address there."""
        certificate = self.files.pki.folder / "server"
        secure = ("--certificate", f"{certificate}.crt", "--key", f"{certificate}.key")
        command = [
            *self._inside("--net"),
            *(sys.executable, forward.__file__, "--listen", f"{ADDRESS}:{at}"),
            *("--namespace", f"/proc/{os.getpid()}/ns/net", "--port", f"{port}"),
            *(secure if tls else ()),
        ]
        log = self.files.folder / f"forward-{at}.log"
        self._processes[f"forward-{at}"] = Process.start(command, log=log, env=self._environment())
        wait_until(lambda: "ready" in log.read_text(), seconds=START_SECONDS, what="the forwarder")
        return f"{ADDRESS}:{at}"

    def memory(self, container: str) -> Memory:
        """What a container has of memory, by its id of 64 digits; it must be running.

        Raises:
            ServerError: it is not.
        """
        for group in Path("/sys/fs/cgroup").glob(f"**/{self.files.folder.name}/**/{container}"):
            for limit, peak in MEMORY_FILES:
                if (group / limit).exists():
                    pid = (group / "cgroup.procs").read_text(encoding="ascii").split()[0]
                    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
                    (kib,) = re.findall(r"VmHWM:\s+(\d+) kB", status)
                    most, had = (int((group / name).read_text()) for name in (limit, peak))
                    return Memory(most, had, int(kib) * 1024)
        raise ServerError(f"{container} is not running")

    def close(self) -> None:
        """Stops everything and removes the folder; twice is fine."""
        try:
            for name in reversed(list(self._processes)):
                self._end(name, signal.SIGKILL)
        finally:
            sweep(self.files.folder)

    def _launch(self, images: Sequence[Path]) -> None:
        self.files.write()
        self._make_cgroups()
        self._start_init()
        for name in PROGRAMS:
            self._run(name)
            if name == "kube-apiserver":  # the controllers end where there is none
                self._until(self._answers, name)
            if name == "containerd":
                self._until(self.files.containerd_socket.exists, name)
        for image in images:
            self.import_images(image)
        self._until(self._is_ready, "kubelet")

    def _make_cgroups(self) -> None:
        """Those that kubelet wants to find; `sweep` removes them by their name."""
        hierarchy = Path("/sys/fs/cgroup")
        controllers = [hierarchy]
        if not (hierarchy / "cgroup.controllers").exists():  # version 1
            controllers = [path for path in hierarchy.iterdir() if (path / "tasks").exists()]
        for controller in controllers:
            group = controller / self.files.folder.name
            group.mkdir(exist_ok=True)  # one may be a link to another
            for inherited in ("cpuset.cpus", "cpuset.mems"):
                if (group / inherited).exists():
                    (group / inherited).write_text((controller / inherited).read_text())

    def _start_init(self) -> None:
        unpacked = packages.fetch()
        command = [
            *(program("unshare"), "--mount", "--propagation=private", "--net"),
            *("--pid", "--fork", "--kill-child", "--mount-proc"),
            *(packages.path(unpacked, "tini-static"), "--"),
            *("sh", str(self.files.folder / "setup.sh")),
        ]
        log = self.files.folder / "init.log"
        self._processes["init"] = Process.start(command, log=log, env=self._environment())
        self._until((self.files.folder / "set-up").exists, "init")

    def _inside(self, *namespaces: str) -> list[str]:
        init = only_child(self._processes["init"].launcher.pid)
        return [program("nsenter"), "--target", f"{init}", *namespaces, "--"]

    def _run(self, name: str) -> None:
        command = [*self._inside("--mount", "--pid", "--net"), *self.files.command(name)]
        log = self.files.folder / f"{name}.log"
        unpacked = packages.fetch_name_server() if name == "dnsmasq" else packages.fetch()
        environment = packages.environment(unpacked, self.files.folder)
        self._processes[name] = Process.start(command, log=log, env=environment)

    def _environment(self) -> dict[str, str]:
        return packages.environment(packages.fetch(), self.files.folder)

    def _until(self, ready: Callable[[], bool], name: str) -> None:
        try:
            wait_until(ready, seconds=START_SECONDS, what=f"the node's {name}")
        except ServerError as error:
            raise ServerError(f"{error}; {self._last_of(name)}") from error

    def _last_of(self, name: str) -> str:
        log = (self.files.folder / f"{name}.log").read_text(encoding="utf-8", errors="replace")
        return f"the last lines of its log:\n{last_lines(log)}"

    def _answers(self) -> bool:
        self._check_running()
        with suppress(ServerError):
            return self.kubectl("get", "--raw", "/readyz") == "ok"
        return False

    def _is_ready(self) -> bool:
        self._check_running()
        with suppress(ServerError):
            conditions = self.kubectl.get("node", NAME)["status"]["conditions"]
            return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
        return False

    def _check_running(self) -> None:
        for name, process in self._processes.items():
            if not process.running():
                raise ServerError(f"{name} has ended; {self._last_of(name)}")

    def _end(self, name: str, how: signal.Signals) -> None:
        process = self._processes.pop(name, None)
        if process is not None:
            child = only_child(process.launcher.pid)
            process.end(child or process.launcher.pid, how=how, seconds=STOP_SECONDS)
