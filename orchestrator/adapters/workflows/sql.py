"""The statements that change runs. Each reads or writes many runs at once.

A transaction locks the row of a run before it changes the run or one of its steps. A transaction that waits for several runs locks them in
the order of their ids.
"""

from orchestrator.adapters.workflows.states import FINAL_SQL

RUN_COLUMNS = """
r.run_id, r.workflow_id, r.user_id, r.status, r.sequence, r.failure, r.failed_task, r.cancel_requested_at, r.stopped_steps, r.request_id,
r.api_key_id, r.agent_id, r.created_at, r.started_at, r.finished_at, clock_timestamp() AS now
"""

LOCK = f"SELECT {RUN_COLUMNS} FROM runs r WHERE r.run_id = ANY($1::uuid[]) ORDER BY r.run_id FOR NO KEY UPDATE"

# The execution of a dead worker is settled first. Until then it is unknown whether there is an answer.
LOCK_EXPIRED_LEASES = f"""
SELECT {RUN_COLUMNS}, s.task_id FROM steps s JOIN runs r USING (run_id)
WHERE s.status = 'running' AND s.lease_until <= clock_timestamp()
  AND NOT EXISTS (SELECT FROM executions e WHERE e.run_id = s.run_id AND e.task_id = s.task_id AND e.status = 'running')
ORDER BY s.lease_until LIMIT $1 FOR NO KEY UPDATE OF r SKIP LOCKED
"""

LOCK_EXPIRED_APPROVALS = f"""
SELECT {RUN_COLUMNS}, s.task_id FROM steps s JOIN runs r USING (run_id)
WHERE s.status = 'waiting_approval' AND s.approval_expires_at <= clock_timestamp()
ORDER BY s.approval_expires_at LIMIT $1 FOR NO KEY UPDATE OF r SKIP LOCKED
"""

# The runs of users who are disabled or deleted. A skip scan finds the users, with one index lookup for each user who has an active run.
LOCK_ABANDONED = f"""
WITH RECURSIVE owner AS (
  (SELECT user_id FROM runs WHERE status NOT IN {FINAL_SQL} ORDER BY user_id LIMIT 1)
  UNION ALL
  SELECT next.user_id FROM owner o CROSS JOIN LATERAL (
    SELECT user_id FROM runs WHERE status NOT IN {FINAL_SQL} AND user_id > o.user_id ORDER BY user_id LIMIT 1
  ) AS next
), abandoned AS MATERIALIZED (
  SELECT o.user_id FROM owner o LEFT JOIN users u ON u.id = o.user_id WHERE u.id IS NULL OR u.disabled_at IS NOT NULL
)
SELECT {RUN_COLUMNS} FROM abandoned JOIN runs r USING (user_id)
WHERE r.status NOT IN {FINAL_SQL} AND r.cancel_requested_at IS NULL AND r.failed_task = ''
LIMIT $1 FOR NO KEY UPDATE OF r SKIP LOCKED
"""

# A separate statement after the lock, so that it sees the commit of the previous holder of the lock.
LOAD = """
SELECT s.run_id, s.task_id, s.agent_id, s.status, s.depends_on, s.waiting, s.epoch, s.owner, s.lease_until, s.attempts, s.crashes,
  s.max_attempts, s.delay_seconds, s.backoff, s.next_attempt_at, s.agent_revision, s.execution_id, s.failure, s.bill, s.approval,
  s.started_at, s.finished_at, octet_length(s.result) AS result_bytes, s.facts, s.missing_since
FROM steps s WHERE s.run_id = ANY($1::uuid[]) ORDER BY s.run_id, s.position
"""

# The execution that answered comes last; there is at most one. The ids do not show it: after the clock is set back, later ids are lower.
SPENT = """
SELECT e.run_id, e.task_id, e.execution_id, e.agent_revision, e.model, e.input_tokens, e.output_tokens, e.cache_read_tokens,
  e.cache_write_tokens, e.usage_estimated, e.cost_micro_usd, e.price_table, e.status, e.facts
FROM executions e JOIN json_to_recordset($1::json) AS t (run_id uuid, task_id text) ON e.run_id = t.run_id AND e.task_id = t.task_id
ORDER BY e.status = 'completed', e.execution_id
"""

