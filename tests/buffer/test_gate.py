"""The gate: who may read, and why not."""

import errno
import os
from pathlib import Path

import pytest

from shipper.buffer.gate import Gate
from shipper.buffer.quota import Need, Quota
from shipper.errors import DiskFault
from tests.buffer.running import settings


def _open_to(gate: Gate) -> list[Need]:
    return [need for need in Need if gate.opening(need).is_set()]


def test_limit_closes_it_step_by_step(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """At a limit's reserve noisy series stop, at the limit all; the log says each once."""
    quota = Quota(tmp_path, settings(max_chunks=8))
    gate = Gate(quota)
    seen, closed = [], []
    for number in range(9):
        gate.refresh()
        gate.refresh()
        seen.append(_open_to(gate))
        closed.append(bool(gate.closed))
        (tmp_path / f"{number}").write_bytes(b"x")
        quota.add(f"{number}")
    assert seen == [[*Need]] * 7 + [[Need.QUIET], []]
    assert closed == [False] * 8 + [True]
    assert gate.paused == gate.closed == "buffer.max_chunks (8) is reached"
    assert len(caplog.messages) == 2


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), "No space left on device"),
        (DiskFault("state.db: disk I/O error"), "state.db: disk I/O error"),
    ],
)
def test_disk_that_refuses_closes_it_to_all(
    tmp_path: Path, fault: OSError | DiskFault, why: str
) -> None:
    """While a step is refused nobody reads; when the last of them is done, all do."""
    gate = Gate(Quota(tmp_path, settings()))
    gate.fail(1, fault)
    gate.fail(2, fault)
    gate.done(1)
    gate.refresh()
    assert (_open_to(gate), gate.paused) == ([], f"the disk refuses writes: {why}")
    assert gate.closed == gate.paused
    gate.done(2)
    gate.refresh()
    assert (_open_to(gate), gate.paused) == ([*Need], "")
