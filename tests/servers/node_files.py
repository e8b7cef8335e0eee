"""What the programs of a Kubernetes node are started with: their files and command lines.

Everything is in one folder, and listens on addresses that exist in the node's network namespace
alone. The API has the address of its service on that node, so nothing has to translate it.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.servers import kubernetes_binaries, packages
from tests.servers.docker import PAUSE
from tests.servers.kubernetes_pki import ISSUER, Pki

NAME = "test-node"
ADDRESS = "192.168.77.1"
"""The node's own: where Elasticsearch is, too."""
API_ADDRESS = "10.96.0.1"
"""The first of the services' range: Kubernetes gives it to its own API."""
NAMES_ADDRESS = "10.96.0.10"
"""Where kubelet sends pods for the addresses of names."""
DOMAIN = "cluster.local"
SERVICE = "elasticsearch.logging"
"""A service's name, as pods of any namespace call it; it is at the node's address."""
PODS = "10.244.0.0/24"
SERVICES = "10.96.0.0/16"
ROTATE_BYTES = 1 << 20
ROTATE_SECS = 3
NAMES = (
    f"IP:{API_ADDRESS},IP:{ADDRESS},DNS:kubernetes,DNS:kubernetes.default,"
    "DNS:kubernetes.default.svc"
)
SYSCTLS = {
    "kernel/keys/root_maxbytes": 25_000_000,
    "kernel/keys/root_maxkeys": 1_000_000,
    "kernel/panic": 10,
    "kernel/panic_on_oops": 1,
    "vm/overcommit_memory": 1,
    "vm/panic_on_oom": 0,
}
"""What kubelet sets, of the whole machine: it sees files with these instead."""


