"""The delivery contract over everything that happens to a log file, by a model of a node."""

import asyncio
import tempfile
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.source.node import ACTIONS, Action, Node

NAMES = [name for name, weight in ACTIONS.items() for _ in range(weight)]
HISTORIES = st.lists(st.tuples(st.sampled_from(NAMES), st.integers(0, 999)), max_size=25)
PART_OVER_A_ROTATION = [("write_part", 0), ("rest", 39), ("rename", 0), ("reopen", 0), ("write", 0)]


@pytest.mark.parametrize("banner", [b"", b"=== begin ===\n"], ids=["timed", "equal heads"])
@given(HISTORIES)
@settings(max_examples=max(10, settings().max_examples // 3))
@example([("write_part", 0), ("rename", 0), ("write", 0), ("reopen", 0), ("kill", 0)])
@example([*PART_OVER_A_ROTATION, ("catch_up", 0), ("kill", 0), ("write", 0)])
@example([*PART_OVER_A_ROTATION[:-1], ("settle", 0), ("kill", 0), ("write", 0)])
@example([("write_half", 1), ("rename", 0), ("rest", 39), ("reopen", 0), ("write", 1)])
def test_every_line_is_delivered_exactly_once(banner: bytes, history: list[Action]) -> None:
    """I1, I4, I5: whatever is renamed or killed, each line is delivered once, as it was."""
    with tempfile.TemporaryDirectory() as root:
        node = Node(Path(root), banner=banner)
        asyncio.run(node.run(history))
    assert node.delivered.logs == sorted(node.expected)
