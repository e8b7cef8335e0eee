"""Benchmarks of the agent: what a document costs, what quiet files cost, how late a line arrives.

``python -m benchmarks.bench`` runs them; README.md beside this file says what each figure means.
Linux only: the cost of a process tree is read from /proc. Nothing here is imported by ``shipper``,
and nothing here imports it: agents are measured from outside, as processes.
"""