# The beginning of every statement that changes runs: $1 is a document of rows, and this part inserts its `changes` and `events`.
HISTORY = """
WITH change AS (
  INSERT INTO run_events (run_id, sequence, kind, payload)
  SELECT t.run_id, t.sequence, t.kind, t.payload
  FROM json_to_recordset($1::json -> 'changes') AS t (run_id uuid, sequence int, kind text, payload jsonb)
), event AS (
  INSERT INTO outbox (event_id, event_type, aggregate_id, source, data, metadata)
  SELECT t.event_id, t.event_type, t.aggregate_id, 'workflows', t.data, t.metadata
  FROM ROWS FROM (json_to_recordset($1::json -> 'events')
      AS (event_id uuid, event_type text, aggregate_id text, data jsonb, metadata jsonb))
    WITH ORDINALITY AS t (event_id, event_type, aggregate_id, data, metadata, place) ORDER BY t.place
)
"""

WRITE = f"""
{HISTORY}, step AS (
  UPDATE steps t
  SET status = s.status, waiting = s.waiting, epoch = s.epoch, owner = s.owner, lease_until = s.lease_until, attempts = s.attempts,
    crashes = s.crashes, next_attempt_at = s.next_attempt_at, approval_expires_at = s.approval_expires_at,
    agent_revision = s.agent_revision, execution_id = s.execution_id, result = s.result, failure = s.failure, bill = s.bill,
    facts = s.facts, missing_since = s.missing_since,
    approval = s.approval, started_at = s.started_at, finished_at = s.finished_at
  FROM json_to_recordset($1::json -> 'steps') AS s (run_id uuid, task_id text, status text, waiting int, epoch int, owner uuid,
    lease_until timestamptz, attempts int, crashes int, next_attempt_at timestamptz, approval_expires_at timestamptz,
    agent_revision text, execution_id uuid, result text, failure jsonb, bill jsonb, approval jsonb, facts jsonb,
    missing_since timestamptz, started_at timestamptz, finished_at timestamptz)
  WHERE t.run_id = s.run_id AND t.task_id = s.task_id
), run AS (
  UPDATE runs t
  SET status = r.status, sequence = r.sequence, failure = r.failure, failed_task = r.failed_task,
    cancel_requested_at = r.cancel_requested_at, stopped_steps = r.stopped_steps, started_at = r.started_at,
    finished_at = r.finished_at
  FROM json_to_recordset($1::json -> 'runs') AS r (run_id uuid, status text, sequence int, failure jsonb, failed_task text,
    cancel_requested_at timestamptz, stopped_steps jsonb, started_at timestamptz, finished_at timestamptz)
  WHERE t.run_id = r.run_id
), workflow AS (
  UPDATE workflows w SET status = t.status
  FROM json_to_recordset($1::json -> 'workflows') AS t (workflow_id uuid, status text) WHERE w.workflow_id = t.workflow_id
)
SELECT pg_notify($2, t.run_id) FROM json_to_recordset($1::json -> 'stopping') AS t (run_id text)
"""

WORK = """
SELECT s.run_id, s.task_id, s.epoch, s.attempts, s.agent_id, s.input, s.context, s.timeout_seconds,
  s.on_incomplete, r.user_id, r.api_key_id,
  r.request_id, r.workflow_id IS NULL AS background,
  (SELECT jsonb_object_agg(d.task_id, d.result) FROM steps d
   WHERE d.run_id = s.run_id AND d.status = 'completed' AND position('tasks.' || d.task_id || '.result' IN s.input) > 0) AS results
FROM json_to_recordset($1::json) AS t (run_id uuid, task_id text) JOIN steps s USING (run_id, task_id) JOIN runs r USING (run_id)
"""

# A step that another transaction is changing is skipped but stays leased. That transaction holds the lock of the run, and waiting for it
# while holding other locks could deadlock.
RENEW = """
WITH mine AS (
  SELECT s.run_id, s.task_id, s.epoch FROM json_to_recordset($1::json) AS t (run_id uuid, task_id text, epoch int)
  JOIN steps s ON s.run_id = t.run_id AND s.task_id = t.task_id AND s.epoch = t.epoch
  WHERE s.owner = $2 AND s.status = 'running'
), leased AS (
  SELECT s.run_id, s.task_id, s.epoch FROM steps s JOIN mine USING (run_id, task_id)
  WHERE s.epoch = mine.epoch AND s.status = 'running' AND s.lease_until < clock_timestamp() + $4 * interval '1 second'
  FOR NO KEY UPDATE OF s SKIP LOCKED
), renewed AS (
  UPDATE steps s SET lease_until = clock_timestamp() + $3 * interval '1 second'
  FROM leased WHERE s.run_id = leased.run_id AND s.task_id = leased.task_id AND s.epoch = leased.epoch
)
SELECT run_id, task_id, epoch FROM mine
"""

OWNED = "SELECT run_id, task_id, epoch FROM steps WHERE owner = $1 AND status = 'running'"
