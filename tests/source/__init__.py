"""Tests of the reading side: real files, the real chain, the real spool."""
