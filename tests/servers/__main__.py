"""`python -m tests.servers`: what the tests need, by hand.

check    names what is not installed on this machine, exit code 1
fetch    downloads and unpacks what is pinned, so that the tests need no network
es       starts an Elasticsearch, until Ctrl-C
docker   starts a Docker engine, until Ctrl-C
kube     starts a kube-apiserver with its etcd, until Ctrl-C
"""

import argparse
import signal
import sys
from collections.abc import Callable
from contextlib import suppress

from tests.servers import compose, kubernetes_binaries, packages, python_image, releases
from tests.servers.docker import DockerEngine
from tests.servers.elasticsearch import Elasticsearch
from tests.servers.kubernetes import KubernetesApi
from tests.servers.prerequisites import CHECKS
from tests.servers.process import ServerError


def main() -> int:
    """Runs one command and returns the exit code; what failed is one message, no traceback."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends a server in good order too
    chosen = _arguments().parse_args()
    run: Callable[[argparse.Namespace], int] = chosen.run
    try:
        return run(chosen)
    except ServerError as error:
        print(error, file=sys.stderr)
        return 1


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.servers",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True)
    for name, run in (("check", _check), ("fetch", _fetch)):
        command = commands.add_parser(name)
        command.add_argument("only", nargs="?", choices=sorted(CHECKS), help="default: all")
        command.set_defaults(run=run)
    command = commands.add_parser("es")
    command.add_argument("version", choices=list(releases.RELEASES))
    command.add_argument("port", type=int)
    command.set_defaults(run=_elasticsearch)
    commands.add_parser("docker").set_defaults(run=_docker)
    commands.add_parser("kube").set_defaults(run=_kubernetes)
    return parser


def _check(chosen: argparse.Namespace) -> int:
    failures = 0
    for server, checks in CHECKS.items():
        if chosen.only in {None, server}:
            failures += sum(not _found(name, find) for name, find in checks.items())
    return 1 if failures else 0


def _found(name: str, find: Callable[[], object]) -> bool:
    try:
        print(f"{name}: {find()}")
    except ServerError as error:
        print(error, file=sys.stderr)
        return False
    return True


def _fetch(chosen: argparse.Namespace) -> int:
    if chosen.only in {None, "es"}:
        for version in releases.RELEASES:
            print(releases.fetch(version))
    if chosen.only in {None, "docker"}:
        print(packages.fetch())
        print(compose.fetch())
        print(python_image.fetch())
    if chosen.only in {None, "kubernetes"}:
        print(kubernetes_binaries.fetch())
        print(kubernetes_binaries.fetch_node())
        print(packages.fetch_cni())
        print(packages.fetch_name_server())
    return 0


def _elasticsearch(chosen: argparse.Namespace) -> int:
    with Elasticsearch.start(chosen.version, port=chosen.port) as server:
        print(f"{server.url} pid {server.pid} log {server.log}")
        return _until_interrupted()


def _docker(_: argparse.Namespace) -> int:
    with DockerEngine.start() as engine:
        image = engine.import_busybox()
        command = packages.path(engine.unpacked, "docker")
        print(f"export DOCKER_HOST={engine.host}  # image {image}, data root {engine.data_root}")
        print(f"{command} run --network none {image} echo hello")
        return _until_interrupted()


def _kubernetes(_: argparse.Namespace) -> int:
    with KubernetesApi.start() as api:
        print(f"{api.url} pids {api.pids} kubeconfig {api.write_kubeconfig()}")
        return _until_interrupted()


def _until_interrupted() -> int:
    sys.stdout.flush()
    with suppress(KeyboardInterrupt):
        signal.pause()
    return 0


if __name__ == "__main__":
    sys.exit(main())
