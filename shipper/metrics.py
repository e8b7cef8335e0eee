"""What the agent measures of itself, in Prometheus' terms. One object, made once, handed around.

Owns: the registry. Counters of the conservation law (I9) are read from state.db's totals by a
collector, so they change when the transaction does and go on after a restart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from shipper import __version__

_SECS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_BYTES = tuple(1 << shift for shift in range(12, 25, 2))

Series = tuple[Mapping[str, str], Mapping[str, float]]
"""Labels of a series (those of `SERIES_LABELS`) and its values (those of `SERIES`)."""


class Metrics:
    """All metrics of one agent."""

    def __init__(self) -> None:
        """Register every metric, so that each is there from the first scrape."""
        # In Prometheus' text format each would be a gauge of its own beside every counter.
        disable_created_metrics()  # type: ignore[no-untyped-call]  # the library forgot to type it
        registry = self.registry = CollectorRegistry()
        self.marked = Counter(
            "shipper_marked_documents",
            "Documents that carry a flag in shipper.flags.",
            ["flag"],
            registry=registry,
        )
        self.outcomes = Counter(
            "shipper_outcomes",
            "Items of bulk answers by their fate: delivered, duplicate, retry, refused.",
            ["outcome"],
            registry=registry,
        )
        self.retries = Counter(
            "shipper_retries", "What has to be sent again.", ["reason"], registry=registry
        )
        self.retry_wait_secs = Histogram(
            "shipper_retry_wait_seconds",
            "Jittered waits before a repeated request.",
            buckets=_SECS,
            registry=registry,
        )
        self.request_secs = Histogram(
            "shipper_request_seconds",
            "Duration of requests to the destination.",
            buckets=_SECS,
            registry=registry,
        )
        self.seal_secs = Histogram(
            "shipper_seal_seconds",
            "Time to write, sync and commit a chunk.",
            buckets=_SECS,
            registry=registry,
        )
        self.chunk_bytes = Histogram(
            "shipper_chunk_bytes",
            "Size of sealed chunks on disk (gzip).",
            buckets=_BYTES,
            registry=registry,
        )
        self.read_errors = Counter(
            "shipper_read_errors", "Errors of log files.", ["reason"], registry=registry
        )
        self.pipeline_errors = Counter(
            "shipper_pipeline_errors",
            "Lines kept verbatim because the pipeline failed on them.",
            registry=registry,
        )
        self.dropped_letters = Counter(
            "shipper_dropped_dead_letters",
            "Dead letters that went for output.dead_letters.max_bytes.",
            registry=registry,
        )
        self.loop_delay_secs = Histogram(
            "shipper_loop_delay_seconds",
            "How late the event loop ran a probe, once a second.",
            buckets=_SECS,
            registry=registry,
        )
        self.kube_requests = Counter(
            "shipper_kube_requests",
            "Requests to the Kubernetes API: list, watch (of pods), get (of a namespace).",
            ["verb"],
            registry=registry,
        )
        self.kube_events = Counter(
            "shipper_kube_events", "Events of the watch.", ["type"], registry=registry
        )
        self.kube_faults = Counter(
            "shipper_kube_faults",
            "Requests to the Kubernetes API that failed, and watches that broke.",
            ["reason"],
            registry=registry,
        )
        self.account_checks = Counter(
            "shipper_account_checks",
            "Checks of the conservation law, by result: ok, mismatch.",
            ["result"],
            registry=registry,
        )
        self.account_mismatch = Gauge(
            "shipper_account_mismatch",
            "By how much a law does not add up, in bytes, documents or files.",
            ["law"],
            registry=registry,
        )
        self.last_delivery = Gauge(
            "shipper_last_delivery_timestamp_seconds",
            "When the destination last took a chunk.",
            registry=registry,
        )
        self.sink_up = Gauge(
            "shipper_sink_up",
            "1 while the destination takes chunks, 0 while it does not.",
            registry=registry,
        )
        ProcessCollector(registry=registry)
        build = Gauge("shipper_build_info", "Always 1.", ["version"], registry=registry)
        build.labels(__version__).set(1)
        for outcome in ("delivered", "duplicate", "retry", "refused"):
            self.outcomes.labels(outcome)
        for reason in ("unavailable", "refused", "items"):
            self.retries.labels(reason)
        for result in ("ok", "mismatch"):
            self.account_checks.labels(result)
        for law in LAWS:
            self.account_mismatch.labels(law)
        for verb in ("list", "watch", "get"):
            self.kube_requests.labels(verb)
        for kind in ("ADDED", "MODIFIED", "DELETED", "BOOKMARK"):
            self.kube_events.labels(kind)
        for reason in KUBE_FAULTS:
            self.kube_faults.labels(reason)

    def observe(
        self,
        *,
        totals: Callable[[], Mapping[tuple[str, str], int]],
        gauges: Callable[[], Mapping[str, float]],
        series: Callable[[], Iterable[Series]] = tuple,
    ) -> None:
        """Export values that others own, read at each scrape.

        Args:
            totals: (name, label value) to count; see `TOTALS`.
            gauges: Name to value; see `GAUGES`.
            series: The series that have samples of their own, each with another path.
        """
        self.registry.register(_Observed(totals, gauges, series=series))


TOTALS = {
    "read_bytes": ("shipper_read_bytes", "Bytes of log files read.", None),
    "chunked_bytes": ("shipper_chunked_bytes", "Bytes of log files that are in chunks.", None),
    "dropped_bytes": (
        "shipper_dropped_bytes",
        "Bytes of lines that became no document.",
        "reason",
    ),
    "abandoned_bytes": (
        "shipper_abandoned_bytes",
        "Bytes of log files that vanished before they were read.",
        "reason",
    ),
    "gaps": (
        "shipper_gaps",
        "Places where generations of a log may have come and gone unseen.",
        None,
    ),
    "lost_documents": ("shipper_lost_documents", "Documents of chunk files that vanished.", None),
    "chunked": ("shipper_chunked_documents", "Documents put into chunks.", None),
    "delivered": (
        "shipper_delivered_documents",
        "Documents that the destination has (duplicates among them).",
        None,
    ),
    "dead": ("shipper_dead_documents", "Documents refused and kept as dead letters.", None),
}
"""Counters of the conservation law: total in state.db to metric, help and label."""

GAUGES = {
    "pending_bytes": "Bytes read of lines whose end has not come.",
    "lag_bytes": "Bytes of followed files that are not read yet.",
    "lag_seconds": "Age of the oldest unread data.",
    "held_bytes": "Unread bytes of files that are deleted, and held open until they are read.",
    "open_files": "Files held open.",
    "series": "Series followed.",
    "skipped_files": "Files below the paths that are not followed.",
    "buffered_documents": "Documents in sealed chunks.",
    "buffered_chunks": "Sealed chunks.",
    "buffered_bytes": "Disk space of the sealed chunks.",
    "quota_bytes": "Limit of the disk space of chunks.",
    "reading_paused": "1 while the quota or a full disk stops reading.",
    "dead_letters": "Dead letters kept.",
    "kube_synced": "1 while the pods known are those that the Kubernetes API tells of, else 0.",
    "kube_pods": "Pods of this node.",
    "kube_gone_pods": "Pods that are gone and still known, since lines of them may be left.",
}
"""Gauges read at each scrape, and their help."""

SERIES = {
    "lag_bytes": "Bytes of a series that are not read yet; of the series most behind alone.",
    "lag_seconds": "Age of the oldest unread data of a series; of those most behind alone.",
    "held_bytes": "Unread bytes of deleted files of a series; of those most behind alone.",
    "abandoned_bytes": "Bytes of a series that vanished unread since the start; likewise.",
}
"""Gauges of a series, and their help."""

SERIES_LABELS = ("path", "namespace", "pod", "container")

LABEL_VALUES = {"abandoned_bytes": ("deleted", "truncated", "held_bytes", "missing")}
"""Values of labels that are known before anything happened: their counters begin with 0."""

KUBE_FAULTS = (
    *("config", "token", "dns", "connect", "tls", "timeout", "cut", "garbage"),
    *("unauthorized", "forbidden", "missing", "expired", "throttled", "server", "refused"),
)
"""What can be wrong with the Kubernetes API and the way to it; see docs/metrics.md."""

LAWS = ("positions", "bytes", "documents", "chunks", "sizes", "counters")
"""What the check of the account compares; see `buffer.audit`."""


class _Observed(Collector):
    def __init__(
        self,
        totals: Callable[[], Mapping[tuple[str, str], int]],
        gauges: Callable[[], Mapping[str, float]],
        *,
        series: Callable[[], Iterable[Series]],
    ) -> None:
        self._totals = totals
        self._gauges = gauges
        self._series = series

    def collect(self) -> Iterator[Metric]:
        totals = self._totals()
        for key, (name, text, label) in TOTALS.items():
            family = CounterMetricFamily(name, text, labels=[label] if label else [])
            counts = dict.fromkeys(LABEL_VALUES.get(key, ()) if label else ("",), 0)
            counts |= {value: count for (total, value), count in totals.items() if total == key}
            for value, count in counts.items():
                family.add_metric([value] if label else [], count)
            yield family
        gauges = self._gauges()
        for name, text in GAUGES.items():
            yield GaugeMetricFamily(f"shipper_{name}", text, value=gauges.get(name, 0))
        yield from self._of_series()

    def _of_series(self) -> Iterator[Metric]:
        shown = list(self._series())
        for name, text in SERIES.items():
            family = GaugeMetricFamily(f"shipper_series_{name}", text, labels=SERIES_LABELS)
            for labels, values in shown:
                family.add_metric([labels[label] for label in SERIES_LABELS], values[name])
            yield family
