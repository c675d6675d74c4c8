"""Runs the migrations on the connection that the caller gives."""

from alembic import context

import orchestrator.adapters.event_tables  # noqa: F401 (its tables are part of the metadata)
from orchestrator.adapters.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
