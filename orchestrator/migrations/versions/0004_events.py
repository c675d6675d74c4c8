"""The event log: positions for what the outbox holds."""

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Makes the tables."""
