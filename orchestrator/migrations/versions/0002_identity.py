"""Users, their tokens and API keys, and the audit log."""

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Makes the tables."""
