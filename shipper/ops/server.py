"""The agent's server: /metrics, /status, /livez, /readyz. On loopback unless told otherwise."""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable, Iterable

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from shipper.config import ServerConfig
from shipper.errors import ShipperError

log = logging.getLogger(__name__)


class Server:
    """Serves what it is given; owns the listening socket.

    Attributes:
        url: Where it listens; empty before `start`.
    """

    def __init__(
        self,
        settings: ServerConfig,
        registry: CollectorRegistry,
        *,
        not_ready: Callable[[], str],
        remarks: Callable[[], Iterable[str]] = tuple,
        status: Callable[[], bytes] = bytes,
    ) -> None:
        """Prepare.

        Args:
            settings: Where to listen.
            registry: The agent's metrics.
            not_ready: Why the agent is not ready, in words; empty when it is.
            remarks: What else is to be known, a line each; it makes nothing not ready.
            status: What the agent says of itself, as JSON.
        """
        self.url = ""
        self._settings = settings
        self._registry = registry
        self._not_ready, self._remarks = not_ready, remarks
        self._status = status
        app = web.Application()
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/status", self._tell)
        app.router.add_get("/livez", self._livez)
        app.router.add_get("/readyz", self._readyz)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)

    async def start(self, *, any_port: bool = False) -> None:
        """Listen.

        Args:
            any_port: Take a free port if the configured one is in use.

        Raises:
            ShipperError: The address is in use or not this machine's.
        """
        await self._runner.setup()
        try:
            await self._listen(self._settings.port)
        except OSError as error:
            if not any_port or error.errno != errno.EADDRINUSE:
                await self._runner.cleanup()
                raise ShipperError(
                    f"server.listen {self._settings.listen}: {_reason(error)}: stop what listens"
                    " there, or choose another address (--listen, or `--listen off`)"
                ) from error
            await self._listen(0)
            log.warning("%s is in use: metrics are at %s", self._settings.listen, self.url)

    async def stop(self) -> None:
        """Listen no more."""
        await self._runner.cleanup()

    async def _listen(self, port: int) -> None:
        await web.TCPSite(self._runner, self._settings.host, port).start()
        host, bound = self._runner.addresses[0][:2]
        self.url = f"http://[{host}]:{bound}" if ":" in host else f"http://{host}:{bound}"

    async def _metrics(self, request: web.Request) -> web.Response:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        body = encode(self._registry)
        return web.Response(body=body, headers={"Content-Type": content_type})

    async def _tell(self, _: web.Request) -> web.Response:
        return web.Response(body=self._status(), content_type="application/json")

    async def _livez(self, _: web.Request) -> web.Response:
        return web.Response(text="alive\n")  # to answer at all is the proof: the loop turns

    async def _readyz(self, _: web.Request) -> web.Response:
        why = self._not_ready()
        lines = [f"not ready: {why}" if why else "ready", *self._remarks()]
        return web.Response(text="".join(f"{line}\n" for line in lines), status=503 if why else 200)


def _reason(error: OSError) -> str:
    # asyncio wraps the system's words in its own, with the address a second time.
    return {errno.EADDRINUSE: "the address is in use"}.get(error.errno or 0, error.strerror or "")
