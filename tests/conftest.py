"""What holds for every test: the hypothesis profiles, the e2e marker, and that CI skips nothing."""

import os
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import settings

E2E = Path(__file__).parent / "e2e"
CI = os.environ.get("CI") == "true"

# No deadline anywhere: several people, and CI's other jobs, share the machine's clock.
settings.register_profile("dev", deadline=None)
# Derandomised: a red run is due to the change under test. New examples are found by dev and soak.
settings.register_profile("ci", deadline=None, derandomize=True, max_examples=300)
settings.register_profile("soak", deadline=None, max_examples=3_000, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))


@pytest.hookimpl(tryfirst=True)  # before the `-m` expression is applied
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test in tests/e2e as e2e, unless it is soak."""
    for item in items:
        if E2E in item.path.parents and item.get_closest_marker("soak") is None:
            item.add_marker("e2e")


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """In CI, a skipped module is a failure."""
    report = yield
    _refuse_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI, a skipped test is a failure; one that is expected to fail (xfail) is not."""
    report = yield
    _refuse_skip(report)
    return report


def _refuse_skip(report: pytest.CollectReport | pytest.TestReport) -> None:
    if CI and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"skipped, and CI skips nothing: {reason}"
