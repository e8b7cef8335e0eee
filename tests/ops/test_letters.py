"""How dead letters are shown."""

import json

from hypothesis import given
from hypothesis import strategies as st

from shipper.ops.letters import letter_line, letter_page
from shipper.sink.deadletter import DeadLetter


def letter(document: str, reason: str = "failed") -> DeadLetter:
    return DeadLetter(7, "logs", "i-1", 1e9, 400, "some_exception", reason, document.encode())


def test_line_has_what_to_decide_by() -> None:
    """Number, time, index, status and reason are one line."""
    assert letter_line(letter("{}", "no\nway")) == (
        "7  2001-09-09 01:46:40Z  logs  400  some_exception: no way"
    )


@given(st.text())
def test_document_is_the_same_json_and_harmless(text: str) -> None:
    """The last line is the document, whatever it holds; a terminal does not obey it."""
    sent = json.dumps({"log": text}, ensure_ascii=True).replace("\\u00a0", "\u00a0")
    raw = '{"log":"\u009b2J\x7f\u202e"}'
    assert json.loads(letter_page(letter(sent)).splitlines()[-1]) == json.loads(sent)
    shown = letter_page(letter(raw)).splitlines()[-1]
    assert json.loads(shown) == json.loads(raw)
    assert shown.isprintable()
