"""The agent's own log: two formats, and a limit for what repeats itself."""

import io
import json
import logging
import sys
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipper.config import LoggingConfig
from shipper.ops.logs import Json, Plain, RateLimit, set_up


def record(message: str, *arguments: object, level: int = logging.INFO) -> logging.LogRecord:
    return logging.LogRecord("shipper.x", level, "x.py", 1, message, arguments, None)


def fault() -> logging.LogRecord:
    """A record with a traceback."""
    try:
        raise ValueError("bug")
    except ValueError:
        made = record("it failed", level=logging.ERROR)
        made.exc_info = sys.exc_info()
        return made


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    """The root logger, put back as it was."""
    logger = logging.getLogger()
    before = logger.handlers[:], logger.level
    yield logger
    logger.handlers[:], level = before
    logger.setLevel(level)


@given(st.text(), st.text())
def test_every_message_is_one_line_of_json(message: str, name: str) -> None:
    """Whatever a message holds, also what is no Unicode, it is one JSON object on one line."""
    line = Json().format(record("%s: %s", message, name))
    assert "\n" not in line
    assert set(json.loads(line)) == {"time", "level", "logger", "message"}


def test_names_that_are_no_utf8_can_be_logged() -> None:
    """A file's name need not be UTF-8; what is not is written as escapes."""
    line = Json().format(record("%s is skipped", b"a\xff.log".decode(errors="surrogateescape")))
    assert json.loads(line)["message"] == "a\\udcff.log is skipped"


def test_json_has_the_traceback_as_a_field() -> None:
    """A bug is one line, too."""
    fields = json.loads(Json().format(fault()))
    assert (fields["level"], fields["message"]) == ("error", "it failed")
    assert "ValueError: bug" in fields["exception"]
    assert fields["time"].endswith("Z")


@given(st.text())
def test_plain_message_cannot_steer_a_terminal(message: str) -> None:
    """Escape sequences and line breaks of foreign names and servers are not passed on."""
    line = Plain().format(record("%s", message))
    assert all(c.isprintable() for c in line)


def test_plain_has_the_traceback_below() -> None:
    """A bug is shown to a person as Python shows it."""
    first, *rest = Plain().format(fault()).splitlines()
    assert first.endswith("error   it failed")
    assert rest[-1] == "ValueError: bug"


def test_repeated_message_is_held_back_and_counted() -> None:
    """Of one message five go out a period; the next one says how many did not."""
    now = 0.0
    limit = RateLimit(60, now=lambda: now)
    assert [limit.filter(record("%s failed", n)) for n in range(8)] == [True] * 5 + [False] * 3
    assert limit.filter(record("another")), "others are not affected"
    now = 60.0
    late = record("%s failed", 9)
    assert limit.filter(late)
    assert Plain().format(late).endswith("9 failed (and 3 times more before)")
    assert Plain().format(record("%s failed", 10)).endswith("10 failed")


def test_debug_and_an_unlimited_log_are_not_held_back() -> None:
    """The trace of `--log-level debug` is whole; a period of 0 turns the limit off."""
    limited, unlimited = RateLimit(60), RateLimit(0)
    assert all(limited.filter(record("x", level=logging.DEBUG)) for _ in range(20))
    assert all(unlimited.filter(record("x")) for _ in range(20))


def test_limit_does_not_grow_with_what_is_logged() -> None:
    """A library that puts figures into its messages does not fill the memory."""
    limit = RateLimit(60)
    for number in range(5_000):
        limit.filter(record(f"number {number}"))
    assert len(limit._seen) <= 1_000  # noqa: SLF001  # nothing else shows it


@pytest.mark.parametrize(
    ("form", "on_terminal", "is_json"),
    [("auto", False, True), ("auto", True, False), ("plain", False, False), ("json", True, True)],
)
def test_format_is_chosen(
    root: logging.Logger,
    monkeypatch: pytest.MonkeyPatch,
    form: str,
    *,
    on_terminal: bool,
    is_json: bool,
) -> None:
    """By itself the log is plain on a terminal and JSON elsewhere."""
    out = io.StringIO()
    monkeypatch.setattr(out, "isatty", lambda: on_terminal)
    monkeypatch.setattr(sys, "stderr", out)
    set_up(LoggingConfig.model_validate({"format": form, "level": "warning"}))
    logging.getLogger("shipper.a").info("not this")
    logging.getLogger("shipper.a").warning("hello")
    logging.getLogger("aiohttp.access").info("nor this")
    assert out.getvalue().startswith("{") is is_json
    assert out.getvalue().count("\n") == 1
    assert len(root.handlers) == 1
