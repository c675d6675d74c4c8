"""The event log: positions of the events in the outbox, and the tables of consumers."""

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.execute("ALTER TABLE outbox ADD COLUMN position bigint")
    op.execute("ALTER TABLE outbox ADD COLUMN user_id integer GENERATED ALWAYS AS ((data ->> 'user_id'::text)::integer) STORED")
    op.execute("CREATE INDEX ix_outbox_unstamped ON outbox (id) WHERE position IS NULL")
    # Only events with a position are visible to readers, so these indexes cost writers nothing.
    op.execute("CREATE UNIQUE INDEX ix_outbox_position ON outbox (position) WHERE position IS NOT NULL")
    op.execute("CREATE INDEX ix_outbox_user_id ON outbox (user_id, position) WHERE position IS NOT NULL")
    op.execute("CREATE INDEX ix_outbox_aggregate_id ON outbox (aggregate_id, position) WHERE position IS NOT NULL")
    op.execute("CREATE INDEX ix_outbox_event_type ON outbox (event_type, position) WHERE position IS NOT NULL")
    op.execute("""
        CREATE TABLE event_relay (
            one boolean PRIMARY KEY DEFAULT true CHECK (one),
            epoch bigint NOT NULL DEFAULT 0,
            last_position bigint NOT NULL DEFAULT 0,
            published_position bigint NOT NULL DEFAULT 0
        )""")
    op.execute("INSERT INTO event_relay DEFAULT VALUES")
    op.execute("""
        CREATE TABLE consumed_events (
            consumer varchar(100) NOT NULL,
            event_id uuid NOT NULL,
            consumed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
            PRIMARY KEY (consumer, event_id)
        )""")
    op.execute("CREATE INDEX ix_consumed_events_consumed_at ON consumed_events (consumed_at)")
    op.execute("""
        CREATE TABLE dead_events (
            consumer varchar(100) NOT NULL,
            topic varchar(249) NOT NULL,
            partition integer NOT NULL,
            "offset" bigint NOT NULL,
            key bytea,
            value bytea,
            error text NOT NULL,
            set_aside_at timestamptz NOT NULL DEFAULT clock_timestamp(),
            PRIMARY KEY (consumer, topic, partition, "offset")
        )""")
    op.execute("""
        CREATE TABLE event_counts (
            day date NOT NULL,
            event_type varchar(100) NOT NULL,
            user_id integer NOT NULL,
            events bigint NOT NULL,
            PRIMARY KEY (day, event_type, user_id)
        )""")
