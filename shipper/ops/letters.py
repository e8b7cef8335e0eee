"""How dead letters are shown: as a line of a list, and as a page."""

from __future__ import annotations

import re
import time
from typing import Protocol

from shipper.ops.printable import printable

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")


class Letter(Protocol):
    """A dead letter; see `sink.deadletter.DeadLetter`."""

    @property
    def number(self) -> int:
        """To name it on the command line."""

    @property
    def index(self) -> str:
        """Where it was to go."""

    @property
    def id(self) -> str:
        """Its `_id`."""

    @property
    def refused_at(self) -> float:
        """Unix time."""

    @property
    def status(self) -> int:
        """The item's HTTP status."""

    @property
    def type(self) -> str:
        """The server's error type."""

    @property
    def reason(self) -> str:
        """The server's words."""

    @property
    def document(self) -> bytes:
        """JSON, as it was sent."""


def letter_line(letter: Letter) -> str:
    """Return a dead letter as a line of a list."""
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(letter.refused_at))
    why = printable(f"{letter.type}: {letter.reason}")
    return f"{letter.number}  {when}Z  {printable(letter.index)}  {letter.status}  {why}"


def letter_page(letter: Letter) -> str:
    """Return all of a dead letter, the document as it was sent on the last line."""
    # In JSON the escaped form of a character is the same character.
    document = _CONTROL.sub(_escape, letter.document.decode(errors="replace"))
    return f"{letter_line(letter)}\n_id {printable(letter.id)}\n{document}"


def _escape(match: re.Match[str]) -> str:
    return f"\\u{ord(match[0]):04x}"
