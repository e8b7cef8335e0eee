"""The document of /status: bounded, in order, the same on both sides."""

import json

import pytest

from shipper.errors import ShipperError
from shipper.model import FileStatus, SeriesStatus
from shipper.ops.status import (
    MOST_SERIES,
    Buffer,
    Status,
    by_lag,
    decode,
    encode,
    labels_of,
    rows_of,
    skipped_of,
)

ID = "0123456789abcdef" * 4
WEB = f"/var/log/containers/web-7d4f-x2x7p_shop_web-{ID}.log"


def file(path: str, size: int, read: int, *, held: bool = False, secs: float = 0.0) -> FileStatus:
    return FileStatus(path, f"key of {path}", size, read, secs, held=held, live=not held)


def test_row_sums_up_the_generations_of_a_series() -> None:
    """Lag in bytes is that of all, lag in seconds that of the oldest; a .gz has no size."""
    files = (
        file("/l/a.log.2.gz", 0, 500),
        file("/l/a.log.1", 100, 40, held=True, secs=9.0),
        file("/l/a.log", 30, 20, secs=2.0),
    )
    ((row,), left_off) = rows_of([SeriesStatus("/l/a.log", files, 7, 8, 9)])
    assert left_off == 0
    assert (row.size_bytes, row.read_bytes, row.lag_bytes, row.lag_secs) == (130, 60, 70, 9.0)
    assert (row.held_bytes, row.pending_bytes, row.abandoned_bytes, row.gaps) == (60, 7, 8, 9)
    assert [(f.path, f.lag_bytes, f.held, f.live) for f in row.files] == [
        ("/l/a.log.2.gz", 0, False, True),
        ("/l/a.log.1", 60, True, False),
        ("/l/a.log", 10, False, True),
    ]


@pytest.mark.parametrize(
    ("path", "name"),
    [
        (WEB, "shop/web-7d4f-x2x7p web"),
        (f"/var/lib/docker/containers/{ID}/{ID}-json.log", "container 0123456789ab"),
        ("/var/log/syslog", "/var/log/syslog"),
    ],
)
def test_series_is_called_by_what_the_operator_knows(path: str, name: str) -> None:
    """Pod and container where the path has them; it has no use for 64 hex digits."""
    ((row,), _) = rows_of([SeriesStatus(path)])
    assert (row.path, row.name) == (path, name)


def test_most_behind_comes_first() -> None:
    """By bytes, then by time; what is not behind by name."""
    late = SeriesStatus("/z", (file("/z", 10, 0),))
    later = SeriesStatus("/y", (file("/y", 10, 0, secs=1.0),))
    far = SeriesStatus("/x", (file("/x", 11, 0),))
    even = [SeriesStatus("/b"), SeriesStatus("/a")]
    order = [series.path for series in by_lag([*even, late, later, far])]
    assert order == ["/x", "/y", "/z", "/a", "/b"]


def test_document_is_bounded() -> None:
    """However many series, files and skipped ones: the first, and how many there are more."""
    series = [SeriesStatus(f"/{n}", (file("/f", n, 0),)) for n in range(MOST_SERIES + 7)]
    rows, left_off = rows_of(series)
    assert (len(rows), left_off, rows[0].lag_bytes) == (MOST_SERIES, 7, MOST_SERIES + 6)
    many = SeriesStatus("/a", tuple(file(f"/a.{n}", 1, 0) for n in range(60)))
    ((row,), _) = rows_of([many])
    assert (len(row.files), row.files_left_off, row.lag_bytes) == (50, 10, 60)
    skipped, left_off = skipped_of({f"/{n:03}": "why" for n in range(103)})
    assert (len(skipped), left_off, next(iter(skipped))) == (100, 3, "/000")


def test_document_is_the_same_on_both_sides() -> None:
    """JSON and back."""
    rows, _ = rows_of([SeriesStatus(WEB, (file(WEB, 3, 2, secs=0.5),), 1, 2, 3)])
    status = Status(
        version="1.2.3",
        buffer=Buffer(1, 2, 3, 4),
        totals={"read_bytes": 1},
        abandoned_bytes={"deleted": 5},
        series=rows,
    )
    assert decode(encode(status)) == status
    assert json.loads(encode(status))["series"][0]["lag_secs"] == 0.5


def test_document_of_another_version_is_understood() -> None:
    """What it says beside is left out, what it does not say has its default."""
    assert decode(b'{"version":"9","new":{"a":1}}') == Status(version="9")


@pytest.mark.parametrize("body", [b"", b"no", b"[]", b'{"pid":"x"}'])
def test_what_is_no_document_is_an_error(body: bytes) -> None:
    """Some other program listens there."""
    with pytest.raises(ShipperError, match="no status of shipper"):
        decode(body)


def test_labels_name_the_container() -> None:
    """They are empty where the path does not say them: the names of labels are always the same."""
    names = {"namespace": "shop", "pod": "web-7d4f-x2x7p", "container": "web"}
    assert labels_of(WEB) == {"path": WEB, **names}
    assert labels_of("/a") == {"path": "/a", "namespace": "", "pod": "", "container": ""}
