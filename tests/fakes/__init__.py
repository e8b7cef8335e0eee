"""Servers that behave, well or badly, as they are told."""
