"""What a person sees of /status."""

import io
import re
import sys

import pytest

from shipper.ops.page import duration, head, show
from shipper.ops.status import Buffer, FileRow, SeriesRow, Status

ESC = "\x1b"
NOTES = ("held", "pending", "abandoned")


class Terminal(io.StringIO):
    """A stdout that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def series(name: str, size: int = 0, read: int = 0, **more: int) -> SeriesRow:
    path = f"/var/log/containers/{name.replace(' ', '_')}.log"
    files = [FileRow(path, "key", size, read, size - read, 0, held=False, live=True)]
    values = {"held_bytes": 0, "pending_bytes": 0, "abandoned_bytes": 0, "gaps": 0, **more}
    return SeriesRow(path, name, size, read, size - read, 1.5, files=files, **values)


def printed(
    monkeypatch: pytest.MonkeyPatch, status: Status, *, files: bool = False, columns: int = 0
) -> list[str]:
    """The lines that are printed into a pipe, or on a terminal of so many columns."""
    out = Terminal() if columns else io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", str(columns or 20))
    show(status, files=files)
    return out.getvalue().splitlines()


def plain(lines: list[str]) -> list[str]:
    return [re.sub(rf"{ESC}\[[0-9;]*m", "", line) for line in lines]


LONG = "a-namespace-with-a-long-name/a-very-long-deployment-name-64c8d7f5bd-zzxq2 sidecar-proxy"
BUSY = Status(
    version="1.2.3",
    node="node-1",
    pid=7,
    uptime_secs=3_700,
    state_dir="/var/lib/shipper",
    output="http://es:9200/logstash-*",
    lag_bytes=1_500,
    lag_secs=1.5,
    open_files=3,
    buffer=Buffer(2, 1_234, 5_000, 1_000_000),
    totals={"delivered": 12_345, "read_bytes": 2_000_000},
    series=[series(LONG, 2_000_000, 1_998_500), series("shop/web web", 10, 10)],
)


def test_head_says_who_where_and_how_far() -> None:
    """Nothing is said of what is not the matter."""
    assert head(BUSY) == [
        ("shipper", "1.2.3 on node-1, pid 7, up 1 h 1 min"),
        ("state", "/var/lib/shipper"),
        ("output", "http://es:9200/logstash-*"),
        ("read", "2.0 MB"),
        ("delivered", "12,345 documents"),
        ("buffer", "1,234 documents in 2 chunks, 5.0 KB of 1.0 MB"),
        ("behind", "1.5 KB, 1.5 s, in 1 of 2 logs; 3 files open"),
    ]


def test_head_says_what_is_wrong() -> None:
    """Every loss and every fault that the agent knows of has a row."""
    wrong = Status(
        trouble="answered 503",
        paused="the disk is full",
        kubernetes="3 there, 1 gone; no connection",
        held_bytes=5,
        totals={"dead": 2, "lost_documents": 3, "gaps": 1},
        abandoned_bytes={"deleted": 1_500, "truncated": 0},
        dropped_bytes={"rule": 9},
        mismatches={"bytes": 1_234},
        skipped={"/a": "not named *.log"},
        skipped_left_off=1,
    )
    assert dict(head(wrong)[6:]) == {
        "behind": "0 B, 0.0 s, 5 B of it deleted, in 0 of 0 logs; 0 files open",
        "pods": "3 there, 1 gone; no connection",
        "trouble": "answered 503",
        "paused": "the disk is full",
        "refused": "2 documents (shipper deadletters ls)",
        "lost": "3 documents of chunk files that vanished",
        "abandoned": "1.5 KB deleted: gone before it was read",
        "gaps": "1 between files: some may have come and gone unseen",
        "dropped": "9 B rule",
        "account": "does not add up: bytes by 1,234 (see the agent's log)",
        "skipped": "2 files, such as /a: not named *.log",
    }


def test_agent_that_waits_says_only_that(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has no figures yet."""
    waiting = Status(version="1", node="n", waiting="/s is in use by pid 7")
    assert printed(monkeypatch, waiting) == [
        "shipper   1 on n, pid 0, up 0 s",
        "waiting   /s is in use by pid 7",
    ]


