"""What something costs in CPU time, whatever else the machine and this process do."""

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """Let no garbage be collected: that of a whole run of tests takes up to a second."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def costs(do: Callable[[], object], *, times: int = 5, pause_secs: float = 0.0) -> list[float]:
    """Return the CPU-seconds of this thread for each of so many times."""
    found = []
    with uncollected():
        for _ in range(times):
            started = time.thread_time()
            do()
            found.append(time.thread_time() - started)
            time.sleep(pause_secs)
    return found
