"""Runs the migrations on the connection that the caller gives."""

from alembic import context

from orchestrator.adapters import event_tables, identity_tables, workflow_tables  # noqa: F401 - their tables join the metadata
from orchestrator.adapters.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
