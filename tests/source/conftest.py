"""What several tests of the reading side begin with."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.source.place import Place


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """A place without files; what is open is closed at the end."""
    place = Place(tmp_path)
    try:
        yield place
    finally:
        place.close()
