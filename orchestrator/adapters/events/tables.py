"""The tables of the event log, as the migrations create them."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Computed,
    Date,
    DateTime,
    Identity,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from orchestrator.adapters.postgres.tables import metadata

_NOW = func.clock_timestamp()
_STAMPED = text("position IS NOT NULL")

outbox = Table(
    "outbox",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("event_id", Uuid, nullable=False, unique=True),
    Column("event_type", String(100), nullable=False),
    Column("aggregate_id", Text, nullable=False),
    Column("occurred_at", DateTime(timezone=True), nullable=False, server_default=_NOW),
    Column("source", String(100), nullable=False),
    Column("data", JSONB, nullable=False),
    Column("metadata", JSONB, nullable=False),
    # Assigned by the relay; NULL until then.
    Column("position", BigInteger),
    # The user who owns the event; NULL if it belongs to no user. Only admins see those.
    Column("user_id", Integer, Computed("(data ->> 'user_id'::text)::integer", persisted=True)),
    Index("ix_outbox_unstamped", "id", postgresql_where=text("position IS NULL")),
    Index("ix_outbox_position", "position", unique=True, postgresql_where=_STAMPED),
    Index("ix_outbox_user_id", "user_id", "position", postgresql_where=_STAMPED),
    Index("ix_outbox_aggregate_id", "aggregate_id", "position", postgresql_where=_STAMPED),
    Index("ix_outbox_event_type", "event_type", "position", postgresql_where=_STAMPED),
)

event_relay = Table(
    "event_relay",
    metadata,
    # The table has one row.
    Column("one", Boolean, CheckConstraint("one"), primary_key=True, server_default=text("true")),
    # The epoch of the relay that was elected last; a relay with an older one is deposed.
    Column("epoch", BigInteger, nullable=False, server_default="0"),
    Column("last_position", BigInteger, nullable=False, server_default="0"),
    # Kafka has accepted every event up to this position.
    Column("published_position", BigInteger, nullable=False, server_default="0"),
)

consumed_events = Table(
    "consumed_events",
    metadata,
    Column("consumer", String(100), primary_key=True),
    Column("event_id", Uuid, primary_key=True),
    Column("consumed_at", DateTime(timezone=True), nullable=False, server_default=_NOW),
    Index("ix_consumed_events_consumed_at", "consumed_at"),
)

dead_events = Table(
    "dead_events",
    metadata,
    Column("consumer", String(100), primary_key=True),
    Column("topic", String(249), primary_key=True),
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("offset", BigInteger, primary_key=True, autoincrement=False),
    Column("key", LargeBinary),
    Column("value", LargeBinary),
    Column("error", Text, nullable=False),
    Column("set_aside_at", DateTime(timezone=True), nullable=False, server_default=_NOW),
)

event_counts = Table(
    "event_counts",
    metadata,
    Column("day", Date, primary_key=True),
    Column("event_type", String(100), primary_key=True),
    # 0 for events that belong to no user.
    Column("user_id", Integer, primary_key=True, autoincrement=False),
    Column("events", BigInteger, nullable=False),
)
