"""A node in small, on real files: who writes and rotates logs, the agent, and what it owes."""
