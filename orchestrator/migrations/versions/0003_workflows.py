"""Workflows, their runs and steps; which step an execution belongs to."""

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.execute("""
        CREATE TABLE workflows (
            workflow_id uuid PRIMARY KEY,
            user_id integer NOT NULL,
            name varchar(255) NOT NULL,
            tasks jsonb NOT NULL,
            task_count integer NOT NULL,
            status varchar(50) NOT NULL DEFAULT 'pending',
            latest_run_id uuid,
            created_at timestamptz NOT NULL DEFAULT clock_timestamp()
        )""")
    op.execute("CREATE INDEX ix_workflows_user_id ON workflows (user_id, workflow_id DESC)")
    op.execute("CREATE INDEX ix_workflows_active ON workflows (status, workflow_id DESC) WHERE status NOT IN ('completed', 'pending')")
    op.execute("""
        CREATE TABLE runs (
            run_id uuid PRIMARY KEY,
            workflow_id uuid NOT NULL REFERENCES workflows ON DELETE CASCADE,
            user_id integer NOT NULL,
            username text NOT NULL,
            role varchar(20) NOT NULL,
            status varchar(50) NOT NULL,
            sequence integer NOT NULL,
            failure jsonb,
            failed_task varchar(64) NOT NULL DEFAULT '',
            cancel_requested_at timestamptz,
            stopped_steps jsonb NOT NULL DEFAULT '[]',
            request_id varchar(64) NOT NULL,
            created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
            started_at timestamptz,
            finished_at timestamptz
        )""")
    op.execute("CREATE INDEX ix_runs_workflow_id ON runs (workflow_id, run_id DESC)")
    op.execute("CREATE UNIQUE INDEX ix_runs_active ON runs (workflow_id) WHERE status NOT IN ('completed', 'failed', 'cancelled')")
    op.execute("""
        CREATE TABLE steps (
            run_id uuid NOT NULL REFERENCES runs ON DELETE CASCADE,
            task_id varchar(64) NOT NULL,
            position integer NOT NULL,
            agent_id varchar(200) NOT NULL,
            input text NOT NULL,
            context jsonb,
            depends_on varchar(64)[] NOT NULL,
            max_attempts integer NOT NULL,
            delay_seconds double precision NOT NULL,
            backoff double precision NOT NULL,
            timeout_seconds double precision NOT NULL,
            approval jsonb,
            status varchar(50) NOT NULL,
            waiting integer NOT NULL,
            epoch integer NOT NULL DEFAULT 0,
            owner uuid,
            lease_until timestamptz,
            attempts integer NOT NULL DEFAULT 0,
            crashes integer NOT NULL DEFAULT 0,
            next_attempt_at timestamptz,
            approval_expires_at timestamptz,
            agent_revision varchar(64) NOT NULL DEFAULT '',
            execution_id uuid,
            result text NOT NULL DEFAULT '',
            failure jsonb,
            bill jsonb,
            started_at timestamptz,
            finished_at timestamptz,
            PRIMARY KEY (run_id, task_id)
        )""")
    op.execute("CREATE INDEX ix_steps_ready ON steps (next_attempt_at) WHERE status = 'ready'")
    op.execute("CREATE INDEX ix_steps_running ON steps (lease_until) WHERE status = 'running'")
    op.execute("CREATE INDEX ix_steps_approval ON steps (approval_expires_at) WHERE status = 'waiting_approval'")
    op.execute("""
        CREATE TABLE run_events (
            run_id uuid NOT NULL REFERENCES runs ON DELETE CASCADE,
            sequence integer NOT NULL,
            kind varchar(10) NOT NULL,
            payload jsonb NOT NULL,
            occurred_at timestamptz NOT NULL DEFAULT clock_timestamp(),
            PRIMARY KEY (run_id, sequence)
        )""")
    # There is no foreign key, because executions are kept when their workflow is deleted.
    op.execute("ALTER TABLE executions ADD COLUMN run_id uuid, ADD COLUMN task_id varchar(64)")
    op.execute("CREATE INDEX ix_executions_step ON executions (run_id, task_id) WHERE run_id IS NOT NULL")
