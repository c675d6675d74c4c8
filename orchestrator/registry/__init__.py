"""The catalogue of agents: which there are, and how they are."""