def test_pipe_gets_one_line_a_row_and_no_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the width: grep and awk read it."""
    lines = printed(monkeypatch, BUSY)
    assert ESC not in "".join(lines)
    *_, header, first, second = lines
    assert header.split() == ["log", "size", "read", "behind", "secs"]
    assert first.split(maxsplit=2)[:2] == LONG.split()
    assert first.endswith("2.0 MB  2.0 MB  1.5 KB   1.5")
    assert second.split() == ["shop/web", "web", "10", "B", "10", "B", "0", "B", "1.5"]


def test_terminal_is_not_too_narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """80 columns are enough, with every column that there can be, and names are whole."""
    losses = {"held_bytes": 999_900, "pending_bytes": 999_900, "abandoned_bytes": 999_900}
    status = Status(series=[series(LONG, 10**9, 10**6, **losses)])
    lines = plain(printed(monkeypatch, status, columns=80))
    assert max(map(len, lines)) <= 80
    assert "999.9 KB" in "".join(lines)
    header, *table = lines[lines.index("") + 1 :]
    name, notes = slice(header.index("size") - 4), slice(header.index("notes"), None)
    assert "".join(line[name].strip() for line in table) == LONG.replace(" ", "")
    assert [line[notes].strip() for line in table[:3]] == [f"{note} 999.9 KB" for note in NOTES]


def test_notes_say_what_is_not_as_it_should_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is nothing to say in any row there is no such column."""
    noted = series("b", held_bytes=1, pending_bytes=1_500, abandoned_bytes=2, gaps=3)
    lines = printed(monkeypatch, Status(series=[series("a"), noted]))
    assert lines[-3].split() == ["log", "size", "read", "behind", "secs", "notes"]
    assert lines[-1].endswith("1.5  held 1 B, pending 1.5 KB, abandoned 2 B, 3 gaps")
    lines = printed(monkeypatch, Status(series=[series("a")]))
    assert lines[-2].split() == ["log", "size", "read", "behind", "secs"]


def test_terminal_shows_the_first_of_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """The most behind stay on the screen; a pipe has all."""
    many = Status(series=[series(f"s{n}") for n in range(30)], series_left_off=5)
    shown = plain(printed(monkeypatch, many, columns=80))
    assert shown[-2].startswith("s19 ")
    assert shown[-1] == "and 15 more (shipper status | less)"
    piped = printed(monkeypatch, many)
    assert piped[-2].startswith("s29 ")
    assert piped[-1] == "and 5 more"


def test_files_have_rows_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """One for each generation; it is said of one that it is deleted, or rotated."""
    row = series("shop/web web", 10, 10)
    row.files.insert(0, FileRow("/l/a.log.1", "k", 30, 10, 20, 4.0, held=True, live=False))
    row.files.insert(1, FileRow("/l/a.log.1", "k", 30, 10, 20, 4.0, held=False, live=False))
    lines = printed(monkeypatch, Status(series=[row]), files=True)
    assert lines[-4].split() == ["file", "size", "read", "behind", "secs", "notes"]
    assert [line.split()[0] for line in lines[-3:]] == [file.path for file in row.files]
    assert [line.split()[8:] for line in lines[-3:]] == [["deleted"], ["rotated"], []]


def test_names_of_files_do_nothing_to_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither escapes, nor what rich takes for a mark."""
    status = Status(state_dir="/[bold]x\x1b[2J", series=[series("/l/[red]\x1b[2Ja[/].log")])
    text = "\n".join(printed(monkeypatch, status))
    assert ESC not in text
    assert "/[bold]x [2J" in text
    assert "/l/[red] [2Ja[/].log" in text


@pytest.mark.parametrize(
    ("secs", "text"),
    [(0, "0 s"), (59.9, "59 s"), (61, "1 min 1 s"), (3_660, "1 h 1 min"), (90_000, "1 d 1 h")],
)
def test_duration_has_two_units(secs: float, text: str) -> None:
    """More precise than that nobody asks."""
    assert duration(secs) == text
