"""Adds the user of each step and each user's share of the workers, the authority of a run, and the handling of incomplete answers."""

from alembic import op

revision = "0007"
down_revision = "0006"

_ACTIVE = "status NOT IN ('completed', 'failed', 'cancelled')"


def upgrade() -> None:
    """Adds columns and replaces the index of the queue, because steps are now claimed per user."""
    op.execute("ALTER TABLE users ADD COLUMN weight integer NOT NULL DEFAULT 1 CHECK (weight > 0)")
    op.execute("ALTER TABLE runs ADD COLUMN api_key_id uuid")
    op.execute("""
        ALTER TABLE steps ADD COLUMN user_id integer, ADD COLUMN facts jsonb,
            ADD COLUMN on_incomplete varchar(10) NOT NULL DEFAULT 'fail', ADD COLUMN missing_since timestamptz""")
    # Finished steps are never claimed, so they do not need the value, and the table is not rewritten.
    op.execute(f"UPDATE steps s SET user_id = r.user_id FROM runs r WHERE r.run_id = s.run_id AND s.{_ACTIVE}")
    # While a new release is rolled out, orchestrators of the previous one still insert steps without their user.
    op.execute("""
        CREATE FUNCTION set_user_of_step() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            SELECT r.user_id INTO NEW.user_id FROM runs r WHERE r.run_id = NEW.run_id;
            RETURN NEW;
        END $$""")
    op.execute("""
        CREATE TRIGGER set_user_of_step BEFORE INSERT ON steps
        FOR EACH ROW WHEN (NEW.user_id IS NULL) EXECUTE FUNCTION set_user_of_step()""")
    op.execute("CREATE INDEX ix_steps_ready_of_user ON steps (user_id, next_attempt_at) WHERE status = 'ready'")
    op.execute("CREATE INDEX ix_steps_running_of_user ON steps (user_id) WHERE status = 'running'")
    op.execute("DROP INDEX ix_steps_ready")
    op.execute("CREATE INDEX ix_runs_user_id ON runs (user_id, run_id DESC)")
    op.execute(f"CREATE INDEX ix_runs_active_of_user ON runs (user_id) WHERE {_ACTIVE}")
