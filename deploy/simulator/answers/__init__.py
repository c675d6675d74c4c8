"""The text of simulated answers."""
