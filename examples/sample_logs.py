"""A small node that logs: keeps appending real-looking docker json-file logs of several pods.

Owns a directory as the kubelet owns /var/log/containers: one file per container, named
``<pod>_<namespace>_<container>-<64 hex>.log``, rotated by rename. A container's id is a hash of its
name, so a second start goes on in the same files. Ends on SIGTERM or SIGINT, or when its parent
has ended, so that it never outlives the ``make run`` that started it. That says who the parent is:
one that ended before it could be asked for would never be missed.
"""

import argparse
import hashlib
import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

ROTATE_BYTES = 5_000_000
KEPT_ROTATIONS = 2
BACKLOG = 100  # times that each container speaks at once at the start: an error is among it
_BAD_GATEWAY = 502
_CART_FAILS = 0.03
_PAYMENT_DECLINED = 0.05

# A message and the stream it goes to; a stack trace is several messages, as docker sees lines.
Message = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Container:
    """One container of one pod, and what it talks about."""

    pod: str
    namespace: str
    name: str
    speak: Callable[[], list[Message]]

    @property
    def file_name(self) -> str:
        """The name of the container's log file, the same at each start."""
        container_id = hashlib.sha256(f"{self.namespace}/{self.pod}/{self.name}".encode())
        return f"{self.pod}_{self.namespace}_{self.name}-{container_id.hexdigest()}.log"


def append(path: Path, messages: list[Message]) -> None:
    """Append the messages as docker does, a write per line, and rotate a file that is full."""
    with path.open("ab", buffering=0) as log:
        for text, stream in messages:
            log.write(_docker_line(text, stream))
        is_full = log.tell() >= ROTATE_BYTES
    if is_full:
        _rotate(path)


def _docker_line(text: str, stream: str) -> bytes:
    entry = {"log": text + "\n", "stream": stream, "time": _rfc3339_nano(time.time_ns())}
    line = json.dumps(entry, ensure_ascii=False, separators=(",", ":"))
    for sign in "<>&":  # as Go's encoding/json does
        line = line.replace(sign, f"\\u{ord(sign):04x}")
    return f"{line}\n".encode()


def _rfc3339_nano(now_ns: int) -> str:
    secs, fraction = divmod(now_ns, 10**9)
    day_and_time = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(secs))
    return f"{day_and_time}.{fraction:09d}".rstrip("0").rstrip(".") + "Z"


def _rotate(path: Path) -> None:
    """Move each generation one on; the oldest is overwritten."""
    for number in range(KEPT_ROTATIONS - 1, 0, -1):
        older = path.with_name(f"{path.name}.{number}")
        if older.exists():
            older.rename(path.with_name(f"{path.name}.{number + 1}"))
    path.rename(path.with_name(f"{path.name}.1"))


def _web() -> list[Message]:
    path = random.choice(["/", "/products/17", "/cart", "/search?q=caf\u00e9&page=2", "/healthz"])
    status = random.choices([200, 304, 404, _BAD_GATEWAY], [90, 5, 4, 1])[0]
    client = f"10.244.{random.randrange(4)}.{random.randrange(256)}"
    when = time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime())
    access = f'{client} - - [{when}] "GET {path} HTTP/1.1" {status} {random.randrange(9000)}'
    if status == _BAD_GATEWAY:
        return [(access, "stdout"), (f"[error] upstream cart:8080 refused {path}", "stderr")]
    return [(access, "stdout")]


def _cart() -> list[Message]:
    if random.random() < _CART_FAILS:
        return [(line, "stderr") for line in _STACK_TRACE.splitlines()]
    return [(_json_log("cart", "item added", items=random.randrange(1, 9)), "stdout")]


def _payments() -> list[Message]:
    if random.random() < _PAYMENT_DECLINED:
        declined = _json_log("api", "payment declined", level="error", code="card_expired")
        return [(declined, "stderr")]
    paid = _json_log("api", "payment accepted", cents=random.randrange(500, 90000))
    return [(paid, "stdout")]


