"""How each answer came about: provider, model, stop reason, agent revision, redactions."""

from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Adds a column. NULL is what an earlier release settles; the table is not rewritten."""
    op.execute("ALTER TABLE executions ADD COLUMN facts jsonb")
