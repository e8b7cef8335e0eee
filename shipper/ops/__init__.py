"""What an operator sees: metrics, health, the agent's own log, the terminal."""
