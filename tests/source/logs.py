"""A directory of logs, what the agent made of them, and its account, which has to add up (I9)."""

import gzip
from collections import Counter
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from shipper.buffer.audit import audit, read_books
from shipper.buffer.state import State
from shipper.model import SavedFile
from tests.source.running import Delivered, Running, config_of, running, until


def append(path: Path, data: bytes) -> None:
    """Write at the end of a file."""
    with path.open("ab") as file:
        file.write(data)


def compress(path: Path) -> None:
    """Compress as kubelet does: into a temporary file, then in place of the plain one."""
    temporary = path.with_name(f"{path.name}.tmp")
    temporary.write_bytes(gzip.compress(path.read_bytes()))
    temporary.rename(path.with_name(f"{path.name}.gz"))
    path.unlink()


class Logs:
    """A directory with one series, and another one for marks: what was before a mark is read.

    Attributes:
        live: The live file of the series; `rotated` its first generation.
        delivered: What the agent delivered, over all its lives.
    """

    def __init__(self, root: Path) -> None:
        """Make the directory."""
        self.directory = root / "logs"
        self.directory.mkdir()
        self.state_dir = root / "state"
        self.live = self.directory / "a.log"
        self.rotated = self.directory / "a.log.1"
        self.delivered = Delivered()
        self._marker = self.directory / "z.log"
        self._marks = 0

    @property
    def logs(self) -> list[str]:
        """The text of every document of the series, sorted."""
        return [log for log in self.delivered.logs if not log.startswith("mark ")]

    def agent(
        self, *, killed: bool = False, **follow: float
    ) -> AbstractAsyncContextManager[Running]:
        """Run the reading side on the directory, until a stop or a kill."""
        config = config_of(self.state_dir, self.directory, **follow)
        return running(config, self.delivered, killed=lambda: killed)

    async def has_only(self, *logs: str) -> None:
        """Check that these lines are delivered, and no others after the agent had the time."""
        await until(lambda: self.logs == sorted(logs))
        for _ in range(2):
            self._marks += 1
            mark = f"mark {self._marks}"
            append(self._marker, mark.encode() + b"\n")
            await until(lambda mark=mark: mark in self.delivered.logs)  # type: ignore[misc]
        assert self.logs == sorted(logs)

    def flags_of(self, log: str) -> list[str]:
        """Return the flags of the document with this text."""
        (document,) = (d for d in self.delivered.by_id.values() if d["log"] == log)
        flags: list[str] = document.get("shipper", {}).get("flags", [])
        return flags

    def account(self) -> Counter[str]:
        """Check that the account adds up, and return what is counted, as `name` or `name.reason`.

        The agent is ended, so what is committed is all there is.
        """
        assert audit(self.state_dir) == []
        totals: Mapping[tuple[str, str], int] = read_books(self.state_dir).totals
        return Counter({".".join(filter(None, name)): count for name, count in totals.items()})

    def lost(self) -> dict[str, int]:
        """Return what the account says of what became no document, by name and reason."""
        names = ("abandoned_bytes", "dropped_bytes", "gaps")
        return {name: n for name, n in self.account().items() if name.split(".")[0] in names and n}

    def saved(self) -> list[SavedFile]:
        """Return what is saved of the series; the agent is ended."""
        state = State(self.state_dir / "state.db")
        try:
            return [file for file in state.files() if file.stem == str(self.live)]
        finally:
            state.close()
