"""A node in small: one container whose log file a runtime writes and rotates, and the agent.

`Node` is an interpreter: each public method that is no query is an action, done on real files while
the real reading side runs. `expected` says what has to be delivered. To widen the model, add a
method, and its name with its weight to `ACTIONS`.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from tests.source.running import Delivered, config_of, docker_line, running, until

_SETTLE_SECS = 0.03
STREAMS = ("stdout", "stderr")

Action = tuple[str, int]
"""Name of a method of `Node`, and its argument."""

ACTIONS = {
    "write": 6,
    "write_part": 4,
    "write_half": 2,
    "rename": 2,
    "reopen": 2,
    "write_late": 2,
    "rest": 3,
    "settle": 1,
    "catch_up": 1,
    "stop": 1,
    "kill": 2,
}
"""What may happen, and how often."""


class Node:
    """A log file, who writes it, and the agent that follows it.

    Attributes:
        expected: The text of each line that was begun, by the order of their beginnings.
        delivered: What the agent delivered, over all its restarts.
    """

    def __init__(self, root: Path, *, banner: bytes = b"") -> None:
        """Start with an empty file and no agent.

        Args:
            root: An empty directory.
            banner: Each new file begins with it.
        """
        self.delivered = Delivered()
        self.expected: list[str] = []
        (root / "logs").mkdir()
        self._path = root / "logs" / "app.log"
        self._config = config_of(root / "state", root / "logs", settle_secs=_SETTLE_SECS)
        self._banner = banner
        self._number = 0
        self._open_parts: dict[str, int] = {}  # index in `expected` of a line without its end
        self._half = b""
        self._agent = contextlib.AsyncExitStack()
        self._running = False
        self._kill_next = False
        self._create()
        self._late: Any = None  # the file before, where another process may still write

    async def run(self, actions: list[Action]) -> None:
        """Do these actions, then end what was begun, and wait until the agent has delivered all."""
        try:
            for name, argument in actions:
                action: Callable[[int], Awaitable[None]] = getattr(self, name)
                await self._start()
                await action(argument)
            await self._start()
            await self._end_all()
            await self.catch_up(0)
        finally:
            await self.stop(0)
            self._file.close()
            self._close_late()

    # -- the container and its runtime

    async def write(self, argument: int) -> None:
        """Write the end of a line: of one that has parts on this stream, or a whole one."""
        self._put(self._line(argument))

    async def write_part(self, argument: int) -> None:
        """Write a part of a line that docker has split, with its newline to come."""
        stream, text = STREAMS[argument % 2], self._text(argument)
        if stream in self._open_parts:
            self.expected[self._open_parts[stream]] += text
        else:
            self._open_parts[stream] = len(self.expected)
            self.expected.append(text)
        self._put(docker_line(text, stream=stream, number=self._number))

    async def write_half(self, argument: int) -> None:
        """Write a line of which only some bytes are there yet."""
        line = self._line(argument)
        cut = 1 + argument % (len(line) - 1)
        self._put(line[:cut])
        self._half = line[cut:]

    async def rename(self, _: int) -> None:
        """Rotate by renaming; the writer goes on in the renamed file until `reopen`."""
        if not self._path.exists():
            return
        numbers = [int(path.suffix[1:]) for path in self._path.parent.glob("app.log.*")]
        for number in sorted(numbers, reverse=True):
            self._rotated(number).rename(self._rotated(number + 1))
        self._path.rename(self._rotated(1))

    async def reopen(self, _: int) -> None:
        """Let the writer open the file of the path, and make it, if it was renamed."""
        if self._path.exists():
            return
        self._end_half()
        self._close_late()
        self._late = self._file
        self._create()

    async def write_late(self, argument: int) -> None:
        """Let another process write into the file that was renamed last: it has not reopened."""
        if self._late is None:
            return
        text = self._text(argument)
        self.expected.append(text)
        self._late.write(text.encode() + b"\n")

    # -- the agent

    async def rest(self, argument: int) -> None:
        """Let the agent work for a while."""
        await asyncio.sleep(argument % 40 / 1000)

    async def settle(self, _: int) -> None:
        """Let the agent finish what was rotated."""
        await asyncio.sleep(4 * _SETTLE_SECS)

    async def catch_up(self, _: int) -> None:
        """Wait until the agent has delivered every line that is whole."""
        pending = set(self._open_parts.values())
        whole = sorted(t for i, t in enumerate(self.expected) if i not in pending)
        if not self._half:
            await until(lambda: len(self.delivered.by_id) >= len(whole))

    async def stop(self, _: int) -> None:
        """Stop the agent in order."""
        self._kill_next = False
        await self._agent.aclose()
        self._running = False

    async def kill(self, _: int) -> None:
        """Take the agent's memory away."""
        self._kill_next = True
        await self._agent.aclose()
        self._running = False

    async def _start(self) -> None:
        if not self._running:
            agent = running(self._config, self.delivered, killed=lambda: self._kill_next)
            await self._agent.enter_async_context(agent)
            self._running = True

    async def _end_all(self) -> None:
        self._end_half()
        for stream in list(self._open_parts):
            await self.write(STREAMS.index(stream))

    def _line(self, argument: int) -> bytes:
        stream = STREAMS[argument % 2]
        text = self._text(argument) + "\n"
        if stream in self._open_parts:
            self.expected[self._open_parts.pop(stream)] += text
        else:
            self.expected.append(text)
        return docker_line(text, stream=stream, number=self._number)

    def _text(self, argument: int) -> str:
        self._number += 1
        return f"<{self._number}:" + "x" * (argument % 7 * 11) + ">"

    def _put(self, line: bytes) -> None:
        self._end_half()
        self._file.write(line)

    def _end_half(self) -> None:
        self._file.write(self._half)
        self._half = b""

    def _close_late(self) -> None:
        if self._late is not None:
            self._late.close()

    def _create(self) -> None:
        self._file: Any = self._path.open("wb", buffering=0)
        if self._banner:
            self.expected.append(self._banner.decode().rstrip("\n"))
            self._file.write(self._banner)

    def _rotated(self, number: int) -> Path:
        return self._path.with_name(f"app.log.{number}")
