"""An event's index is that of its UTC day, its id that of its file and offset."""

import json

from shipper.pipeline.encode import ACTION_END
from shipper.pipeline.route import action_prefix, index_of


def test_the_index_is_the_one_of_the_day() -> None:
    """Dots stand between year, month and day, as logstash has it."""
    assert index_of("logstash", "2026-11-23") == "logstash-2026.11.23"


def test_an_action_creates_one_id_in_one_index() -> None:
    """I5: The action line is `create` with an id of file key and offset, and has no type."""
    action = action_prefix("logstash-2026.11.23", "abcd") + ACTION_END % 255
    assert json.loads(action) == {"create": {"_index": "logstash-2026.11.23", "_id": "abcd-ff"}}
    assert action.endswith(b"\n")
