"""The table of executions."""

from sqlalchemy import BigInteger, Boolean, Column, DateTime, Float, Index, Integer, String, Table, Text, Uuid, func, text
from sqlalchemy.dialects.postgresql import JSONB

from orchestrator.adapters.postgres.tables import metadata

executions = Table(
    "executions",
    metadata,
    Column("execution_id", Uuid, primary_key=True),
    Column("user_id", Integer, nullable=False),
    Column("agent_id", String(200), nullable=False),
    Column("agent_name", Text, nullable=False),
    Column("agent_revision", String(64), nullable=False),
    Column("status", String(50), nullable=False),
    Column("input", Text, nullable=False),
    Column("context", JSONB),
    Column("result", Text, nullable=False, server_default=""),
    Column("metadata", JSONB, nullable=False, server_default=text("'{}'")),
    Column("failure", JSONB),
    Column("streamed", Boolean, nullable=False),
    Column("request_id", String(64), nullable=False),
    Column("seconds", Float, nullable=False, server_default="0"),
    # While the execution runs, these are its worst case. After its end, NULL as the model means that nothing was bought.
    Column("model", Text),
    Column("input_tokens", Integer, nullable=False),
    Column("output_tokens", Integer, nullable=False),
    Column("cache_read_tokens", Integer, nullable=False),
    Column("cache_write_tokens", Integer, nullable=False),
    Column("usage_estimated", Boolean, nullable=False),
    Column("cost_micro_usd", BigInteger, nullable=False),
    Column("price_table", String(20), nullable=False),
    # The lease of the process that makes the call. The epoch is the fencing token of the settlement.
    Column("owner", Uuid, nullable=False),
    Column("epoch", Integer, nullable=False, server_default="1"),
    Column("lease_until", DateTime(timezone=True), nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.clock_timestamp()),
    Column("finished_at", DateTime(timezone=True)),
    # The step for which the call was made. There is no foreign key, because executions outlive their run.
    Column("run_id", Uuid),
    Column("task_id", String(64)),
    # How the answer came about. NULL if an earlier release settled the execution, and if there was no answer.
    Column("facts", JSONB),
    # The API key that made the call; NULL if an access token did, and for calls of earlier releases.
    Column("api_key_id", Uuid),
    # Ids are UUIDv7, so they sort by creation time.
    Index("ix_executions_user_id", "user_id", text("execution_id DESC")),
    Index("ix_executions_user_agent", "user_id", "agent_id", text("execution_id DESC")),
    Index("ix_executions_key", "api_key_id", text("execution_id DESC"), postgresql_where=text("api_key_id IS NOT NULL")),
    Index("ix_executions_running", "lease_until", postgresql_where=text("status = 'running'")),
    Index("ix_executions_step", "run_id", "task_id", postgresql_where=text("run_id IS NOT NULL")),
)
