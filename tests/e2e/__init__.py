"""The program as its user runs it, against real servers."""
