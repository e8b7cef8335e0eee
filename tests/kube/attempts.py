"""Tries to follow an API, until there is trouble or all is well."""

import asyncio
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tests.fakes.kubernetes import FakeKubernetes
from tests.kube.pods import pod_json
from tests.kube.running import NO_NAMESPACES, following, until


@dataclass(frozen=True)
class Told:
    """What became of a try."""

    api: FakeKubernetes
    concern: str


def attempt(
    api: FakeKubernetes | None = None,
    *,
    tls: ssl.SSLContext | None = None,
    mend: Callable[[FakeKubernetes], object] | None = None,
    environ: Callable[[FakeKubernetes], Mapping[str, str]] | None = None,
    **settings: Any,  # noqa: ANN401  # those of the section
) -> Told:
    """Follow a fake until there is trouble, or all is well; mend it and go on until it is well."""
    server = api or FakeKubernetes()
    server.put(pod_json())
    server.script *= 100  # until it is mended

    async def run() -> str:
        async with server.serving(tls=tls):
            chosen = {key: _filled(value, server) for key, value in settings.items()}
            around = environ(server) if environ else None
            async with following(server, environ=around, **{**NO_NAMESPACES, **chosen}) as running:
                await until(lambda: running.pods.concern or running.pods.synced)
                concern = running.pods.concern
                if mend is not None:
                    server.script.clear()
                    mend(server)
                    await until(lambda: running.pods.synced)
                    assert running.pods.concern == ""
                return concern

    return Told(server, asyncio.run(run()))


def _filled(value: object, server: FakeKubernetes) -> object:
    """A setting in which `PORT` stands for the server's port."""
    return value.replace("PORT", server.url.rpartition(":")[2]) if isinstance(value, str) else value
