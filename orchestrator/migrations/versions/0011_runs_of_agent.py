"""Adds an index of the runs of each agent, by which ListRuns finds them without looking at the steps of every run."""

from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.execute("CREATE INDEX ix_steps_agent ON steps (agent_id, run_id DESC)")
