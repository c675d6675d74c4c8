"""Runs the migrations on the connection that the caller gives."""

from alembic import context

import orchestrator.adapters.analytics.tables
import orchestrator.adapters.events.tables
import orchestrator.adapters.executions.tables
import orchestrator.adapters.idempotency.tables
import orchestrator.adapters.identity.tables
import orchestrator.adapters.workflows.tables  # noqa: F401 - these tables join the metadata
from orchestrator.adapters.postgres.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
