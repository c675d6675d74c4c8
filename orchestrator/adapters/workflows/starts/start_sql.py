"""The statements that start runs. Each writes many runs at once."""

from orchestrator.adapters.workflows.sql import HISTORY
from orchestrator.adapters.workflows.states import FINAL_SQL

WORKFLOWS = """
SELECT t.workflow_id, clock_timestamp() AS now, w.workflow_id IS NOT NULL AS found
FROM unnest($1::uuid[]) AS t (workflow_id) LEFT JOIN workflows w USING (workflow_id)
"""

# Locks runs before workflows, the same order as in changes of a run: the insertion may wait for a run that is just ending.
INSERT_RUNS = f"""
INSERT INTO runs (run_id, workflow_id, user_id, username, role, status, sequence, request_id, api_key_id, created_at)
SELECT t.run_id, t.workflow_id, t.user_id, t.username, t.role, t.status, t.sequence, t.request_id, t.api_key_id, t.created_at
FROM json_to_recordset($1::json) AS t (run_id uuid, workflow_id uuid, user_id int, username text, role text, status text, sequence int,
  request_id text, api_key_id uuid, created_at timestamptz)
JOIN workflows w ON w.workflow_id = t.workflow_id
ORDER BY t.workflow_id FOR KEY SHARE OF w
ON CONFLICT (workflow_id) WHERE status NOT IN {FINAL_SQL} DO NOTHING
RETURNING run_id
"""

INSERT_BACKGROUND = """
INSERT INTO runs (run_id, agent_id, user_id, username, role, status, sequence, request_id, api_key_id, created_at)
SELECT t.run_id, t.agent_id, t.user_id, t.username, t.role, t.status, t.sequence, t.request_id, t.api_key_id, t.created_at
FROM json_to_recordset($1::json) AS t (run_id uuid, agent_id text, user_id int, username text, role text, status text, sequence int,
  request_id text, api_key_id uuid, created_at timestamptz)
"""

INSERT_STEPS = f"""
{HISTORY}, workflow AS (
  UPDATE workflows w SET latest_run_id = t.run_id, status = t.status
  FROM json_to_recordset($1::json -> 'workflows') AS t (workflow_id uuid, run_id uuid, status text) WHERE w.workflow_id = t.workflow_id
)
INSERT INTO steps (run_id, task_id, position, agent_id, input, context, depends_on, max_attempts, delay_seconds, backoff,
  timeout_seconds, approval, status, waiting, next_attempt_at, approval_expires_at, user_id, on_incomplete)
SELECT t.run_id, t.task_id, t.position, t.agent_id, t.input, t.context, t.depends_on, t.max_attempts, t.delay_seconds, t.backoff,
  t.timeout_seconds, t.approval, t.status, t.waiting, t.next_attempt_at, t.approval_expires_at, t.user_id,
  t.on_incomplete
FROM json_to_recordset($1::json -> 'steps') AS t (run_id uuid, task_id text, position int, agent_id text, input text, context jsonb,
  depends_on text[], max_attempts int, delay_seconds float8, backoff float8, timeout_seconds float8, approval jsonb, status text,
  waiting int, next_attempt_at timestamptz, approval_expires_at timestamptz, user_id int, on_incomplete text)
"""

ACTIVE = f"""
SELECT workflow_id, run_id FROM runs WHERE workflow_id = ANY($1::uuid[]) AND status NOT IN {FINAL_SQL}
"""
