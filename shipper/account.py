"""What an agent says of itself, from its parts: for /metrics, /status, /readyz and the terminal.

Looks and changes nothing. Does not know: who asks.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from shipper import __version__
from shipper.buffer.spool import Spool
from shipper.buffer.state import Totals
from shipper.config import Config
from shipper.metrics import TOTALS, Metrics, Series
from shipper.model import FileStatus, SeriesStatus
from shipper.ops.selfcheck import SelfCheck, Told
from shipper.ops.status import Buffer, Status, by_lag, labels_of, rows_of, skipped_of
from shipper.ops.terminal import Snapshot
from shipper.sink.deadletter import DeadLetters
from shipper.sink.ship import Shipping
from shipper.source.sources import Sources

_SERIES_IN_METRICS = 20
"""Series with samples of their own: a label value for each of thousands is what monitoring
systems are brought down by."""
_SERIES_AT_ONCE = 200
"""Series that are looked at before the event loop gets to something else: about 2 ms."""


class Pods(Protocol):
    """Who knows the pods."""

    @property
    def synced(self) -> bool:
        """Whether what is known is what the API tells."""

    @property
    def concern(self) -> str:
        """Why documents may lack metadata, in words; empty while they do not."""

    @property
    def pods(self) -> int:
        """How many there are."""

    @property
    def gone_pods(self) -> int:
        """How many are gone and still known."""


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of a running agent that are looked at; without an API nobody knows the pods."""

    spool: Spool
    sources: Sources
    shipping: Shipping
    letters: DeadLetters
    node: str
    pods: Pods | None = None


