"""Puts the parts together and runs them: the one place that knows all of them.

Theory of operation: the outer task group (sealing, shipping, the server) ends last; the sources
run inside it and end first, at a signal or, with `once`, when everything is read. Then what was
read is sealed and shipped, for `grace_secs` at most: a drain is only an optimisation of a crash
(I7).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shipper.account import Account, Parts
from shipper.buffer.lock import StateLock
from shipper.buffer.spool import Spool
from shipper.config import Config
from shipper.errors import ShipperError, StateError
from shipper.kube.access import is_configured
from shipper.metrics import Metrics
from shipper.ops.ask import announce
from shipper.ops.process import stop_on_signals, until
from shipper.ops.status import encode
from shipper.ops.terminal import Snapshot, View
from shipper.sink.deadletter import DeadLetters
from shipper.sink.destination import Destination, destination_of
from shipper.sink.ship import Shipping
from shipper.source.sources import Sources
from shipper.source.surroundings import FIRST_START, OVER, surroundings_of

if TYPE_CHECKING:
    from shipper.kube.metadata import KubeMetadata

log = logging.getLogger(__name__)

_LOCK_RETRY_SECS = _PROBE_SECS = 1.0
_SHOW_SECS = 0.25
_FIRST_LOOKS, _FIRST_LOOK_SECS = 40, 0.05


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line adds to the configuration.

    Attributes:
        once: Read everything to its end, deliver it, and stop.
        from_beginning: Forget the positions first.
        move_buffer: Deliver chunks that were meant for another output to this one.
        any_port: Take a free port if the configured one is in use.
        wait_for_lock: Wait for another agent to end, rather than refuse.
    """

    once: bool = False
    from_beginning: bool = False
    move_buffer: bool = False
    any_port: bool = False
    wait_for_lock: bool = True


async def run(config: Config, options: Options, *, view: View | None = None) -> Snapshot:
    """Run the agent until a signal; with `once`, until everything is delivered.

    Returns:
        What it had done at the end.

    Raises:
        ShipperError: It cannot start, or its output is gone for good.
    """
    async with contextlib.AsyncExitStack() as stack:
        agent = Agent(config, options)
        stopping = stop_on_signals()
        await stack.enter_async_context(agent.serving())
        await stack.enter_async_context(agent.locked(stopping))
        if stopping.is_set():
            return agent.account.snapshot()
        await stack.enter_async_context(agent.opened())
        async with asyncio.TaskGroup() as outer:
            tasks = [outer.create_task(work) for work in agent.background(view)]
            spent_secs = await until(stopping, agent.sources.run())
            await agent.drain(stopping, spent_secs=spent_secs)
            for task in tasks:
                task.cancel()
        done = agent.account.snapshot()
        if view is not None:
            view.show(done)
        return done


