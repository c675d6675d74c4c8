"""Runs the migrations on the connection that the caller gives."""

from alembic import context

from orchestrator.adapters import identity_tables  # noqa: F401 - its tables are in the metadata once it is imported
from orchestrator.adapters.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
