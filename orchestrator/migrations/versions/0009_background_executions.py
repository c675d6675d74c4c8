"""Adds runs without a workflow, for background executions, and an index of each user's pending approvals."""

from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Changes constraints and adds a nullable column, without rewriting a table."""
    op.execute("ALTER TABLE runs ALTER COLUMN workflow_id DROP NOT NULL, ADD COLUMN agent_id varchar(200)")
    op.execute("CREATE INDEX ix_steps_approval_of_user ON steps (user_id, approval_expires_at) WHERE status = 'waiting_approval'")
