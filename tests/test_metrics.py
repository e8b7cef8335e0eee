"""The metrics: all of them there from the start, named as Prometheus wants it."""

from prometheus_client import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse

from shipper import __version__
from shipper.metrics import GAUGES, SERIES, TOTALS, Metrics


def observed(totals: dict[tuple[str, str], int], gauges: dict[str, float]) -> Metrics:
    metrics = Metrics()
    metrics.observe(totals=lambda: totals, gauges=lambda: gauges)
    return metrics


def test_totals_and_gauges_are_read_at_each_scrape() -> None:
    """What others own is exported as it is at that moment (I9)."""
    totals, gauges = {("read_bytes", ""): 1, ("dropped_bytes", "rule"): 2}, {"lag_bytes": 3.0}
    value = observed(totals, gauges).registry.get_sample_value
    assert value("shipper_read_bytes_total") == 1
    assert value("shipper_dropped_bytes_total", {"reason": "rule"}) == 2
    assert value("shipper_lag_bytes") == 3
    totals["read_bytes", ""], gauges["lag_bytes"] = 10, 30
    assert value("shipper_read_bytes_total") == 10
    assert value("shipper_lag_bytes") == 30


def test_the_law_of_conservation_can_be_checked() -> None:
    """Each term of I9 has a metric, with a value from the first scrape on."""
    value = observed({}, {}).registry.get_sample_value
    for name in ("read_bytes", "chunked_bytes", "chunked_documents", "delivered_documents"):
        assert value(f"shipper_{name}_total") == 0
    for name in ("dead_documents_total", "lost_documents_total", "buffered_documents"):
        assert value(f"shipper_{name}") == 0
    assert value("shipper_pending_bytes") == 0


def test_known_labels_are_there_before_anything_happened() -> None:
    """A rate over a counter that appears with its first event would miss that event."""
    value = Metrics().registry.get_sample_value
    for outcome in ("delivered", "duplicate", "retry", "refused"):
        assert value("shipper_outcomes_total", {"outcome": outcome}) == 0
    for reason in ("unavailable", "refused", "items"):
        assert value("shipper_retries_total", {"reason": reason}) == 0
    assert value("shipper_build_info", {"version": __version__}) == 1


def test_losses_have_a_sample_for_each_known_reason() -> None:
    """The first loss is an increase of its counter, also after others of another reason."""
    value = observed({("abandoned_bytes", "deleted"): 7}, {}).registry.get_sample_value
    name = "shipper_abandoned_bytes_total"
    assert value(name, {"reason": "deleted"}) == 7
    for reason in ("truncated", "held_bytes", "missing"):
        assert value(name, {"reason": reason}) == 0


def test_series_have_samples_as_long_as_they_are_named() -> None:
    """Which ones that are is asked at each scrape."""
    labels = {"path": "/a", "namespace": "shop", "pod": "web-1", "container": "web"}
    series = [(labels, {name: float(number) for number, name in enumerate(SERIES)})]
    metrics = Metrics()
    metrics.observe(totals=dict, gauges=dict, series=lambda: series)
    value = metrics.registry.get_sample_value
    found = [value(f"shipper_series_{name}", labels) for name in SERIES]
    assert found == list(range(len(SERIES)))
    series.clear()
    assert value("shipper_series_lag_bytes", labels) is None


def test_names_follow_the_conventions() -> None:
    """Base units as suffixes, `_total` for counters alone, a help text for each."""
    families = list(parse(generate_latest(observed({}, {}).registry).decode()))
    ours = [family for family in families if family.name.startswith("shipper_")]
    assert len(ours) >= len(TOTALS) + len(GAUGES)
    for family in ours:
        assert family.documentation.endswith(".")
        assert not family.name.endswith(("_ms", "_kb", "_secs", "_total", "_count"))
        assert (family.type == "counter") == any(
            s.name.endswith("_total") for s in family.samples
        ) or (not family.samples)


def test_both_formats_can_be_parsed() -> None:
    """Prometheus' text and OpenMetrics hold the same families, in their own grammar."""
    registry = observed({("dropped_bytes", "rule"): 1}, {}).registry
    text = {family.name for family in parse(generate_latest(registry).decode())}
    body = generate_openmetrics(registry)  # type: ignore[no-untyped-call]
    families = parse_openmetrics(body.decode())  # type: ignore[no-untyped-call]
    strict = {family.name for family in families}
    assert strict <= {name.removesuffix("_total") for name in text}
    assert "shipper_read_bytes" in strict
