"""What a test measures is printed at the end: a bound that holds says less than its margin."""

from collections.abc import Callable

Record = Callable[[str, object], None]
"""Pytest's `record_property`: a name, and a figure with its unit."""
