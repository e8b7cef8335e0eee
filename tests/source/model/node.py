"""A node in small: a container whose log a runtime writes and moves, and the agent.

`Node` does the actions of a history, on real files while the real reading side runs. To widen the
model, write the action, and put its name and weight into `ACTIONS`.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from tests.source.model.agent import PATIENCE_SECS, Agent
from tests.source.model.book import Book, Format
from tests.source.model.folder import Folder
from tests.source.model.judge import faults
from tests.source.model.runtime import Naming, Runtime
from tests.source.model.writer import Writer
from tests.source.running import config_of

_SETTLE_SECS = 0.03

Action = tuple[str, int]
"""Name of an action, and its argument."""

ACTIONS = {
    "rest": 5,  # first, because what is not needed shrinks to the first
    # the container
    "write": 8,
    "write_part": 5,
    "write_other": 1,
    "write_half": 3,
    "write_late": 2,
    # its runtime
    "rename": 3,
    "reopen": 4,
    "rotate": 3,
    "rotate_often": 1,
    "rotate_into_inode": 2,
    "compress": 4,
    "copy": 2,
    "truncate": 2,
    "rewrite": 1,
    "delete": 1,
    "recreate": 1,
    "replace": 1,
    "retain": 1,
    "link": 1,
    "retarget": 1,
    "vanish": 1,
    "come_back": 1,
    # the agent
    "settle": 2,
    "catch_up": 3,
    "stop": 1,
    "kill": 3,
    "down": 2,
    "up": 4,
    "take_away": 1,
    "give_back": 2,
    "fill": 1,
}
"""What may happen, and how often."""

_TAKES_LONG = ("rest", "settle", "catch_up", "fill")


@dataclass(frozen=True)
class Setup:
    """What kind of container and rotation it is.

    Attributes:
        main: The format of its lines.
        naming: How rotated files are named.
        appends: The writer opens its file with O_APPEND.
        linked: The agent follows a symlink to the file.
        banner: Each file begins with it.
        splits: Lines may be written in parts.
    """

    main: Format = "docker"
    naming: Naming = "numbered"
    appends: bool = True
    linked: bool = False
    banner: bytes = b""
    splits: bool = True


class Node:
    """A container, its runtime, and the agent."""

    def __init__(
        self, root: Path, setup: Setup, *, state_dir: Path, patience_secs: float = PATIENCE_SECS
    ) -> None:
        """Start with a log file and no agent.

        Args:
            root: An empty directory, of a file system that uses inodes again.
            setup: What kind of node it is.
            state_dir: Where the agent keeps its state.
            patience_secs: How long nothing may be delivered before what is missing is lost.
        """
        shown = root / "logs" / "app.log"
        config = config_of(state_dir, root / "logs", settle_secs=_SETTLE_SECS)
        self._agent = Agent(config, settle_secs=_SETTLE_SECS, ended=self._agent_ended)
        self._agent.patience_secs = patience_secs
        self._book = Book(setup.main, lambda: self._agent.delivered.logs, self._agent.knows)
        self._is_linked = setup.linked
        self._late: list[str] = []
        if setup.linked:
            shown.parent.mkdir()
        directory = root / ("pods" if setup.linked else "logs")
        self._folder = Folder(directory, root / "spare", self._book)
        if setup.linked:
            shown.symlink_to(self._folder.path(self._folder.stem))
        self._writer = Writer(
            self._folder,
            self._book,
            appends=setup.appends,
            banner=setup.banner,
            splits=setup.splits,
        )
        self._runtime = Runtime(
            self._folder,
            self._writer,
            self._book,
            naming=setup.naming,
            shown=shown,
            has_read=self._agent.reads,
        )

    async def run(self, history: list[Action]) -> list[str]:
        """Do these actions, end what was begun, let the agent deliver all; returns the faults."""
        try:
            for name, argument in history:
                await self._agent.start()
                await self._do(name, argument)
            self._runtime.end_job()
            if self._is_linked:
                self._writer.reopen(0)  # a link that shows nothing leads nobody to what is rotated
            self._writer.end_all()
            await self._agent.give_back(0)
            await self._agent.up(0)
            await self._catch_up()
            await self._agent.settle(0)
            await self._agent.stop(0)  # and what was delivered is not delivered again
            await self._agent.start_impatient()
            await self._agent.catch_up(self._waiting_at_last)
            await self._agent.settle(0)
        finally:
            await self._agent.stop(0)
            self._writer.close()
        told = self._agent.admitted or not self._folder.names
        return (
            self._late
            + self._agent.audit()
            + faults(
                self._book,
                self._agent.delivered.logs,
                told=bool(told),
                gaps=self._agent.gaps > 0,
            )
        )

    async def _do(self, name: str, argument: int) -> None:
        if name in _TAKES_LONG:
            self._runtime.end_copy()
        if name == "catch_up":
            await self._catch_up()
        elif name == "fill":
            await self._agent.fill(self._writer.write)
        else:
            actors = (self._runtime, self._writer, self._agent)
            actor = next(actor for actor in actors if hasattr(actor, name))
            action: Callable[[int], Awaitable[None] | None] = getattr(actor, name)
            done = action(argument)
            if inspect.isawaitable(done):
                await done

    async def _catch_up(self) -> None:
        in_sight = not self._folder.vanished and (self._folder.live or not self._is_linked)
        if in_sight and not await self._agent.catch_up(self._book.waiting):
            self._late.append("not delivered while there was time")

    def _waiting_at_last(self) -> int:
        told = self._agent.admitted or not self._folder.names
        return self._book.waiting_at_last() + (self._book.is_owed and not told)

    def _agent_ended(self) -> None:
        self._folder.agent_ended()
