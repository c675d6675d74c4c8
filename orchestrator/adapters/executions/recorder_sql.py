"""The statements of the recorder and the sweeper. Each writes many rows at once.

Rows are passed as one JSON document. One array per column would cost the client 1.5 times as much.
"""

from orchestrator.adapters.idempotency.sql import releasing

INSERT_INTENTS = """
INSERT INTO executions (execution_id, user_id, agent_id, agent_name, agent_revision, status, input, context, streamed, request_id,
  model, input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, usage_estimated, cost_micro_usd, price_table,
  owner, lease_until, run_id, task_id, api_key_id)
SELECT t.execution_id, t.user_id, t.agent_id, t.agent_name, t.agent_revision, 'running', t.input, t.context, t.streamed,
  t.request_id, t.model, t.input_tokens, t.output_tokens, 0, 0, true, t.cost_micro_usd, t.price_table,
  $2, clock_timestamp() + $3 * interval '1 second', t.run_id, t.task_id, t.api_key_id
FROM json_to_recordset($1::json) AS t (execution_id uuid, user_id int, agent_id text, agent_name text, agent_revision text, input text,
  context jsonb, streamed bool, request_id text, model text, input_tokens int, output_tokens int, cost_micro_usd bigint,
  price_table text, run_id uuid, task_id text, api_key_id uuid)
"""

SETTLE = f"""
WITH t AS (
  SELECT * FROM json_to_recordset($1::json) AS t (execution_id uuid, status text, result text, metadata jsonb, failure jsonb,
    seconds float8, facts jsonb, model text, input_tokens int, output_tokens int, cache_read_tokens int, cache_write_tokens int,
    usage_estimated bool, cost_micro_usd bigint, price_table text, event_id uuid, event_data jsonb, event_metadata jsonb)
), settled AS (
  UPDATE executions e
  SET status = t.status, result = t.result, metadata = t.metadata, failure = t.failure, seconds = t.seconds, facts = t.facts,
    model = t.model, input_tokens = t.input_tokens, output_tokens = t.output_tokens, cache_read_tokens = t.cache_read_tokens,
    cache_write_tokens = t.cache_write_tokens, usage_estimated = t.usage_estimated, cost_micro_usd = t.cost_micro_usd,
    price_table = t.price_table, finished_at = clock_timestamp()
  FROM t
  WHERE e.execution_id = t.execution_id AND e.status = 'running' AND e.epoch = 1
  RETURNING e.execution_id, e.agent_id, t.event_id, t.event_data, t.event_metadata
), event AS (
  INSERT INTO outbox (event_id, event_type, aggregate_id, source, data, metadata)
  SELECT event_id, 'agent.executed', agent_id, 'orchestrator', event_data, event_metadata FROM settled
), {releasing("$2::uuid[]", only_of="SELECT execution_id FROM settled")}
SELECT event_id, set_config('synchronous_commit', $3, true) FROM settled
"""

SETTLED_BEFORE = "SELECT event_id FROM outbox WHERE event_id = ANY($1::uuid[])"

# Executions that are being settled are skipped: waiting for one while holding locks on others would deadlock.
RENEW = """
WITH held AS (
  SELECT execution_id FROM executions
  WHERE execution_id = ANY($1::uuid[]) AND status = 'running' AND epoch = 1 FOR UPDATE SKIP LOCKED
)
UPDATE executions e SET lease_until = clock_timestamp() + $2 * interval '1 second'
FROM held WHERE e.execution_id = held.execution_id
RETURNING e.execution_id
"""

SWEEP = """
WITH orphan AS (
  SELECT execution_id FROM executions
  WHERE status = 'running' AND lease_until < clock_timestamp()
  ORDER BY lease_until LIMIT 200 FOR UPDATE SKIP LOCKED
)
UPDATE executions e
SET status = 'outcome_unknown', epoch = epoch + 1, finished_at = clock_timestamp(), failure = $1::jsonb,
  seconds = extract(epoch FROM clock_timestamp() - created_at)
FROM orphan WHERE e.execution_id = orphan.execution_id
RETURNING e.execution_id, e.user_id, e.agent_id, e.seconds, e.cost_micro_usd, e.request_id
"""

SWEPT_EVENTS = """
INSERT INTO outbox (event_id, event_type, aggregate_id, source, data, metadata)
SELECT t.event_id, 'agent.executed', t.agent_id, 'orchestrator', t.data, t.metadata
FROM json_to_recordset($1::json) AS t (event_id uuid, agent_id text, data jsonb, metadata jsonb)
"""
