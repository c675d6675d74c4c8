"""The catalogue of agents and their health."""
