"""A model of a loss of power, under the real spool.

What it does to its files is recorded; every state that the disk may be found in afterwards is built
and opened again.
"""
