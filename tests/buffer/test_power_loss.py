"""A loss of power at every point of the buffer's work: I1 to I9 hold of what is found afterwards.

The real spool, ledger and state run on a recorded disk and below a recorded SQLite (`powerloss`).
`powerloss/test_model.py` breaks the order of steps on purpose, and sees that the model notices.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shipper.buffer import thread
from tests.buffer.powerloss.model import (
    EVERYTHING,
    Action,
    Append,
    Seal,
    Ship,
    chance,
    check,
    crash,
    first_violation,
    record,
    violation_after_start,
    with_pragma,
)
from tests.buffer.powerloss.vfs import FULL, SYNC_FAILED

actions = st.lists(
    st.one_of(
        st.builds(Append, st.integers(1, 9), st.integers(0, 1), st.booleans()),
        st.just(Seal()),
        st.builds(Ship, st.integers(0, 3), st.integers(0, 3), st.integers(1, 3)),
    ),
    max_size=8,
)
seeds = st.integers(0, 1 << 30)


def test_every_point_of_a_run_may_be_the_last(tmp_path: Path) -> None:
    """I1–I9 hold wherever power is lost, whatever of the unsynced survives."""
    recording = record(tmp_path / "run", EVERYTHING)
    assert len(recording.journal.operations) > 150
    assert first_violation(recording, tmp_path) == ""


def test_every_point_of_a_checkpoint_may_be_the_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """I1–I9 hold also while SQLite moves its log into the database and begins the log anew."""
    with_pragma(monkeypatch, "wal_autocheckpoint = 4")
    steps: list[Action] = [
        Append(3),
        Seal(),
        Append(4),
        Seal(),
        Ship(),
        Append(5),
        Seal(),
        Ship(2),
        Ship(),
    ]
    recording = record(tmp_path / "run", steps)
    assert first_violation(recording, tmp_path) == ""


@pytest.mark.parametrize("number", [3, 4, 6])
def test_a_commit_whose_sync_failed_may_be_found_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """I1–I9 hold whether or not the pages of a failed commit are found on the disk afterwards."""
    fault = FailTwice("sync", SYNC_FAILED, number)
    assert _violation_after(fault, tmp_path, monkeypatch) == ""


@pytest.mark.parametrize("number", [24, 31, 38])
def test_a_commit_on_a_full_disk_is_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """I1–I9 hold if there is no space for some page of a commit."""
    fault = FailTwice("write", FULL, number)
    assert _violation_after(fault, tmp_path, monkeypatch) == ""


@given(first=actions, second=actions, seed=seeds, share=st.floats(0, 1), again=st.floats(0, 1))
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_power_may_be_lost_twice(
    first: Sequence[Action], second: Sequence[Action], seed: int, share: float, again: float
) -> None:
    """I1–I9 hold after any work, a loss of power, more work, and another loss."""
    scratch = Path(tempfile.mkdtemp(prefix="power-"))
    try:
        run = record(scratch / "first", first)
        found = crash(run, _point(run.begin, len(run.journal.operations), share), chance(seed))
        check(found, scratch / "first-after")
        run = record(scratch / "second", second, after=found)
        found = crash(run, _point(run.begin, len(run.journal.operations), again), chance(seed + 1))
        check(found, scratch / "second-after")
    finally:
        shutil.rmtree(scratch)


class FailTwice:
    """A fault of SQLite's log: one write or sync of it fails, and the next try fails at once."""

    def __init__(self, what: str, error: int, number: int) -> None:
        self._what, self._error, self.left = what, error, number

    def __call__(self, what: str, path: Path) -> int:
        if path.name != "state.db-wal" or what != self._what:
            return 0
        self.left -= 1
        return self._error if self.left in {0, -1} else 0


def _violation_after(fault: FailTwice, scratch: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(thread, "_FAULT_RETRY_SECS", 0.001)
    steps: list[Action] = [Append(5), Seal(), Append(6), Seal(), Ship(2, 2), Ship()]
    recording = record(scratch / "run", steps, fault=fault)
    assert fault.left < 0
    return violation_after_start(recording, scratch)


def _point(begin: int, end: int, share: float) -> int:
    return begin + round((end - begin) * share)
