"""The statements of the rollups. Only the transaction that holds the lock on the row of `usage_cursor` writes cells."""

from orchestrator.analytics.model import COUNTERS

LOCK = "SELECT position, hours_until, days_until, weeks_until FROM usage_cursor FOR UPDATE SKIP LOCKED"

# The row of an execution is final once its event exists. If retention has deleted the row, the event has the most important figures.
READ = """
SELECT o.position, o.occurred_at, o.event_type,
  coalesce(e.user_id, (o.data ->> 'user_id')::int) AS user_id, coalesce(e.agent_id, o.data ->> 'agent_id') AS agent_id,
  coalesce(e.status, o.data ->> 'status') AS status, e.agent_name, e.model, e.failure ->> 'reason' AS reason, e.api_key_id,
  coalesce(e.input_tokens, 0) AS input_tokens, coalesce(e.output_tokens, 0) AS output_tokens,
  coalesce(e.cache_read_tokens, 0) AS cache_read_tokens, coalesce(e.cache_write_tokens, 0) AS cache_write_tokens,
  coalesce(e.cost_micro_usd, (o.data ->> 'cost_micro_usd')::bigint) AS cost_micro_usd,
  coalesce(e.seconds, (o.data ->> 'duration')::float8) AS seconds, coalesce(e.finished_at, o.occurred_at) AS finished_at
FROM outbox o LEFT JOIN executions e ON o.event_type = 'agent.executed' AND e.execution_id = (o.data ->> 'execution_id')::uuid
WHERE o.position > $1 ORDER BY o.position LIMIT $2
"""

HISTOGRAMS = """
SELECT c.dimension, c.owner, c.subject, c.width, c.bucket, c.durations, c.duration_calls, c.costs, c.cost_calls
FROM json_to_recordset($1::json) AS t (dimension text, owner int, subject text, width int, bucket timestamptz)
JOIN usage_cells c ON c.dimension = t.dimension AND c.owner = t.owner AND c.subject = t.subject COLLATE "C" AND c.width = t.width
  AND c.bucket = t.bucket
"""

_COLUMNS = ", ".join(COUNTERS)
_TYPES = ", ".join(f"{name} {'float8' if name == 'seconds' else 'bigint'}" for name in COUNTERS)
_SUMS = ", ".join(f"{name} = c.{name} + excluded.{name}" for name in COUNTERS)
_HISTOGRAMS = "durations, duration_calls, costs, cost_calls"

ADD = f"""
INSERT INTO usage_cells AS c (dimension, owner, subject, width, bucket, {_COLUMNS}, {_HISTOGRAMS})
SELECT dimension, owner, subject, width, bucket, {_COLUMNS}, {_HISTOGRAMS}
FROM json_to_recordset($1::json) AS t (dimension text, owner int, subject text, width int, bucket timestamptz, {_TYPES},
  durations smallint[], duration_calls bigint[], costs smallint[], cost_calls bigint[])
ON CONFLICT (dimension, owner, subject, width, bucket) DO UPDATE SET {_SUMS},
  durations = excluded.durations, duration_calls = excluded.duration_calls, costs = excluded.costs, cost_calls = excluded.cost_calls
"""

MOVE = "UPDATE usage_cursor SET position = $1, counted_until = $2"

AGENTS = """
INSERT INTO usage_agents (agent_id, name, category)
SELECT agent_id, name, category FROM json_to_recordset($1::json) AS t (agent_id text, name text, category text)
ON CONFLICT (agent_id) DO UPDATE SET name = excluded.name, category = excluded.category
"""


def _merged(slots: str, calls: str) -> str:
    """A lateral join that merges the histograms of the group's cells."""
    return f"""
LEFT JOIN LATERAL (
  SELECT array_agg(slot ORDER BY slot) AS slots, array_agg(calls ORDER BY slot) AS calls FROM (
    SELECT h.slot, sum(h.calls)::bigint AS calls FROM usage_cells m, unnest(m.{slots}, m.{calls}) AS h (slot, calls)
    WHERE g.measured AND m.dimension = g.dimension AND m.owner = g.owner AND m.subject = g.subject AND m.width = $1
      AND m.bucket >= g.first AND m.bucket < g.first + $2::int * interval '1 minute'
    GROUP BY h.slot) AS one
) AS {slots} ON true"""


# Sums the cells of width $1 between $3 and $4 into cells of width $2.
COMPACT = f"""
INSERT INTO usage_cells (dimension, owner, subject, width, bucket, {_COLUMNS}, {_HISTOGRAMS})
SELECT g.dimension, g.owner, g.subject, $2, g.first, {", ".join(f"g.{name}" for name in COUNTERS)},
  durations.slots, durations.calls, costs.slots, costs.calls
FROM (
  SELECT dimension, owner, subject, date_bin($2::int * interval '1 minute', bucket, 'epoch') AS first,
    bool_or(durations IS NOT NULL) AS measured,
    {", ".join(f"sum({name}){'' if name == 'seconds' else '::bigint'} AS {name}" for name in COUNTERS)}
  FROM usage_cells c WHERE c.width = $1 AND c.bucket >= $3 AND c.bucket < $4 GROUP BY 1, 2, 3, 4
) AS g
{_merged("durations", "duration_calls")}
{_merged("costs", "cost_calls")}
"""

COMPACTED = "UPDATE usage_cursor SET hours_until = $1, days_until = $2, weeks_until = $3"

LAG = """
SELECT r.last_position - c.position AS events,
  coalesce((SELECT extract(epoch FROM clock_timestamp() - occurred_at) FROM outbox
            WHERE position > c.position ORDER BY position LIMIT 1), 0)::float8 AS seconds
FROM usage_cursor c, event_relay r
"""