def _json_log(logger: str, msg: str, *, level: str = "info", **fields: object) -> str:
    head = {"level": level, "ts": time.time(), "logger": logger, "msg": msg}
    return json.dumps({**head, **fields, "request_id": f"{random.getrandbits(64):016x}"})


def _database() -> list[Message]:
    stamp = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
    text = random.choices(
        [
            f"LOG:  checkpoint complete: wrote {random.randrange(900)} buffers",
            f"LOG:  duration: {random.uniform(1, 900):.3f} ms  statement: VACUUM orders",
            'ERROR:  duplicate key value violates unique constraint "orders_pkey"',
        ],
        [40, 55, 5],
    )[0]
    return [(f"{stamp} [{random.randrange(20, 90)}] {text}", "stderr")]


def _ingress() -> list[Message]:
    host = random.choice(["shop.example.com", "pay.example.com"])
    return [(f"{host} <{random.choice(['GET', 'POST'])} /> -> shop/web:80 200 OK", "stdout")]


def _klog(source: str, texts: list[str]) -> Callable[[], list[Message]]:
    def speak() -> list[Message]:
        severity = random.choices("IWE", [92, 5, 3])[0]
        stamp = time.strftime("%m%d %H:%M:%S", time.gmtime())
        text = "Error: timed out, will retry" if severity == "E" else random.choice(texts)
        return [
            (f"{severity}{stamp}.{random.randrange(10**6):06d}       1 {source}] {text}", "stderr")
        ]

    return speak


_STACK_TRACE = """\
java.lang.IllegalStateException: error: cart is locked
\tat com.example.cart.Cart.lock(Cart.java:118)
\tat com.example.cart.CartService.add(CartService.java:42)
\tat com.example.cart.CartHandler.<init>(CartHandler.java:17)
Caused by: java.net.SocketTimeoutException: Read timed out
\t... 3 more"""

CONTAINERS = (
    Container("web-7d4f8c9b6-x2x7p", "shop", "web", _web),
    Container("web-7d4f8c9b6-kq4mz", "shop", "web", _web),
    Container("cart-5c9d7f6b8-h8tqn", "shop", "cart", _cart),
    Container("orders-db-0", "shop", "db", _database),
    Container("payments-6f7b9d8c4-zz5lw", "payments", "api", _payments),
    Container("ingress-nginx-8s4kd", "kube-system", "ingress", _ingress),
    Container(
        "kube-proxy-t7v2c",
        "kube-system",
        "kube-proxy",
        _klog("proxier.go:854", ["Syncing iptables rules", "SyncProxyRules complete"]),
    ),
    Container(
        "coredns-66bc5c9577-jm9xr",
        "kube-system",
        "coredns",
        _klog("reflector.go:389", ["Watch close", "Listing and watching *v1.Endpoints"]),
    ),
)


def write_until_orphaned(directory: Path, *, lines_per_sec: float, parent: int) -> None:
    """Let the containers speak in turn, at about this pace, until the parent has ended."""
    directory.mkdir(parents=True, exist_ok=True)
    for container in CONTAINERS:
        backlog = [message for _ in range(BACKLOG) for message in container.speak()]
        append(directory / container.file_name, backlog)
    for container in cycle(CONTAINERS):
        if os.getppid() != parent:
            return
        messages = container.speak()
        append(directory / container.file_name, messages)
        time.sleep(len(messages) / lines_per_sec)


def main() -> None:
    """Keep appending sample logs of several pods to files in a directory."""
    parser = argparse.ArgumentParser(
        prog="python -m examples.sample_logs", description=main.__doc__
    )
    parser.add_argument("directory", type=Path)
    parser.add_argument("--lines-per-sec", type=float, default=20, help="default %(default)g")
    parser.add_argument(
        "--parent", type=int, default=os.getppid(), metavar="PID", help="end when it has ended"
    )
    options = parser.parse_args()
    # A line is one write, so wherever the exit interrupts, no file ends in half a line.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    write_until_orphaned(
        options.directory, lines_per_sec=options.lines_per_sec, parent=options.parent
    )


if __name__ == "__main__":
    main()
