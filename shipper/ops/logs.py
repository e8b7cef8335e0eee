"""The agent's own log on stderr: plain on a terminal, JSON lines elsewhere, rate-limited.

The agent's log is itself tailed and shipped: without the limit, a message for each failing line
would feed itself.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import orjson

from shipper.config import LoggingConfig
from shipper.ops.printable import printable

_BURST = 5
"""How often one message may be repeated in `repeat_secs` before it is only counted."""
_MAX_TEMPLATES = 1_000
"""Ours are far fewer; a library may put figures into its templates."""


def set_up(settings: LoggingConfig) -> None:
    """Send the log to stderr as configured."""
    handler = logging.StreamHandler(sys.stderr)
    plain = settings.format == "plain" or (settings.format == "auto" and sys.stderr.isatty())
    handler.setFormatter(Plain() if plain else Json())
    handler.addFilter(RateLimit(settings.repeat_secs))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.level.upper())
    for chatty in ("elastic_transport", "aiohttp", "asyncio", "watchdog"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


@dataclass(slots=True)
class _Seen:
    since: float
    passed: int = 0
    held_back: int = 0


class RateLimit(logging.Filter):
    """Lets a message through a few times each period, and tells how often it was held back.

    Messages are the same if their templates are; debug messages are not limited.
    """

    def __init__(self, period_secs: float, now: Callable[[], float] = time.monotonic) -> None:
        """Limit each message to a burst a period; a period of 0 limits nothing."""
        super().__init__()
        self._period_secs = period_secs
        self._now = now
        self._seen: dict[str, _Seen] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether the record goes out, and note on it what was held back before."""
        if record.levelno <= logging.DEBUG or not self._period_secs:
            return True
        now = self._now()
        if len(self._seen) >= _MAX_TEMPLATES:
            self._seen.clear()
        seen = self._seen.setdefault(str(record.msg), _Seen(now))
        if now - seen.since >= self._period_secs:
            record.held_back = seen.held_back
            seen.since, seen.passed, seen.held_back = now, 0, 0
        seen.passed += 1
        if seen.passed > _BURST:
            seen.held_back += 1
            return False
        return True


class Plain(logging.Formatter):
    """One line for a person; what a file name or a server brings cannot steer the terminal."""

    def format(self, record: logging.LogRecord) -> str:
        """Return time, level and message, and the traceback below it."""
        clock = time.strftime("%H:%M:%S", time.localtime(record.created))
        line = f"{clock} {record.levelname.lower():7} {printable(_message(record))}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class Json(logging.Formatter):
    """One line of JSON for a machine."""

    def format(self, record: logging.LogRecord) -> str:
        """Return time, level, logger, message, and the traceback as a field."""
        secs, micros = divmod(int(record.created * 1_000_000), 1_000_000)
        fields = {
            "time": f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(secs))}.{micros:06d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _message(record),
        }
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        # File names need not be UTF-8: what is not arrives as surrogates, which JSON cannot hold.
        clean = {
            name: text.encode(errors="backslashreplace").decode() for name, text in fields.items()
        }
        return orjson.dumps(clean).decode()


def _message(record: logging.LogRecord) -> str:
    count = getattr(record, "held_back", 0)
    note = f" (and {count} times more before)" if count else ""
    return record.getMessage() + note
