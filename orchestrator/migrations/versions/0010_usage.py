"""Adds the figures of analytics: calls, tokens, costs and durations, summed by time, and the API key of each execution."""

from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Creates the tables, and adds a nullable column without rewriting its table."""
    op.execute("ALTER TABLE executions ADD COLUMN api_key_id uuid")
    op.execute("""
        CREATE TABLE usage_cells (
            dimension varchar(20) NOT NULL, owner integer NOT NULL, subject text COLLATE "C" NOT NULL,
            width smallint NOT NULL, bucket timestamptz NOT NULL,
            calls bigint NOT NULL, completed bigint NOT NULL, failed bigint NOT NULL, cancelled bigint NOT NULL, unknown bigint NOT NULL,
            input_tokens bigint NOT NULL, output_tokens bigint NOT NULL, cache_read_tokens bigint NOT NULL,
            cache_write_tokens bigint NOT NULL, cost_micro_usd bigint NOT NULL, seconds double precision NOT NULL,
            durations smallint[], duration_calls bigint[], costs smallint[], cost_calls bigint[],
            PRIMARY KEY (dimension, owner, subject, width, bucket)
        ) WITH (fillfactor = 80)""")
    op.execute("CREATE INDEX ix_usage_cells_bucket ON usage_cells (dimension, owner, width, bucket)")
    op.execute("CREATE INDEX ix_usage_cells_age ON usage_cells USING brin (bucket)")
    op.execute("CREATE TABLE usage_agents (agent_id varchar(200) PRIMARY KEY, name text NOT NULL, category text NOT NULL)")
    op.execute("""
        CREATE TABLE usage_cursor (
            one boolean PRIMARY KEY DEFAULT true CHECK (one), position bigint NOT NULL DEFAULT 0,
            counted_until timestamptz, hours_until timestamptz, days_until timestamptz
        )""")
    op.execute("INSERT INTO usage_cursor DEFAULT VALUES")
