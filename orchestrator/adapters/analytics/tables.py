"""The tables of analytics, as the migrations create them."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Double,
    Index,
    Integer,
    SmallInteger,
    String,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY

from orchestrator.adapters.postgres.tables import metadata

usage_cells = Table(
    "usage_cells",
    metadata,
    Column("dimension", String(20), primary_key=True),
    # 0 counts the executions of all users.
    Column("owner", Integer, primary_key=True, autoincrement=False),
    Column("subject", Text(collation="C"), primary_key=True),
    # In minutes: 15, 60, 1440 or 10080.
    Column("width", SmallInteger, primary_key=True, autoincrement=False),
    Column("bucket", DateTime(timezone=True), primary_key=True),
    Column("calls", BigInteger, nullable=False),
    Column("completed", BigInteger, nullable=False),
    Column("failed", BigInteger, nullable=False),
    Column("cancelled", BigInteger, nullable=False),
    Column("unknown", BigInteger, nullable=False),
    Column("input_tokens", BigInteger, nullable=False),
    Column("output_tokens", BigInteger, nullable=False),
    Column("cache_read_tokens", BigInteger, nullable=False),
    Column("cache_write_tokens", BigInteger, nullable=False),
    Column("cost_micro_usd", BigInteger, nullable=False),
    Column("seconds", Double, nullable=False),
    # Histograms: the slots, and how many executions each has. NULL where the dimension has none.
    Column("durations", ARRAY(SmallInteger)),
    Column("duration_calls", ARRAY(BigInteger)),
    Column("costs", ARRAY(SmallInteger)),
    Column("cost_calls", ARRAY(BigInteger)),
    Index("ix_usage_cells_bucket", "dimension", "owner", "width", "bucket"),
    Index("ix_usage_cells_age", "bucket", postgresql_using="brin"),
    postgresql_with={"fillfactor": 80},
)

usage_agents = Table(
    "usage_agents",
    metadata,
    Column("agent_id", String(200), primary_key=True),
    # As they were last seen, also of agents that have left the catalogue.
    Column("name", Text, nullable=False),
    Column("category", Text, nullable=False),
)

usage_cursor = Table(
    "usage_cursor",
    metadata,
    # The table has one row.
    Column("one", Boolean, CheckConstraint("one"), primary_key=True, server_default=text("true")),
    # Every event up to this position has been counted.
    Column("position", BigInteger, nullable=False, server_default="0"),
    # When the last counted event happened.
    Column("counted_until", DateTime(timezone=True)),
    # Hours, days and weeks that end by then have cells of their own.
    Column("hours_until", DateTime(timezone=True)),
    Column("days_until", DateTime(timezone=True)),
    Column("weeks_until", DateTime(timezone=True)),
)
