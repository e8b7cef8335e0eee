"""The shipping side: chunks to a destination, and the fate of each document. Knows no log files."""