@dataclass(frozen=True, slots=True)
class NodeFiles:
    """The folder of a node."""

    folder: Path

    @property
    def pki(self) -> Pki:
        """Its certificates and keys."""
        return Pki(self.folder / "pki")

    @property
    def var_log(self) -> Path:
        """What the node sees as /var/log."""
        return self.folder / "var-log"

    @property
    def var_lib(self) -> Path:
        """What the node sees as /var/lib."""
        return self.folder / "var-lib"

    @property
    def static_pods(self) -> Path:
        """Where kubelet looks for pods of its own."""
        return self.folder / "static"

    @property
    def containerd_socket(self) -> Path:
        """Where containerd listens."""
        return self.folder / "containerd.sock"

    def write(self) -> None:
        """Make the folders, the certificates and the files."""
        for path in (self.var_log, self.var_lib, self.static_pods, self.folder / "sysctl"):
            path.mkdir(mode=0o755)
        (self.folder / "cni").mkdir()
        self.pki.make(NAMES)
        self._kubeconfig("admin")
        for name, subject, names in (
            ("api-client", "/O=system:masters/CN=kube-apiserver", ""),
            ("controllers", "/CN=system:kube-controller-manager", ""),
            ("scheduler", "/CN=system:kube-scheduler", ""),
            ("kubelet", f"/O=system:nodes/CN=system:node:{NAME}", f"IP:{ADDRESS},DNS:{NAME}"),
        ):
            self.pki.sign(name, subject, names=names)
            self._kubeconfig(name)
        self._write("kubelet.json", self._kubelet())
        self._write("cni/10-pods.conflist", self._network())
        (self.folder / "containerd.toml").write_text(self._containerd(), encoding="ascii")
        (self.folder / "resolv.conf").write_text("nameserver 127.0.0.1\n", encoding="ascii")
        (self.folder / "setup.sh").write_text(self._setup(), encoding="ascii")
        for name, value in SYSCTLS.items():
            path = self.folder / "sysctl" / name.replace("/", ".")
            path.write_text(f"{value}\n", encoding="ascii")

    def command(self, name: str) -> list[str]:
        """What starts a program."""
        return {
            "etcd": self._etcd_command,
            "dnsmasq": self._names_command,
            "kube-apiserver": self._api_command,
            "kube-controller-manager": self._controllers_command,
            "kube-scheduler": self._scheduler_command,
            "containerd": self._containerd_command,
            "kubelet": self._kubelet_command,
        }[name]()

    def _write(self, name: str, tree: dict[str, Any]) -> None:
        (self.folder / name).write_text(json.dumps(tree), encoding="ascii")  # JSON is YAML

    def _kubeconfig(self, name: str) -> None:
        key = {"client-certificate": f"pki/{name}.crt", "client-key": f"pki/{name}.key"}
        cluster = {"server": f"https://{API_ADDRESS}", "certificate-authority": "pki/ca.crt"}
        tree = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": name, "user": key}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": name}}],
            "current-context": "test",
        }
        self._write(f"{name}.kubeconfig", tree)

    def _setup(self) -> str:
        """Make the namespaces the node's own; they were copies of the machine's."""
        busybox, addresses = (
            packages.path(packages.fetch(), "busybox"),
            (ADDRESS, API_ADDRESS, NAMES_ADDRESS),
        )
        binds = [(self.var_log, "/var/log"), (self.var_lib, "/var/lib")]
        sysctls = [
            (self.folder / "sysctl" / name.replace("/", "."), f"/proc/sys/{name}")
            for name in SYSCTLS
        ]
        return "\n".join(
            [
                "set -e",
                "mount --make-rprivate /",
                "mount --make-rshared /",  # containers get what kubelet mounts
                f"{busybox} ip link set lo up",
                *(f"{busybox} ip address add {each}/32 dev lo" for each in addresses),
                "echo 1 > /proc/sys/net/ipv4/ip_forward",
                "mount -t tmpfs tmpfs /run",
                *(f"mount --bind {source} {target}" for source, target in binds + sysctls),
                f"touch {self.folder}/set-up",
                "exec sleep infinity\n",
            ]
        )

    def _kubelet(self) -> dict[str, Any]:
        pki = self.pki.folder
        return {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "address": ADDRESS,
            "healthzBindAddress": ADDRESS,
            "authentication": {
                "anonymous": {"enabled": False},
                "webhook": {"enabled": True},
                "x509": {"clientCAFile": f"{pki}/ca.crt"},
            },
            "authorization": {"mode": "Webhook"},
            "tlsCertFile": f"{pki}/kubelet.crt",
            "tlsPrivateKeyFile": f"{pki}/kubelet.key",
            "containerRuntimeEndpoint": f"unix://{self.containerd_socket}",
            "cgroupRoot": f"/{self.folder.name}",
            "cgroupDriver": "cgroupfs",  # there may be no systemd
            "failCgroupV1": False,
            "failSwapOn": False,
            "makeIPTablesUtilChains": False,
            "resolvConf": f"{self.folder}/resolv.conf",
            "clusterDomain": DOMAIN,
            "clusterDNS": [NAMES_ADDRESS],
            "staticPodPath": str(self.static_pods),
            "volumePluginDir": f"{self.folder}/plugins",
            "containerLogMaxSize": f"{ROTATE_BYTES}",
            "containerLogMaxFiles": 3,
            "containerLogMonitorInterval": f"{ROTATE_SECS}s",
            "evictionHard": {"memory.available": "50Mi"},
            "imageGCHighThresholdPercent": 100,
            "nodeStatusUpdateFrequency": "5s",
            "syncFrequency": "5s",
            "oomScoreAdj": 0,  # a lower one needs CAP_SYS_RESOURCE
        }

    def _network(self) -> dict[str, Any]:
        addresses = {
            "type": "host-local",
            "dataDir": f"{self.folder}/addresses",
            "ranges": [[{"subnet": PODS}]],
            "routes": [{"dst": "0.0.0.0/0"}],
        }
        bridge = {"type": "bridge", "bridge": "pods", "isGateway": True, "ipam": addresses}
        return {"cniVersion": "1.0.0", "name": "pods", "plugins": [bridge]}

    def _containerd(self) -> str:
        runc = 'plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc'
        return f"""\
version = 2
root = "{self.folder}/containerd"
state = "{self.folder}/containerd-state"
[grpc]
  address = "{self.containerd_socket}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "docker.io/{PAUSE}"
  disable_apparmor = true
  restrict_oom_score_adj = true
  tolerate_missing_hugetlb_controller = true
  stream_server_address = "127.0.0.1"
[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "{packages.fetch_cni()}"
  conf_dir = "{self.folder}/cni"
[plugins."io.containerd.grpc.v1.cri".containerd]
  snapshotter = "overlayfs"
[{runc}]
  runtime_type = "io.containerd.runc.v2"
[{runc}.options]
  SystemdCgroup = false
"""

    # -- command lines

    def _etcd_command(self) -> list[str]:
        clients, peers = ("http://127.0.0.1:2379", "http://127.0.0.1:2380")
        return [
            str(kubernetes_binaries.fetch() / "etcd"),
            *("--name", "test", "--data-dir", f"{self.folder}/etcd", "--unsafe-no-fsync"),
            *("--listen-client-urls", clients, "--advertise-client-urls", clients),
            *("--listen-peer-urls", peers, "--initial-advertise-peer-urls", peers),
            *("--initial-cluster", f"test={peers}", "--log-level", "warn"),
        ]

    def _names_command(self) -> list[str]:
        return [
            str(packages.fetch_name_server() / "usr/sbin/dnsmasq"),
            *("--keep-in-foreground", "--conf-file=/dev/null", "--pid-file=", "--user=root"),
            *("--no-resolv", "--no-hosts", f"--local=/{DOMAIN}/"),
            *(f"--listen-address={NAMES_ADDRESS}", "--bind-interfaces", "--log-facility=-"),
            f"--address=/{SERVICE}.svc.{DOMAIN}/{ADDRESS}",
        ]

    def _api_command(self) -> list[str]:
        pki = self.pki.folder
        return [
            str(kubernetes_binaries.fetch() / "kube-apiserver"),
            "--etcd-servers=http://127.0.0.1:2379",
            *("--bind-address=0.0.0.0", "--secure-port=443"),  # of the node's namespace
            *(f"--advertise-address={ADDRESS}", f"--service-cluster-ip-range={SERVICES}"),
            *(f"--tls-cert-file={pki}/server.crt", f"--tls-private-key-file={pki}/server.key"),
            f"--client-ca-file={pki}/ca.crt",
            f"--service-account-issuer={ISSUER}",
            f"--service-account-key-file={pki}/sa.pub",
            f"--service-account-signing-key-file={pki}/sa.key",
            *("--authorization-mode=Node,RBAC", "--allow-privileged=true", "--profiling=false"),
            f"--kubelet-certificate-authority={pki}/ca.crt",
            f"--kubelet-client-certificate={pki}/api-client.crt",
            f"--kubelet-client-key={pki}/api-client.key",
            *("--kubelet-preferred-address-types=InternalIP", f"--cert-dir={self.folder}/certs"),
        ]

    def _controllers_command(self) -> list[str]:
        pki, own = self.pki.folder, f"{self.folder}/controllers.kubeconfig"
        return [
            str(kubernetes_binaries.fetch_node() / "kube-controller-manager"),
            *(f"--kubeconfig={own}", f"--authentication-kubeconfig={own}"),
            *(f"--authorization-kubeconfig={own}", "--bind-address=127.0.0.1"),
            *("--leader-elect=false", "--use-service-account-credentials=true"),
            f"--root-ca-file={pki}/ca.crt",
            f"--service-account-private-key-file={pki}/sa.key",
            f"--service-cluster-ip-range={SERVICES}",
        ]

    def _scheduler_command(self) -> list[str]:
        own = f"{self.folder}/scheduler.kubeconfig"
        return [
            str(kubernetes_binaries.fetch_node() / "kube-scheduler"),
            *(f"--kubeconfig={own}", f"--authentication-kubeconfig={own}"),
            *(f"--authorization-kubeconfig={own}", "--bind-address=127.0.0.1"),
            "--leader-elect=false",
        ]

    def _containerd_command(self) -> list[str]:
        program = packages.path(packages.fetch(), "containerd")
        return [program, "--config", f"{self.folder}/containerd.toml"]

    def _kubelet_command(self) -> list[str]:
        return [
            str(kubernetes_binaries.fetch_node() / "kubelet"),
            f"--config={self.folder}/kubelet.json",
            f"--kubeconfig={self.folder}/kubelet.kubeconfig",
            *(f"--hostname-override={NAME}", f"--node-ip={ADDRESS}"),
            f"--root-dir={self.var_lib}/kubelet",
        ]
