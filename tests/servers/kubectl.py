"""`kubectl` for a cluster of our own: what its user types, and what tests ask of it."""

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.servers.process import ServerError, tool, wait_until

SECONDS = 120.0
EVERY_SECONDS = 0.5
"""Each look costs a process."""
NONE: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Kubectl:
    """The command line of one cluster.

    Attributes:
        before: What comes before it: a program that takes it to where the cluster is.
        program: Where it is.
        kubeconfig: Whose; kept from any other that the user has.
    """

    before: Sequence[str]
    program: str
    kubeconfig: Path

    def __call__(self, *arguments: str, seconds: float = SECONDS) -> str:
        """What it prints.

        Raises:
            ServerError: it failed; with what it said.
        """
        command = (*self.before, self.program, "--kubeconfig", str(self.kubeconfig), *arguments)
        home = str(self.kubeconfig.parent)  # where it caches
        return tool(*command, seconds=seconds, env={"HOME": home, "PATH": "/usr/sbin:/usr/bin"})

    def apply(self, *objects: dict[str, Any]) -> None:
        """Make or change these objects."""
        path = self.kubeconfig.parent / f"apply-{id(objects)}.json"
        path.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))
        self("apply", "--filename", str(path))
        path.unlink()

    def get(self, kind: str, *more: str) -> dict[str, Any]:
        """An object, or the list of some."""
        answer: dict[str, Any] = json.loads(self("get", kind, *more, "--output", "json"))
        return answer

    def items(self, kind: str, *more: str) -> list[dict[str, Any]]:
        """Objects of a kind."""
        found: list[dict[str, Any]] = self.get(kind, *more)["items"]
        return found

    def until(self, ready: Callable[[], bool], what: str, *, seconds: float = SECONDS) -> None:
        """Wait until so; while the API is away, it is not.

        Raises:
            ServerError: not in time, with the events of the cluster.
        """
        last = ""

        def asked() -> bool:
            nonlocal last
            try:
                return ready()
            except ServerError as error:
                last = f"{error}"
                return False

        try:
            wait_until(asked, seconds=seconds, what=what, every=EVERY_SECONDS)
        except ServerError as error:
            with suppress(ServerError):  # the API itself may be away
                last += self("get", "events", "--all-namespaces", "--sort-by", ".lastTimestamp")
            raise ServerError(f"{error}; at last:\n{last[-4000:]}") from error
