"""What a person sees."""

import io
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipper.ops.terminal import Rate, Snapshot, bar, size, status, summary, view

SHOWN = Snapshot(
    paths=("/logs/a.log", "/logs/b.log"),
    skipped={"/logs/x\x1b[2J.txt": "not named *.log", "/logs/y.txt": "not named *.log"},
    read_bytes=1_500,
    lag_bytes=500,
    lag_secs=1.25,
    delivered=1_234,
    buffered=5,
    server_url="http://127.0.0.1:9880",
)
ESC = "\x1b"


class Terminal(io.StringIO):
    """A stderr that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_status_says_what_how_fast_how_far_and_how_to_look() -> None:
    """The live status has what the issue of a newcomer is, and no escape of a file's name."""
    rows = dict(status(SHOWN, 99.4, destination="the local store"))
    assert rows == {
        "following": "2 files into the local store (2 skipped: x [2J.txt, y.txt)",
        "read": "1.5 KB",
        "behind": "500 B, 1.2 s",
        "delivered": "1,234 documents, 99 docs/s",
        "buffered": "5 documents",
        "look": "shipper search 'error namespace:shop'",
        "metrics": "curl http://127.0.0.1:9880/metrics",
        "stop": "Ctrl-C",
    }


def test_trouble_and_refused_documents_are_shown() -> None:
    """What is wrong stands in the status, in one line."""
    rows = dict(
        status(Snapshot(paths=("a",), dead=2, trouble="no\nway"), 0, destination="http://h")
    )
    assert rows["trouble"] == "no way"
    assert rows["refused"].startswith("2 documents (shipper deadletters ls")
    assert "look" not in rows


def test_agent_that_waits_says_only_that() -> None:
    """Before anything is followed there are no figures to show."""
    rows = status(Snapshot(trouble="/s is in use by pid 7"), 0, destination="x")
    assert rows[0] == ("waiting", "/s is in use by pid 7")


def test_bar_shows_share_speed_and_time_left() -> None:
    """Three quarters done in three seconds leaves one."""
    line = bar(SHOWN, 1_000, secs=3)
    assert line.count("━") == 18
    assert line.endswith("75%  1.5 KB of 2.0 KB  1,000 docs/s  1 s left")
    assert bar(Snapshot(), 0, secs=0).endswith("0%  0 B of 0 B  0 docs/s  0 s left")
    assert "2 min 05 s left" in bar(Snapshot(read_bytes=1, lag_bytes=1), 1, secs=125)
    assert bar(Snapshot(trouble="away"), 1, secs=1).endswith("away")


@pytest.mark.parametrize(
    ("snapshot", "line"),
    [
        (SHOWN, "delivered 1,234 documents from 2 files, 1.5 KB, in 2.0 s (617 docs/s)"),
        (Snapshot(paths=("a",)), "nothing new in 1 file (--from-beginning reads them again)"),
        (Snapshot(skipped={"/a/b.txt": "no"}), "no files to read (1 skipped: b.txt)"),
        (Snapshot(paths=("a",), delivered=1, dead=1), "1 document from 1 file"),
        (Snapshot(paths=("a",), dead=3), "3 refused (shipper deadletters ls"),
        (Snapshot(paths=("a",), buffered=4), "4 stay in the buffer"),
    ],
)
def test_summary_says_what_was_done(snapshot: Snapshot, line: str) -> None:
    """Also that nothing was, and what was left out."""
    assert line in summary(snapshot, 2)


def test_only_the_first_skipped_files_are_named() -> None:
    """A directory full of other files does not fill the screen."""
    many = Snapshot(paths=("a",), skipped={f"/l/{n}.txt": "" for n in range(9)})
    assert summary(many, 1).count(".txt") == 3
    assert "9 skipped: 0.txt, 1.txt, 2.txt, …" in summary(many, 1)


@given(st.integers(0, 10**15))
def test_sizes_are_short(count: int) -> None:
    """Four digits and a unit at most, for whatever fits on a disk."""
    number, unit = size(count).split(" ")
    assert float(number) <= 1000
    assert unit in {"B", "KB", "MB", "GB", "TB"}


def test_rate_is_that_of_the_last_seconds() -> None:
    """A pause shows at once, an old burst not for ever."""
    rate = Rate()
    assert rate.update(0, 0.0) == 0
    assert rate.update(100, 1.0) == 100
    assert rate.update(100, 5.0) == 20
    assert rate.update(100, 9.0) == 0


@pytest.mark.parametrize("once", [True, False])
def test_terminal_is_drawn_on(monkeypatch: pytest.MonkeyPatch, *, once: bool) -> None:
    """On a terminal snapshots are shown as they come; the cursor is given back at the end."""
    out = Terminal()
    monkeypatch.setattr(sys, "stderr", out)
    monkeypatch.setenv("TERM", "xterm")
    with view("http://h:9200", once=once, quiet=False) as shown:
        assert shown is not None
        shown.show(SHOWN)
        shown.show(SHOWN)
    assert "1.5 KB" in out.getvalue()
    assert out.getvalue().rindex(f"{ESC}[?25h") > out.getvalue().rindex(f"{ESC}[?25l")


def test_nothing_is_drawn_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Into a file, or where standard output has the terminal, the view is none."""
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with view("x", once=False, quiet=False) as shown:
        assert shown is None
    monkeypatch.setattr(sys, "stderr", Terminal())
    with view("x", once=False, quiet=True) as shown:
        assert shown is None
