"""The pipeline: bytes in, documents out. `lines` makes the input, `reference` the expectation."""
