"""The table of idempotency keys."""

from sqlalchemy import Boolean, Column, DateTime, Index, Integer, LargeBinary, String, Table, Uuid, text

from orchestrator.adapters.postgres.tables import metadata

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("user_id", Integer, primary_key=True),
    Column("rpc", String(100), primary_key=True),
    Column("key", String(200), primary_key=True),
    Column("body_hash", LargeBinary, nullable=False),
    Column("resource_id", Uuid, nullable=False),
    Column("free", Boolean, nullable=False, server_default=text("false")),
    Column("expires_at", DateTime(timezone=True), nullable=False),
    Index("ix_idempotency_keys_resource_id", "resource_id"),
    Index("ix_idempotency_keys_expires_at", "expires_at"),
)
