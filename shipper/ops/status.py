"""The document of `GET /status`: what a running agent says of itself.

Made anew for each request, most behind first, and bounded. No secret is in it: the output is its
target (`config.OutputConfig.target`), and texts are those of the log and of /readyz.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec

from shipper.errors import ShipperError
from shipper.model import FileStatus, SeriesStatus
from shipper.pipeline.names import Names, names_of

MOST_SERIES = 1_000
"""Series in the document, about 400 bytes each; of a node's 110 pods that is all."""
_MOST_FILES = 50
_MOST_SKIPPED = 100
_SHORT_ID = 12

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class FileRow:
    """One generation; see `model.FileStatus`."""

    path: str
    key: str
    size_bytes: int
    read_bytes: int
    lag_bytes: int
    lag_secs: float
    held: bool
    live: bool


@dataclass(frozen=True, slots=True)
class SeriesRow:
    """One series: a container, or a log file of the host, with its rotations.

    Attributes:
        path: Of the live file.
        name: Namespace, pod and container if the path says them; else the path.
        size_bytes: Of its open plain files; of compressed ones nobody knows.
        read_bytes: How much of that is read.
        lag_bytes: Bytes that are there and not read.
        lag_secs: For how long the oldest of them have been.
        held_bytes: Those of them in files that have no name any more.
        pending_bytes: Bytes read of lines whose end has not come.
        abandoned_bytes: Bytes that vanished before they were read, since the agent's start.
        gaps: Places where generations may have come and gone unseen, since the agent's start.
        files: Its open generations, oldest first.
        files_left_off: How many more there are.
    """

    path: str
    name: str
    size_bytes: int
    read_bytes: int
    lag_bytes: int
    lag_secs: float
    held_bytes: int
    pending_bytes: int
    abandoned_bytes: int
    gaps: int
    files: list[FileRow] = field(default_factory=list)
    files_left_off: int = 0


@dataclass(frozen=True, slots=True)
class Buffer:
    """What is read and not delivered."""

    chunks: int = 0
    documents: int = 0
    bytes: int = 0
    quota_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Status:
    """All of it.

    Attributes:
        version: Of shipper.
        node: The node's name.
        pid: Of the agent.
        uptime_secs: Since its start.
        state_dir: Its state directory.
        output: Where documents go.
        waiting: Why it has not begun; empty once it has.
        trouble: Why the destination takes nothing; empty while it does.
        paused: Why reading is stopped; empty while it is not.
        kubernetes: What is known of pods, or why documents may lack that; empty if nobody is asked.
        lag_bytes: Bytes that are there and not read.
        lag_secs: For how long the oldest of them have been.
        held_bytes: Those of them in files that have no name any more.
        pending_bytes: Bytes read of lines whose end has not come.
        open_files: Number of files held open.
        buffer: What is read and not delivered.
        totals: The unlabelled counters of the conservation law, by name, over all starts.
        dropped_bytes: Bytes of lines that became no document, by reason, over all starts.
        abandoned_bytes: Bytes that vanished before they were read, by reason, over all starts.
        mismatches: What the last check of the account found wrong: law to difference.
        skipped: Files that are not followed, and why.
        skipped_left_off: How many more there are.
        series: What is followed, most behind first.
        series_left_off: How many more there are.
    """

    version: str = ""
    node: str = ""
    pid: int = 0
    uptime_secs: float = 0.0
    state_dir: str = ""
    output: str = ""
    waiting: str = ""
    trouble: str = ""
    paused: str = ""
    kubernetes: str = ""
    lag_bytes: int = 0
    lag_secs: float = 0.0
    held_bytes: int = 0
    pending_bytes: int = 0
    open_files: int = 0
    buffer: Buffer = field(default_factory=Buffer)
    totals: dict[str, int] = field(default_factory=dict)
    dropped_bytes: dict[str, int] = field(default_factory=dict)
    abandoned_bytes: dict[str, int] = field(default_factory=dict)
    mismatches: dict[str, int] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    skipped_left_off: int = 0
    series: list[SeriesRow] = field(default_factory=list)
    series_left_off: int = 0


def encode(status: Status) -> bytes:
    """Return the document as JSON."""
    return msgspec.json.encode(status)


def decode(body: bytes) -> Status:
    """Return the document that JSON holds; what another version says beside it is left out.

    Raises:
        ShipperError: It is none.
    """
    try:
        return msgspec.json.decode(body, type=Status)
    except msgspec.DecodeError as error:
        raise ShipperError(f"that is no status of shipper: {error}") from error


def by_lag(series: Iterable[SeriesStatus]) -> list[SeriesStatus]:
    """Return series, most behind first; those that are equal by path."""
    return sorted(series, key=lambda one: (-one.lag_bytes, -one.lag_secs, one.path))


def rows_of(series: Iterable[SeriesStatus]) -> tuple[list[SeriesRow], int]:
    """Return the rows of the series that are most behind, and how many are left off."""
    shown, left_off = _first(by_lag(series), MOST_SERIES)
    rows = [_row(one) for one in shown]
    return sorted(rows, key=lambda row: (-row.lag_bytes, -row.lag_secs, row.name)), left_off


def skipped_of(skipped: Mapping[str, str]) -> tuple[dict[str, str], int]:
    """Return the first of the skipped files with the reasons, and how many are left off."""
    shown, left_off = _first(sorted(skipped.items()), _MOST_SKIPPED)
    return dict(shown), left_off


def labels_of(path: str) -> dict[str, str]:
    """Return the labels of a series in /metrics."""
    names = names_of(path) or Names("")
    return {
        "path": path,
        "namespace": names.namespace_name,
        "pod": names.pod_name,
        "container": names.container_name,
    }


def _row(series: SeriesStatus) -> SeriesRow:
    files, left_off = _first(series.files, _MOST_FILES)
    plain = [file for file in series.files if file.size_bytes]
    return SeriesRow(
        path=series.path,
        name=_name(series.path),
        size_bytes=sum(file.size_bytes for file in plain),
        read_bytes=sum(file.read_bytes for file in plain),
        lag_bytes=series.lag_bytes,
        lag_secs=series.lag_secs,
        held_bytes=series.held_bytes,
        pending_bytes=series.pending_bytes,
        abandoned_bytes=series.abandoned_bytes,
        gaps=series.gaps,
        files=[_file(file) for file in files],
        files_left_off=left_off,
    )


def _file(file: FileStatus) -> FileRow:
    return FileRow(
        path=file.path,
        key=file.key,
        size_bytes=file.size_bytes,
        read_bytes=file.read_bytes,
        lag_bytes=file.lag_bytes,
        lag_secs=file.lag_secs,
        held=file.held,
        live=file.live,
    )


def _name(path: str) -> str:
    names = names_of(path)
    if names is None:
        return path
    if not names.pod_name:
        return f"container {names.container_id[:_SHORT_ID]}" if names.container_id else path
    return f"{names.namespace_name}/{names.pod_name} {names.container_name}"


def _first(items: Sequence[_T], most: int) -> tuple[Sequence[_T], int]:
    return items[:most], max(0, len(items) - most)
