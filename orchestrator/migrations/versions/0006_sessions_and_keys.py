"""Records from where a session was opened and which API key created an API key."""

from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Adds the columns, and an index to find the keys that a key created."""
    op.execute("ALTER TABLE sessions ADD COLUMN ip varchar(45) NOT NULL DEFAULT ''")
    op.execute("ALTER TABLE api_keys ADD COLUMN created_by uuid")
    op.execute("CREATE INDEX ix_api_keys_created_by ON api_keys (created_by) WHERE created_by IS NOT NULL")
    op.execute("DROP INDEX ix_sessions_user_id")
    op.execute("CREATE INDEX ix_sessions_user_id ON sessions (user_id, session_id DESC)")
    op.execute("DROP INDEX ix_audit_log_actor_id")
    op.execute("CREATE INDEX ix_audit_log_actor_id ON audit_log (actor_id, id DESC)")
    op.execute("CREATE INDEX ix_audit_log_action ON audit_log (action, id DESC)")