class Account:
    """What one agent says of itself.

    Attributes:
        waits_for: Why it has not begun, in words; empty once it has.
        server_url: Where it listens; empty if nowhere.
        check: Of the account; there from `begin` on.
    """

    check: SelfCheck

    def __init__(self, config: Config) -> None:
        """Begin with an agent that has not begun."""
        self.waits_for = "starting"
        self.server_url = ""
        self._config = config
        self._started = time.monotonic()
        self._totals_before: Totals = Counter()
        self._parts: Parts | None = None

    def begin(self, parts: Parts, metrics: Metrics) -> None:
        """Tell of these parts from now on."""
        self._parts = parts
        told = Told(self._counters, self._files, stuck=lambda: bool(parts.spool.paused))
        self.check = SelfCheck(self._config.state_dir, told, metrics=metrics)
        metrics.observe(
            totals=lambda: parts.spool.totals, gauges=self.gauges, series=self.most_behind
        )
        self._totals_before = parts.spool.totals.copy()
        self.waits_for = ""

    def not_ready(self) -> str:
        """Return why no documents flow, in words; empty where they do."""
        if self._parts is None:
            return self.waits_for
        shipping = self._parts.shipping
        if not shipping.checked:
            return shipping.trouble or "the destination has not answered yet"
        return shipping.trouble or self._parts.spool.closed

    def remarks(self) -> Iterator[str]:
        """Yield what else is to be known, which stops no documents, in words."""
        if self._parts is None:
            return
        spool = self._parts.spool
        if spool.paused and not spool.closed:
            yield f"reading of noisy series is paused: {spool.paused}"
        if self._parts.pods and self._parts.pods.concern:
            yield f"kubernetes: {self._parts.pods.concern}"

    def snapshot(self) -> Snapshot:
        """Return what is shown on a terminal."""
        if self._parts is None:
            return Snapshot(trouble=self.waits_for, server_url=self.server_url)
        sources, spool = self._parts.sources, self._parts.spool
        totals = spool.totals - self._totals_before
        return Snapshot(
            paths=tuple(follower.series.path for follower in sources.followers.values()),
            skipped=sources.skipped,
            unread=tuple(sources.unread),
            read_bytes=sources.read_bytes,
            lag_bytes=sources.lag_bytes,
            lag_secs=sources.lag_secs,
            delivered=totals["delivered", ""],
            dead=totals["dead", ""],
            buffered=spool.buffered_documents,
            trouble=self._parts.shipping.trouble or spool.paused,
            server_url=self.server_url,
        )

    def gauges(self) -> dict[str, float]:
        """Return the gauges of /metrics."""
        if self._parts is None:
            return {}
        sources, spool = self._parts.sources, self._parts.spool
        return {
            "pending_bytes": sources.pending_bytes,
            "lag_bytes": sources.lag_bytes,
            "lag_seconds": sources.lag_secs,
            "held_bytes": sum(series.held_bytes for series in self._behind()),
            "open_files": sources.open_files,
            "series": len(sources.followers),
            "skipped_files": len(sources.skipped),
            "buffered_documents": spool.buffered_documents,
            "buffered_chunks": spool.buffered_chunks,
            "buffered_bytes": spool.buffered_bytes,
            "quota_bytes": self._config.buffer.max_bytes,
            "reading_paused": bool(spool.paused),
            "dead_letters": self._parts.letters.count,
            **_of_pods(self._parts.pods),
        }

    def most_behind(self) -> Iterator[Series]:
        """Yield the series that have samples of their own in /metrics."""
        most = by_lag(self._behind())[:_SERIES_IN_METRICS]
        by_path = {series.path: series for series in reversed(most)}
        for path, series in by_path.items():
            yield (
                labels_of(path),
                {
                    "lag_bytes": series.lag_bytes,
                    "lag_seconds": series.lag_secs,
                    "held_bytes": series.held_bytes,
                    "abandoned_bytes": series.abandoned_bytes,
                },
            )

    def status(self) -> Status:
        """Return the document of /status."""
        config, uptime_secs = self._config, time.monotonic() - self._started
        if self._parts is None:
            return Status(
                version=__version__,
                node=config.node_name,
                pid=os.getpid(),
                uptime_secs=uptime_secs,
                state_dir=str(config.state_dir),
                output=config.output.target,
                waiting=self.waits_for,
            )
        sources, spool, shipping = self._parts.sources, self._parts.spool, self._parts.shipping
        series = sources.status()
        rows, series_left_off = rows_of(series)
        skipped, skipped_left_off = skipped_of(sources.skipped)
        return Status(
            version=__version__,
            node=self._parts.node,
            pid=os.getpid(),
            uptime_secs=uptime_secs,
            state_dir=str(config.state_dir),
            output=config.output.target,
            trouble=shipping.trouble,
            paused=spool.paused,
            kubernetes=_told(self._parts.pods),
            lag_bytes=sources.lag_bytes,
            lag_secs=sources.lag_secs,
            held_bytes=sum(one.held_bytes for one in series),
            pending_bytes=sources.pending_bytes,
            open_files=sources.open_files,
            buffer=Buffer(
                spool.buffered_chunks,
                spool.buffered_documents,
                spool.buffered_bytes,
                config.buffer.max_bytes,
            ),
            totals={n: spool.totals[n, ""] for n, (_, _, label) in TOTALS.items() if not label},
            dropped_bytes=_labelled(spool.totals, "dropped_bytes"),
            abandoned_bytes=_labelled(spool.totals, "abandoned_bytes"),
            mismatches=self.check.mismatches,
            skipped=skipped,
            skipped_left_off=skipped_left_off,
            series=rows,
            series_left_off=series_left_off,
        )

    def _counters(self) -> Totals:
        """Return all counters that state.db has, too."""
        assert self._parts is not None  # noqa: S101  # nothing is checked before `begin`
        spool = self._parts.spool
        return Counter({**spool.totals, ("buffered", ""): spool.buffered_documents})

    async def _files(self) -> list[FileStatus]:
        """Return the open files, as of the last look at them."""
        assert self._parts is not None  # noqa: S101  # nothing is checked before `begin`
        files: list[FileStatus] = []
        for number, follower in enumerate(list(self._parts.sources.followers.values()), 1):
            files += follower.status().files
            if number % _SERIES_AT_ONCE == 0:
                await asyncio.sleep(0)
        return files

    def _behind(self) -> list[SeriesStatus]:
        """Return the series that have something to read: on a healthy node, few of thousands."""
        followers = self._parts.sources.followers.values() if self._parts else ()
        return [follower.status() for follower in followers if follower.lag_bytes]


def _of_pods(pods: Pods | None) -> dict[str, float]:
    if pods is None:
        return {}
    counts = {"kube_pods": pods.pods, "kube_gone_pods": pods.gone_pods}
    return {"kube_synced": pods.synced, **counts}


def _told(pods: Pods | None) -> str:
    """Say what is known of pods; nothing where nobody is asked."""
    if pods is None:
        return ""
    known = f"{pods.pods} there, {pods.gone_pods} gone"
    if pods.concern:
        return f"{known}; {pods.concern}"
    return known if pods.synced else f"{known}; the Kubernetes API has not answered yet"


def _labelled(totals: Totals, name: str) -> dict[str, int]:
    return {label: count for (total, label), count in totals.items() if total == name}
