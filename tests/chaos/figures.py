"""Compares the cells of analytics with the executions in the books."""

from typing import Any

import asyncpg

from tests.support.waiting import eventually

COUNTED = """
SELECT NOT EXISTS (SELECT FROM outbox WHERE position IS NULL)
  AND (SELECT position FROM usage_cursor) = (SELECT coalesce(max(position), 0) FROM outbox)
"""
DISCREPANCIES = """
WITH ended AS (
  SELECT *, coalesce(model, '') AS with_model, coalesce(api_key_id::text, '') AS with_key,
    CASE WHEN status = 'completed' THEN '' ELSE coalesce(failure ->> 'reason', upper(status)) END AS why,
    date_bin('15 minutes', finished_at, 'epoch') AS bucket
  FROM executions WHERE status <> 'running'
), expected AS (
  SELECT one.dimension, one.owner, one.subject, bucket, count(*) AS calls, count(*) FILTER (WHERE status = 'completed') AS completed,
    count(*) FILTER (WHERE status = 'failed') AS failed, count(*) FILTER (WHERE status = 'cancelled') AS cancelled,
    count(*) FILTER (WHERE status = 'outcome_unknown') AS unknown, sum(input_tokens) AS input_tokens, sum(output_tokens) AS output_tokens,
    sum(cost_micro_usd) AS cost
  FROM ended CROSS JOIN LATERAL (VALUES
    ('user', 0, user_id::text), ('total', 0, ''), ('total', user_id, ''), ('agent', 0, agent_id), ('agent', user_id, agent_id),
    ('model', 0, with_model), ('model', user_id, with_model), ('key', 0, with_key), ('key', user_id, with_key), ('reason', 0, why),
    ('reason', user_id, why), ('agent_reason', 0, agent_id || ' ' || why), ('agent_reason', user_id, agent_id || ' ' || why)
  ) AS one (dimension, owner, subject)
  WHERE NOT (one.dimension = 'key' AND with_key = '') AND NOT (one.dimension IN ('reason', 'agent_reason') AND why = '')
  GROUP BY 1, 2, 3, 4
), counted AS (
  SELECT dimension, owner, subject, bucket, calls, completed, failed, cancelled, unknown, input_tokens, output_tokens,
    cost_micro_usd AS cost,
    (SELECT sum(n) FROM unnest(duration_calls) AS n) AS measured
  FROM usage_cells WHERE width = 15
)
SELECT dimension, owner, subject, bucket, e.calls AS executions, c.calls AS counted, e.cost, c.cost AS counted_cost
FROM expected e FULL JOIN counted c USING (dimension, owner, subject, bucket)
WHERE (e.calls, e.completed, e.failed, e.cancelled, e.unknown, e.input_tokens, e.output_tokens, e.cost)
    IS DISTINCT FROM (c.calls, c.completed, c.failed, c.cancelled, c.unknown, c.input_tokens, c.output_tokens, c.cost)
  OR (dimension IN ('total', 'agent') AND coalesce(c.measured, 0) <> c.completed)
"""
CATCH_UP_SECONDS = 30.0


async def figures_agree(database_url: str) -> int:
    """Waits until every event is counted; returns the number of cells, or raises AssertionError with those that differ from the books."""
    connection: Any = await asyncpg.connect(database_url.replace("postgresql+asyncpg://", "postgresql://"))
    try:

        async def counted() -> bool:
            return bool(await connection.fetchval(COUNTED))

        await eventually(counted, CATCH_UP_SECONDS)
        differing = await connection.fetch(DISCREPANCIES)
        assert not differing, f"{len(differing)} cells differ from the books:\n" + "\n".join(map(str, differing[:20]))
        return int(await connection.fetchval("SELECT count(*) FROM usage_cells WHERE width = 15"))
    finally:
        await connection.close()