class Agent:
    """The parts of one running agent.

    Attributes:
        account: What it says of itself.
        sources: The reading side; there from `opened` on.
    """

    sources: Sources
    _spool: Spool
    _shipping: Shipping

    def __init__(self, config: Config, options: Options) -> None:
        """Prepare; nothing is touched yet."""
        self._config, self._options = config, options
        self._metrics = Metrics()
        self._pods: KubeMetadata | None = None
        self.account = Account(config)

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Serve metrics and health, unless that is off or the run ends by itself."""
        if self._options.once or not self._config.server.enabled:
            yield
            return
        from shipper.ops.server import Server

        server = Server(
            self._config.server,
            self._metrics.registry,
            not_ready=self.account.not_ready,
            remarks=self.account.remarks,
            status=lambda: encode(self.account.status()),
        )
        await server.start(any_port=self._options.any_port)
        self.account.server_url = server.url
        try:
            yield
        finally:
            await server.stop()

    @contextlib.asynccontextmanager
    async def locked(self, stopping: asyncio.Event) -> AsyncIterator[None]:
        """Hold the lock of the state directory, waiting for it if another agent has it."""
        state_dir = self._config.state_dir
        lock = _open_lock(state_dir)
        try:
            if not lock.acquire():
                await until(stopping, self._wait_for(lock))
            if stopping.is_set():
                yield
                return
            announce(state_dir, self.account.server_url)
            try:
                yield
            finally:
                announce(state_dir, "")
        finally:
            lock.release()

    @contextlib.asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Open the buffer and the destination."""
        config, state_dir = self._config, self._config.state_dir
        async with contextlib.AsyncExitStack() as stack:
            in_order = config.output.type == "stdout"
            self._spool = Spool(state_dir, config.buffer, metrics=self._metrics, in_order=in_order)
            stack.callback(self._spool.close)
            self._check_output()
            if self._options.from_beginning:
                self._spool.forget_files()
                self._remember(FIRST_START, OVER)
            bound = config.output.dead_letters.max_bytes
            letters = DeadLetters(state_dir / "dead.db", max_bytes=bound)
            stack.callback(letters.close)
            destination = destination_of(config)
            stack.push_async_callback(destination.close)
            self._build(letters, destination)
            log.info("documents go to %s, state is in %s", config.output.target, state_dir)
            yield

    def background(self, view: View | None) -> list[Coroutine[Any, Any, None]]:
        """Return what runs beside the sources."""
        output = self._config.output
        # Lines on standard output keep their order: one chunk after another.
        concurrency = 1 if output.type == "stdout" else output.concurrency
        work = [self._spool.seal_loop(), self._shipping.run(concurrency)]
        work += [self._probe_loop(), self._hurry_first()]
        work += [self.account.check.run(self._config.buffer.audit_secs)]
        work += [self._pods.run()] if self._pods else []
        return [*work, self._show(view)] if view else work

    async def drain(self, stopping: asyncio.Event, *, spent_secs: float) -> None:
        """Seal what was read and ship it: all of it with `once`, else within `grace_secs`.

        Args:
            stopping: Set when it has to stop.
            spent_secs: How much of `grace_secs` it took to stop reading.
        """
        await until(stopping, self._deliver())
        if not stopping.is_set():
            return
        try:
            async with asyncio.timeout(self._config.buffer.grace_secs - spent_secs):
                await self._spool.flush()
                await until(self._shipping.away, self._spool.empty())
        except TimeoutError:
            log.warning("grace_secs is over")
        if self._spool.buffered_chunks:
            log.info(
                "%d documents stay in the buffer and are shipped at the next start",
                self._spool.buffered_documents,
            )

    async def _wait_for(self, lock: StateLock) -> None:
        why = self.account.waits_for = f"{self._config.state_dir} is in use by {lock.holder()}"
        if not self._options.wait_for_lock:
            raise StateError(f"{why}: stop it, or choose another --state-dir")
        log.warning("waiting: %s", why)
        while not lock.acquire():  # noqa: ASYNC110  # nothing tells when flock would be granted
            await asyncio.sleep(_LOCK_RETRY_SECS)

    async def _deliver(self) -> None:
        await self._spool.flush()
        await self._spool.empty()

    def _build(self, letters: DeadLetters, destination: Destination) -> None:
        config, spool, metrics = self._config, self._spool, self._metrics
        node = spool.state.meta("node") or config.node_name
        self._remember("node", node)
        self._shipping = Shipping(
            spool,
            destination,
            letters=letters,
            metrics=metrics,
            retry_max_secs=config.output.retry_max_secs,
        )
        once, pods = self._options.once, self._find_pods()
        self.sources = Sources(
            surroundings_of(config, spool, node=node, metrics=metrics, once=once, pods=pods)
        )
        parts = Parts(spool, self.sources, self._shipping, letters, node, pods)
        self.account.begin(parts, metrics)

    def _find_pods(self) -> KubeMetadata | None:
        settings = self._config.kubernetes
        if not is_configured(settings, os.environ):
            return None
        from shipper.kube.metadata import KubeMetadata

        self._pods = KubeMetadata(
            settings,
            self._spool.known,
            node=self._config.node_name,  # as the API has it now, not as ids were made with
            environ=os.environ,
            metrics=self._metrics,
        )
        return self._pods

    def _check_output(self) -> None:
        before, target = self._spool.state.meta("output"), self._config.output.target
        if before and before != target and self._spool.buffered_chunks:
            if not self._options.move_buffer:
                raise StateError(
                    f"{self._spool.buffered_documents} documents in {self._config.state_dir} are"
                    f" meant for {before}, and the output is {target} now. Either\n"
                    f"  - deliver them first: run with the old output once more, or\n"
                    f"  - deliver them to the new output: run with --move-buffer, or\n"
                    f"  - keep them where they are: choose another --state-dir"
                )
            log.warning("documents meant for %s go to %s", before, target)
        self._remember("output", target)

    def _remember(self, name: str, value: str) -> None:
        if self._spool.state.meta(name) != value:
            self._spool.state.remember(name, value)

    async def _hurry_first(self) -> None:
        """Seal the first chunk as soon as there is one: whoever has started it waits for that."""
        for _ in range(_FIRST_LOOKS):
            await asyncio.sleep(_FIRST_LOOK_SECS)
            if self.sources.read_bytes:
                self._spool.hurry()
                return

    async def _probe_loop(self) -> None:
        while True:
            due = time.monotonic() + _PROBE_SECS
            await asyncio.sleep(_PROBE_SECS)
            self._metrics.loop_delay_secs.observe(max(0.0, time.monotonic() - due))

    async def _show(self, view: View) -> None:
        while True:
            view.show(self.account.snapshot())
            await asyncio.sleep(_SHOW_SECS)


def _open_lock(state_dir: Path) -> StateLock:
    try:
        state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        return StateLock(state_dir)
    except OSError as error:
        why = f"state_dir {state_dir} cannot be used: {error.strerror}"
        raise ShipperError(f"{why}: choose one that this user may write (--state-dir)") from error
