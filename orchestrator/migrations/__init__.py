"""Alembic's scripts. `orchestrator.adapters.postgres.migrate` runs them when a process starts."""
