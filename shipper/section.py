"""What the models of the configuration share: how strict they are, and the types that recur."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field

Secs = Annotated[float, Field(gt=0, le=86_400)]
Name = Annotated[str, Field(min_length=1)]

STRICT = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, allow_inf_nan=False)
"""No unknown keys, no change, no NaN; what is wrong is told without quoting all of a section."""
