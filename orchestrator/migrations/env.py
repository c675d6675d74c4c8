"""Runs the migrations on the connection that the caller gives."""

from alembic import context

from orchestrator.adapters.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
