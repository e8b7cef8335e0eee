"""Names: what a suffix says of a file's place in its series, and what is none."""

import pytest

from shipper.source.names import split_name


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("a.log", "a.log"),
        ("a.log.1", "a.log"),
        ("a.log.12.gz", "a.log"),
        ("a.log.gz", "a.log"),
        ("a.log-20261123", "a.log"),
        ("a.log-20261123-2.gz", "a.log"),
        ("0.log.20261123-101112", "0.log"),
        ("0.log.20261123-101112.gz", "0.log"),
        ("a.log.1.2", "a.log"),
        ("a-20261123.log", "a-20261123.log"),
        ("a.1.log", "a.1.log"),
        (".1", ".1"),
        ("syslog", "syslog"),
        ("a.log.1.gz.tmp", "a.log.1.gz.tmp"),
        ("a-2026-11-23.tmp", "a-2026-11-23.tmp"),
        ("a.log-2026112310", "a.log"),
        ("a.log-20261123-1764403200.gz", "a.log"),
        ("a.log.1764403200", "a.log"),
        ("a.log.202611231011", "a.log"),
        ("a.log-20261123_101112", "a.log"),
        ("a.log.20261123-101112.4711", "a.log"),
        ("a.log.2026-11-23", "a.log"),
        ("a.log.2026-11-23_10-11-12", "a.log"),
        ("a.log.2026-11-23.0.gz", "a.log"),
        ("a.log.old", "a.log"),
        ("a-2026-11-23T10-11-12.123.log", "a.log"),
        ("a-2026-11-23T10-11-12.123.log.gz", "a.log"),
        ("a.2026-11-23.0.log.gz", "a.log"),
        ("a_2026-11-23.log.1", "a.log"),
        ("2026-11-23.log", "2026-11-23.log"),
        ("a-2026-11-23-b.log", "a-2026-11-23-b.log"),
        ("a-1226-11-23.log", "a-1226-11-23.log"),
    ],
)
def test_name_is_split_into_stem_and_generation(name: str, stem: str) -> None:
    """A rotation suffix and `.gz` are no part of the stem; what only looks a bit like one is."""
    assert split_name(name)[0] == stem
    assert split_name(stem)[0] == stem
    assert split_name(name)[1].live == (name == stem)


@pytest.mark.parametrize(
    "names",
    [
        ["a.log.10.gz", "a.log.2.gz", "a.log.1", "a.log"],
        ["a.log-20251231", "a.log-20261123", "a.log-20261123-2", "a.log"],
        ["0.log.20261123-101112.gz", "0.log.20261123-101113", "0.log"],
        ["a.log-20261123-9", "a.log-20261123-10", "a.log-20261124", "a.log"],
        ["a.log.2026-11-23.9.gz", "a.log.2026-11-23.10", "a.log.2026-11-24.0", "a.log"],
        ["a-2026-11-23T10-11-12.9.log.gz", "a-2026-11-23T10-11-12.10.log", "a.log"],
        ["a.2026-11-23.log.2", "a.2026-11-23.log.1", "a.2026-11-24.log.1", "a.log"],
    ],
)
def test_generations_sort_from_the_oldest_to_the_live_one(names: list[str]) -> None:
    """Higher numbers and earlier dates are older, and the file without a suffix is the newest."""
    ages = [split_name(name)[1] for name in names]
    assert ages == sorted(ages)
    assert len(set(ages)) == len(ages)
