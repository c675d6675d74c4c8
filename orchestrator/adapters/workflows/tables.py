"""The tables of workflows, as the migrations create them."""

from sqlalchemy import Column, DateTime, Float, ForeignKey, Index, Integer, String, Table, Text, Uuid, func, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from orchestrator.adapters.postgres.tables import metadata
from orchestrator.adapters.workflows.states import FINAL_SQL

_NOW = func.clock_timestamp()

workflows = Table(
    "workflows",
    metadata,
    Column("workflow_id", Uuid, primary_key=True),
    Column("user_id", Integer, nullable=False),
    Column("name", String(255), nullable=False),
    Column("tasks", JSONB, nullable=False),
    Column("task_count", Integer, nullable=False),
    # The status of the latest run.
    Column("status", String(50), nullable=False, server_default="pending"),
    Column("latest_run_id", Uuid),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=_NOW),
    # Ids are UUIDv7, so their order is the order of creation.
    Index("ix_workflows_user_id", "user_id", text("workflow_id DESC")),
    Index("ix_workflows_active", "status", text("workflow_id DESC"), postgresql_where=text("status NOT IN ('completed', 'pending')")),
)

runs = Table(
    "runs",
    metadata,
    Column("run_id", Uuid, primary_key=True),
    # NULL for a background execution.
    Column("workflow_id", Uuid, ForeignKey("workflows.workflow_id", ondelete="CASCADE")),
    # The agent of a background execution; NULL for a run of a workflow.
    Column("agent_id", String(200)),
    # The owner, who is the caller of every step.
    Column("user_id", Integer, nullable=False),
    Column("username", Text, nullable=False),
    Column("role", String(20), nullable=False),
    Column("status", String(50), nullable=False),
    # The sequence of the latest run event. A change of the run or of a step locks this row.
    Column("sequence", Integer, nullable=False),
    Column("failure", JSONB),
    Column("failed_task", String(64), nullable=False, server_default=""),
    Column("cancel_requested_at", DateTime(timezone=True)),
    Column("stopped_steps", JSONB, nullable=False, server_default=text("'[]'")),
    Column("request_id", String(64), nullable=False),
    # The API key that started the run; NULL if an access token did.
    Column("api_key_id", Uuid),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=_NOW),
    Column("started_at", DateTime(timezone=True)),
    Column("finished_at", DateTime(timezone=True)),
    Index("ix_runs_workflow_id", "workflow_id", text("run_id DESC")),
    Index("ix_runs_active", "workflow_id", unique=True, postgresql_where=text(f"status NOT IN {FINAL_SQL}")),
    Index("ix_runs_user_id", "user_id", text("run_id DESC")),
    Index("ix_runs_active_of_user", "user_id", postgresql_where=text(f"status NOT IN {FINAL_SQL}")),
)

steps = Table(
    "steps",
    metadata,
    Column("run_id", Uuid, ForeignKey("runs.run_id", ondelete="CASCADE"), primary_key=True),
    Column("task_id", String(64), primary_key=True),
    Column("position", Integer, nullable=False),
    Column("agent_id", String(200), nullable=False),
    Column("input", Text, nullable=False),
    Column("context", JSONB),
    Column("depends_on", ARRAY(String(64)), nullable=False),
    Column("max_attempts", Integer, nullable=False),
    Column("delay_seconds", Float, nullable=False),
    Column("backoff", Float, nullable=False),
    Column("timeout_seconds", Float, nullable=False),
    Column("approval", JSONB),
    Column("status", String(50), nullable=False),
    # How many of `depends_on` have not completed.
    Column("waiting", Integer, nullable=False),
    # The fencing token: a worker's report counts only if it has the current epoch.
    Column("epoch", Integer, nullable=False, server_default="0"),
    Column("owner", Uuid),
    Column("lease_until", DateTime(timezone=True)),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("crashes", Integer, nullable=False, server_default="0"),
    Column("next_attempt_at", DateTime(timezone=True)),
    Column("approval_expires_at", DateTime(timezone=True)),
    Column("agent_revision", String(64), nullable=False, server_default=""),
    Column("execution_id", Uuid),
    Column("result", Text, nullable=False, server_default=""),
    Column("failure", JSONB),
    Column("bill", JSONB),
    Column("started_at", DateTime(timezone=True)),
    Column("finished_at", DateTime(timezone=True)),
    # The run's user; NULL in steps that had finished before this column was added.
    Column("user_id", Integer),
    Column("facts", JSONB),
    Column("on_incomplete", String(10), nullable=False, server_default="fail"),
    # When the step's agent was first missing from the catalogue.
    Column("missing_since", DateTime(timezone=True)),
    Index("ix_steps_ready_of_user", "user_id", "next_attempt_at", postgresql_where=text("status = 'ready'")),
    Index("ix_steps_running_of_user", "user_id", postgresql_where=text("status = 'running'")),
    Index("ix_steps_agent", "agent_id", text("run_id DESC")),
    Index("ix_steps_running", "lease_until", postgresql_where=text("status = 'running'")),
    Index("ix_steps_approval", "approval_expires_at", postgresql_where=text("status = 'waiting_approval'")),
    Index("ix_steps_approval_of_user", "user_id", "approval_expires_at", postgresql_where=text("status = 'waiting_approval'")),
)

run_events = Table(
    "run_events",
    metadata,
    Column("run_id", Uuid, ForeignKey("runs.run_id", ondelete="CASCADE"), primary_key=True),
    Column("sequence", Integer, primary_key=True),
    Column("kind", String(10), nullable=False),
    Column("payload", JSONB, nullable=False),
    Column("occurred_at", DateTime(timezone=True), nullable=False, server_default=_NOW),
)
