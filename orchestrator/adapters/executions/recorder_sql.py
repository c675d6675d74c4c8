"""The statements of the recorder and the sweeper. Each writes many rows at once.

Those of every call take their rows as one JSON document: arrays, a column each, cost the client half as much again.

Several processes run them at the same time, so whoever waits for keys takes them in one order: user, rpc, key by its bytes.
"""

CLAIM_KEYS = """
INSERT INTO idempotency_keys AS k (user_id, rpc, key, body_hash, resource_id, expires_at)
SELECT t.user_id, t.rpc, t.key, t.body_hash, t.resource_id, clock_timestamp() + t.hours * interval '1 hour'
FROM unnest($1::int[], $2::text[], $3::text[], $4::bytea[], $5::uuid[], $6::int[]) AS t (user_id, rpc, key, body_hash, resource_id, hours)
ON CONFLICT (user_id, rpc, key) DO UPDATE
SET body_hash = excluded.body_hash, resource_id = excluded.resource_id, expires_at = excluded.expires_at, free = false
WHERE k.free OR k.expires_at <= clock_timestamp()
RETURNING k.resource_id
"""

HOLDERS = """
SELECT k.user_id, k.rpc, k.key, k.body_hash, k.resource_id FROM idempotency_keys k
JOIN unnest($1::int[], $2::text[], $3::text[]) AS t (user_id, rpc, key) USING (user_id, rpc, key)
"""

INSERT_INTENTS = """
INSERT INTO executions (execution_id, user_id, agent_id, agent_name, agent_revision, status, input, context, streamed, request_id,
  model, input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, usage_estimated, cost_micro_usd, price_table,
  owner, lease_until, run_id, task_id)
SELECT t.execution_id, t.user_id, t.agent_id, t.agent_name, t.agent_revision, 'running', t.input, t.context, t.streamed,
  t.request_id, t.model, t.input_tokens, t.output_tokens, 0, 0, true, t.cost_micro_usd, t.price_table,
  $2, clock_timestamp() + $3 * interval '1 second', t.run_id, t.task_id
FROM json_to_recordset($1::json) AS t (execution_id uuid, user_id int, agent_id text, agent_name text, agent_revision text, input text,
  context jsonb, streamed bool, request_id text, model text, input_tokens int, output_tokens int, cost_micro_usd bigint,
  price_table text, run_id uuid, task_id text)
"""

SETTLE = """
WITH t AS (
  SELECT * FROM json_to_recordset($1::json) AS t (execution_id uuid, status text, result text, metadata jsonb, failure jsonb,
    seconds float8, model text, input_tokens int, output_tokens int, cache_read_tokens int, cache_write_tokens int,
    usage_estimated bool, cost_micro_usd bigint, price_table text, event_id uuid, event_data jsonb, event_metadata jsonb)
), settled AS (
  UPDATE executions e
  SET status = t.status, result = t.result, metadata = t.metadata, failure = t.failure, seconds = t.seconds,
    model = t.model, input_tokens = t.input_tokens, output_tokens = t.output_tokens, cache_read_tokens = t.cache_read_tokens,
    cache_write_tokens = t.cache_write_tokens, usage_estimated = t.usage_estimated, cost_micro_usd = t.cost_micro_usd,
    price_table = t.price_table, finished_at = clock_timestamp()
  FROM t
  WHERE e.execution_id = t.execution_id AND e.status = 'running' AND e.epoch = 1
  RETURNING e.execution_id, e.agent_id, t.event_id, t.event_data, t.event_metadata
), event AS (
  INSERT INTO outbox (event_id, event_type, aggregate_id, source, data, metadata)
  SELECT event_id, 'agent.executed', agent_id, 'orchestrator', event_data, event_metadata FROM settled
), held AS (
  SELECT k.user_id, k.rpc, k.key FROM idempotency_keys k JOIN settled s ON k.resource_id = s.execution_id
  WHERE k.resource_id = ANY($2::uuid[])
  ORDER BY k.user_id, k.rpc, k.key COLLATE "C" FOR UPDATE OF k
), freed AS (
  UPDATE idempotency_keys k SET free = true FROM held
  WHERE k.user_id = held.user_id AND k.rpc = held.rpc AND k.key = held.key
)
SELECT event_id, set_config('synchronous_commit', $3, true) FROM settled
"""

SETTLED_BEFORE = "SELECT event_id FROM outbox WHERE event_id = ANY($1::uuid[])"

# An execution that is just being settled is skipped: to wait for it while holding others ends in a deadlock.
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
SELECT t.event_id, 'agent.executed', t.aggregate_id, 'orchestrator', t.data::jsonb, t.metadata::jsonb
FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[]) AS t (event_id, aggregate_id, data, metadata)
"""

FREE_KEYS = """
WITH held AS (
  SELECT user_id, rpc, key FROM idempotency_keys WHERE resource_id = ANY($1::uuid[])
  ORDER BY user_id, rpc, key COLLATE "C" FOR UPDATE
)
UPDATE idempotency_keys k SET free = true FROM held
WHERE k.user_id = held.user_id AND k.rpc = held.rpc AND k.key = held.key
"""

FORGET_KEYS = """
WITH expired AS (
  SELECT user_id, rpc, key FROM idempotency_keys WHERE expires_at < clock_timestamp() FOR UPDATE SKIP LOCKED
)
DELETE FROM idempotency_keys k USING expired
WHERE k.user_id = expired.user_id AND k.rpc = expired.rpc AND k.key = expired.key
"""
