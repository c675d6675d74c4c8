"""Executions, idempotency keys and the outbox."""

from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.execute("""
        CREATE TABLE executions (
            execution_id uuid PRIMARY KEY,
            user_id integer NOT NULL,
            agent_id varchar(200) NOT NULL,
            agent_name text NOT NULL,
            agent_revision varchar(64) NOT NULL,
            status varchar(50) NOT NULL,
            input text NOT NULL,
            context jsonb,
            result text NOT NULL DEFAULT '',
            metadata jsonb NOT NULL DEFAULT '{}',
            failure jsonb,
            streamed boolean NOT NULL,
            request_id varchar(64) NOT NULL,
            seconds double precision NOT NULL DEFAULT 0,
            model text,
            input_tokens integer NOT NULL,
            output_tokens integer NOT NULL,
            cache_read_tokens integer NOT NULL,
            cache_write_tokens integer NOT NULL,
            usage_estimated boolean NOT NULL,
            cost_micro_usd bigint NOT NULL,
            price_table varchar(20) NOT NULL,
            owner uuid NOT NULL,
            epoch integer NOT NULL DEFAULT 1,
            lease_until timestamptz NOT NULL,
            created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
            finished_at timestamptz
        )""")
    op.execute("CREATE INDEX ix_executions_user_id ON executions (user_id, execution_id DESC)")
    op.execute("CREATE INDEX ix_executions_user_agent ON executions (user_id, agent_id, execution_id DESC)")
    op.execute("CREATE INDEX ix_executions_running ON executions (lease_until) WHERE status = 'running'")
    op.execute("""
        CREATE TABLE idempotency_keys (
            user_id integer NOT NULL,
            rpc varchar(100) NOT NULL,
            key varchar(200) NOT NULL,
            body_hash bytea NOT NULL,
            resource_id uuid NOT NULL,
            free boolean NOT NULL DEFAULT false,
            expires_at timestamptz NOT NULL,
            PRIMARY KEY (user_id, rpc, key)
        )""")
    op.execute("CREATE INDEX ix_idempotency_keys_resource_id ON idempotency_keys (resource_id)")
    op.execute("CREATE INDEX ix_idempotency_keys_expires_at ON idempotency_keys (expires_at)")
    op.execute("""
        CREATE TABLE outbox (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            event_id uuid NOT NULL UNIQUE,
            event_type varchar(100) NOT NULL,
            aggregate_id text NOT NULL,
            occurred_at timestamptz NOT NULL DEFAULT clock_timestamp(),
            source varchar(100) NOT NULL,
            data jsonb NOT NULL,
            metadata jsonb NOT NULL
        )""")
