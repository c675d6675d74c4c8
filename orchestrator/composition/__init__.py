"""Wiring: builds each process from its settings, on one AsyncExitStack."""
