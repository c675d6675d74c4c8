"""Adds how each answer came about: provider, model, stop reason, agent revision, redactions."""

from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Adds a column, without rewriting the table. It is NULL for executions that an earlier release settles."""
    op.execute("ALTER TABLE executions ADD COLUMN facts jsonb")
