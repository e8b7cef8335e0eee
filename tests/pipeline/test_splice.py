"""What was found for all lines at once is put together line by line."""

import pytest

from shipper.pipeline.splice import Columns, is_before, weave


def test_columns_become_lines() -> None:
    """Each line has its own offset and values, between what is the same for all."""
    columns = Columns([b"a", b"b"], [b"-", b"+"], [b"1", b"2"], to_log=b"{")
    made = weave(columns, (10, 255), prefix=b"<", end=b">")
    assert made == b'<a"}}\n{a-1><ff"}}\n{b+2>'


@pytest.mark.parametrize(
    ("times", "before"),
    [
        ([b"10:11:12"], True),
        ([b"10:11:12.4", b"10:11:12.49999999"], True),
        ([b"10:11:12.5"], False),
        ([b"10:11:12.500", b"10:11:12.50", b"10:11:13"], False),
        ([b"10:11:12.5", b"10:11:12.4999"], None),
        ([b"10:11:12", b"10:11:13"], None),
    ],
)
def test_times_are_on_one_side_of_a_moment_or_not(times: list[bytes], before: bool | None) -> None:
    """All before, none before, or both; the moment itself is not before it."""
    assert is_before(times, b"10:11:12.5") is before
    assert is_before(times[::-1], b"10:11:12.5") is before
