"""The statements that start runs. Each writes many at once."""

from orchestrator.adapters.workflows.sql import NOTES

WORKFLOWS = """
SELECT t.workflow_id, clock_timestamp() AS now, w.workflow_id IS NOT NULL AS found
FROM unnest($1::uuid[]) AS t (workflow_id) LEFT JOIN workflows w USING (workflow_id)
"""

# Runs before workflows, as whoever changes a run takes them: the insertion may wait for a run that is just ending.
INSERT_RUNS = """
INSERT INTO runs (run_id, workflow_id, user_id, username, role, status, sequence, request_id, created_at)
SELECT t.run_id, t.workflow_id, t.user_id, t.username, t.role, t.status, t.sequence, t.request_id, t.created_at
FROM unnest($1::uuid[], $2::uuid[], $3::int[], $4::text[], $5::text[], $6::text[], $7::int[], $8::text[], $9::timestamptz[])
AS t (run_id, workflow_id, user_id, username, role, status, sequence, request_id, created_at)
JOIN workflows w ON w.workflow_id = t.workflow_id
ORDER BY t.workflow_id FOR KEY SHARE OF w
ON CONFLICT (workflow_id) WHERE status NOT IN ('completed', 'failed', 'cancelled') DO NOTHING
RETURNING run_id
"""

INSERT_STEPS = f"""
{NOTES}, workflow AS (
  UPDATE workflows w SET latest_run_id = t.run_id, status = t.status
  FROM unnest($10::uuid[], $11::uuid[], $12::text[]) AS t (workflow_id, run_id, status) WHERE w.workflow_id = t.workflow_id
)
INSERT INTO steps (run_id, task_id, position, agent_id, input, context, depends_on, max_attempts, delay_seconds, backoff,
  timeout_seconds, approval, status, waiting, next_attempt_at, approval_expires_at)
SELECT t.run_id, t.task_id, t.position, t.agent_id, t.input, t.context::jsonb, string_to_array(t.depends_on, ','), t.max_attempts,
  t.delay_seconds, t.backoff, t.timeout_seconds, t.approval::jsonb, t.status, t.waiting, t.next_attempt_at, t.approval_expires_at
FROM unnest($13::uuid[], $14::text[], $15::int[], $16::text[], $17::text[], $18::text[], $19::text[], $20::int[], $21::float8[],
  $22::float8[], $23::float8[], $24::text[], $25::text[], $26::int[], $27::timestamptz[], $28::timestamptz[])
AS t (run_id, task_id, position, agent_id, input, context, depends_on, max_attempts, delay_seconds, backoff, timeout_seconds, approval,
  status, waiting, next_attempt_at, approval_expires_at)
"""

ACTIVE = """
SELECT workflow_id, run_id FROM runs WHERE workflow_id = ANY($1::uuid[]) AND status NOT IN ('completed', 'failed', 'cancelled')
"""
