"""What was downloaded, kept outside the checkout: a folder is there whole or not at all.

A folder is filled under another name and then renamed, by one process at a time (a lock file), so
whoever finds it needs no lock and no check. Deleting the cache is always safe while no test runs.
"""

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp
from typing import IO

from tests.servers.process import wait_until

FILL_SECONDS = 1200.0
"""How long to wait for another process that is filling the same folder: 160 MB on a slow line."""


def cache_folder() -> Path:
    """`$SHIPPER_TEST_CACHE`, else `shipper-tests` in the user's cache folder."""
    if chosen := os.environ.get("SHIPPER_TEST_CACHE"):
        return Path(chosen).absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "shipper-tests"


def cached(name: str, fill: Callable[[Path], None]) -> Path:
    """The cache's folder of this name; `fill` gets an empty folder where there is none yet."""
    done = cache_folder() / name
    if done.exists():
        return done
    cache_folder().mkdir(parents=True, exist_ok=True)
    with _locked(cache_folder() / f"{name}.lock"):
        if not done.exists():
            _fill(done, fill)
    return done


def _fill(done: Path, fill: Callable[[Path], None]) -> None:
    prefix = f".{done.name}-"
    for left_by_a_crash in done.parent.glob(f"{prefix}*"):
        shutil.rmtree(left_by_a_crash, ignore_errors=True)
    unfinished = Path(mkdtemp(prefix=prefix, dir=done.parent))
    try:
        unfinished.chmod(0o755)
        fill(unfinished)
        unfinished.rename(done)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("wb") as file:
        wait_until(lambda: _lock(file), seconds=FILL_SECONDS, what=f"the lock {path}")
        yield


def _lock(file: IO[bytes]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
