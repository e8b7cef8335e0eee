"""The agent's image as `make image` builds it, on an engine of the tests.

The build takes a minute, most of it for fetching what the lock names: build it once for all tests
that need it.
"""

import os
from pathlib import Path

from tests.servers import python_image
from tests.servers.docker import DockerEngine
from tests.servers.process import tool

ROOT = Path(__file__).parents[2]
PYTHON_IMAGE = "python:3.12-slim"
"""The name that the Dockerfile asks for: an engine of the tests has the stand-in under it."""
BUILD_SECONDS = 900.0
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")


def import_python(engine: DockerEngine) -> str:
    """Gives an engine the stand-in for `python:3.12-slim` and returns its name."""
    changes = [f"--change={change}" for change in python_image.CHANGES]
    engine.call("import", *changes, str(python_image.fetch()), PYTHON_IMAGE, seconds=BUILD_SECONDS)
    return PYTHON_IMAGE


def build_image(engine: DockerEngine, name: str = "shipper:test") -> str:
    """Builds the agent's image of this checkout and returns its name.

    Raises:
        ServerError: a step failed; the text ends with what it said.
    """
    python = import_python(engine)
    variables = [*PROXIES, *map(str.lower, PROXIES)]
    proxies = [f"--build-arg={each}={os.environ[each]}" for each in variables if each in os.environ]
    tool(
        *("make", "--no-print-directory", "-C", str(ROOT), "image", f"IMAGE={name}"),
        *(f"PYTHON_IMAGE={python}", f"DOCKER=docker --host {engine.host}"),
        f"BUILD_ARGS={' '.join(('--network=host', *proxies))}",
        seconds=BUILD_SECONDS,
        env=engine.environment(),
    )
    return name
