"""Tests of the shipping side. `documents` makes documents, chunks, and a store to fill."""
