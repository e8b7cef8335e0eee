"""A system whose calls fail for some files, and for a while."""

import asyncio
import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.source.running import until

SETTLE_SECS = 0.1


class Faulty:
    """The system's calls, some of which fail for some files or directories while they are told to.

    A call with a descriptor fails if that is of such a file.

    Attributes:
        met: The paths for which a call failed.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let all calls pass."""
        self.met: set[str] = set()
        self._paths: dict[str, int] = {}
        self._places: dict[tuple[int, int], str] = {}
        self._calls: tuple[str, ...] = ()
        self._fstat = os.fstat
        for name in ("open", "pread", "fstat", "stat", "listdir"):
            monkeypatch.setattr(os, name, self._failing(name, getattr(os, name)))

    def begin(self, paths: dict[str, Path], *calls: str) -> None:
        """Let these calls fail, for each path with the error of its name."""
        self._paths = {str(path): getattr(errno, name) for name, path in paths.items()}
        places = {path: os.stat(path) for path in self._paths}  # noqa: PTH116  # may fail, too
        self._places = {(status.st_dev, status.st_ino): path for path, status in places.items()}
        self.met, self._calls = set(), calls

    def end(self) -> None:
        """Let all calls pass."""
        self._calls = ()

    async def last(self) -> None:
        """Wait until all were met, and longer than a missing file is waited for."""
        await until(lambda: self.met == self._paths.keys())
        await asyncio.sleep(3 * SETTLE_SECS)

    def _failing(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def may_fail(what: Any = ".", *args: Any, **options: Any) -> Any:  # noqa: ANN401
            path = self._path(what) if name in self._calls else ""
            if path in self._paths:
                self.met.add(path)
                raise OSError(self._paths[path], os.strerror(self._paths[path]), path)
            return call(what, *args, **options)

        return may_fail

    def _path(self, what: object) -> str:
        if not isinstance(what, int):
            return str(what)
        status = self._fstat(what)
        return self._places.get((status.st_dev, status.st_ino), "")
