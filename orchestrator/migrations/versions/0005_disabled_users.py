"""Users that an administrator has disabled."""

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.execute("ALTER TABLE users ADD COLUMN disabled_at timestamptz")
