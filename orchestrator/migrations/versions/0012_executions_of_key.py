"""Adds an index of the executions of each API key, by which ListExecutions finds them."""

from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Calls that an access token makes have no entry."""
    op.execute("CREATE INDEX ix_executions_key ON executions (api_key_id, execution_id DESC) WHERE api_key_id IS NOT NULL")
