"""An event becomes two lines of a bulk body."""

from hypothesis import given
from hypothesis import strategies as st

from shipper.model import Event
from shipper.pipeline.encode import encode
from shipper.pipeline.route import action_prefix
from tests.pipeline.lines import TEXTS, TIME
from tests.pipeline.reference import KEY, SUFFIX, documents_of


@given(TEXTS | st.text(), st.integers(0, 1 << 62))
def test_an_event_is_two_lines(text: str, offset: int) -> None:
    """Whatever is in its text, an event is one action and one document, and its text survives."""
    event = Event("tag", TIME, {"log": text, "@timestamp": TIME}, KEY, offset, 1)
    body = encode(event, prefix=action_prefix("logs", KEY), suffix=SUFFIX)
    (document,) = documents_of(body)
    assert document.id == f"{KEY}-{offset:x}"
    assert document.fields[:2] == [("log", text), ("@timestamp", TIME)]
    assert [name for name, _ in document.fields[2:]] == ["docker", "kubernetes", "tag", "cluster"]
