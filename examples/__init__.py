"""Things to try the agent with."""
