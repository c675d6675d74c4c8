"""One statement for each kind of row, which deletes a batch in the order of the primary key.

Each takes `cutoff` (older rows go), `first` (an id that no row younger than the cutoff is below), `after` (where the batch before ended)
and `most` (rows to look at). Each returns how many rows it has deleted, how many it has looked at, and the id where the next batch begins.
Ids of executions and runs are UUIDv7, whose order is the order of creation, so that a batch is a range of the primary key. A row that must
stay (a call in progress, a run that has not ended, an idempotency key that still answers) is passed over until a later pass.
"""

from orchestrator.adapters.postgres.states import final_sql
from orchestrator.adapters.workflows.states import FINAL_SQL
from orchestrator.executions.model import State

RUNS = f"""
WITH batch AS (
  SELECT run_id FROM runs WHERE run_id > :after AND run_id < :first ORDER BY run_id LIMIT :most
), gone AS (
  DELETE FROM runs USING batch
  WHERE runs.run_id = batch.run_id AND runs.status IN {FINAL_SQL} AND runs.finished_at < :cutoff
  RETURNING runs.run_id
), latest AS (
  UPDATE workflows w SET latest_run_id = NULL FROM gone WHERE w.latest_run_id = gone.run_id
)
SELECT (SELECT count(*) FROM gone) AS deleted, count(*) AS seen, (SELECT run_id FROM batch ORDER BY run_id DESC LIMIT 1) AS last FROM batch
"""

# An execution whose event analytics has not counted is kept. The hour covers events that got their position later than others.
EXECUTIONS = f"""
WITH counted AS (
  SELECT least(
    (SELECT occurred_at FROM outbox WHERE position > (SELECT position FROM usage_cursor) ORDER BY position LIMIT 1),
    (SELECT occurred_at FROM outbox WHERE position IS NULL ORDER BY id LIMIT 1),
    clock_timestamp()
  ) - interval '1 hour' AS moment
), batch AS (
  SELECT execution_id FROM executions WHERE execution_id > :after AND execution_id < :first ORDER BY execution_id LIMIT :most
), gone AS (
  DELETE FROM executions e USING batch
  WHERE e.execution_id = batch.execution_id AND e.status IN {final_sql(State)} AND e.created_at < :cutoff
    AND NOT EXISTS (SELECT FROM idempotency_keys k WHERE k.resource_id = e.execution_id AND k.expires_at > clock_timestamp())
    AND NOT EXISTS (SELECT FROM runs r WHERE r.run_id = e.run_id)
    AND coalesce(e.finished_at, e.created_at) < (SELECT moment FROM counted)
  RETURNING e.execution_id
)
SELECT (SELECT count(*) FROM gone) AS deleted, count(*) AS seen,
  (SELECT execution_id FROM batch ORDER BY execution_id DESC LIMIT 1) AS last FROM batch
"""

RUN_CHANGES = f"""
WITH batch AS (
  SELECT run_id, sequence FROM run_events WHERE run_id > :after AND run_id < :first ORDER BY run_id, sequence LIMIT :most
), whole AS (
  -- The last run of a full batch may continue in the next one; a run's changes are deleted together.
  SELECT DISTINCT run_id FROM batch
  WHERE (SELECT count(*) FROM batch) < :most OR run_id < (SELECT run_id FROM batch ORDER BY run_id DESC LIMIT 1)
    OR (SELECT count(DISTINCT run_id) FROM batch) = 1
), gone AS (
  DELETE FROM run_events e USING whole JOIN runs r USING (run_id)
  WHERE e.run_id = whole.run_id AND r.status IN {FINAL_SQL} AND r.finished_at < :cutoff
  RETURNING 1
)
SELECT (SELECT count(*) FROM gone) AS deleted, (SELECT count(*) FROM batch) AS seen,
  (SELECT run_id FROM whole ORDER BY run_id DESC LIMIT 1) AS last
"""

# Hours and quarters of single subjects. Days and totals are kept.
USAGE = """
WITH batch AS (
  SELECT ctid FROM usage_cells
  WHERE bucket < :cutoff AND bucket < (SELECT days_until FROM usage_cursor) AND width < 1440 AND dimension <> 'total' LIMIT :most
), gone AS (
  DELETE FROM usage_cells c USING batch WHERE c.ctid = batch.ctid RETURNING 1
)
SELECT (SELECT count(*) FROM gone) AS deleted, (SELECT count(*) FROM gone) AS seen, 0 AS last
"""

AUDIT = """
WITH batch AS (
  SELECT id FROM audit_log WHERE id > :after ORDER BY id LIMIT :most
), gone AS (
  DELETE FROM audit_log a USING batch WHERE a.id = batch.id AND a.at < :cutoff RETURNING a.id
)
SELECT (SELECT count(*) FROM gone) AS deleted, (SELECT count(*) FROM gone) AS seen, (SELECT id FROM batch ORDER BY id DESC LIMIT 1) AS last
"""
"""The audit log ends a pass at the first batch that is not all old: its ids follow its time closely."""
