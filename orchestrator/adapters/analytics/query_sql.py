"""The queries on the cells. `:widths`, `:begins` and `:ends` are the spans to read."""

from orchestrator.analytics.model import COUNTERS, Group, Order

_SPANS = "unnest(CAST(:widths AS smallint[]), CAST(:begins AS timestamptz[]), CAST(:ends AS timestamptz[])) AS s (width, begins, ends)"
_WITHIN = "c.dimension = :dimension AND c.owner = :owner AND c.width = s.width AND c.bucket >= s.begins AND c.bucket < s.ends"
SUMS = ", ".join(f"sum(c.{name}){'' if name == 'seconds' else '::bigint'} AS {name}" for name in COUNTERS)
_POINT = "width_bucket(c.bucket, CAST(:edges AS timestamptz[]))"

# PostgreSQL overestimates these statements, and compiling one takes longer than running it.
NO_JIT = "SET LOCAL jit = off"

STATE = "SELECT counted_until, hours_until, days_until, weeks_until FROM usage_cursor"

POINTS = f"""
SELECT {_POINT} AS point, {SUMS} FROM {_SPANS} JOIN usage_cells c ON {_WITHIN} AND c.subject = :subject GROUP BY 1
"""

# One row per cell: to merge them here takes less time than to unnest, sort and group them there.
DURATIONS = f"""
SELECT {_POINT} AS point, c.durations AS slots, c.duration_calls AS calls
FROM {_SPANS} JOIN usage_cells c ON {_WITHIN} AND c.subject = :subject WHERE c.durations IS NOT NULL
"""

# Each moment since a day is read from the longest cells that it has.
_SINCE = """usage_cursor u JOIN usage_cells c
    ON c.dimension = :dimension AND c.owner = :owner AND c.bucket >= :since AND (
      (c.width = 1440 AND c.bucket < u.days_until)
      OR (c.width = 60 AND c.bucket >= u.days_until AND c.bucket < u.hours_until)
      OR (c.width = 15 AND c.bucket >= coalesce(u.hours_until, '-infinity')))"""

# The histograms of subjects since a day.
TYPICAL = f"""
WITH cell AS (
  SELECT c.subject, c.durations, c.duration_calls, c.costs, c.cost_calls FROM {_SINCE} AND c.subject = ANY(CAST(:subjects AS text[]))
)
SELECT subject, 'durations' AS kind, h.slot, sum(h.calls)::bigint AS calls FROM cell, unnest(durations, duration_calls) AS h (slot, calls)
GROUP BY 1, 3
UNION ALL
SELECT subject, 'costs', h.slot, sum(h.calls)::bigint FROM cell, unnest(costs, cost_calls) AS h (slot, calls) GROUP BY 1, 3
"""

# The same of every subject, with the executions that ended and that completed.
MEASURED = f"""
WITH cell AS MATERIALIZED (
  SELECT c.subject, c.calls, c.completed, c.cancelled, c.durations, c.duration_calls, c.costs, c.cost_calls FROM {_SINCE}
)
SELECT subject, 'calls' AS kind, 0 AS slot, sum(calls)::bigint AS calls FROM cell GROUP BY 1
UNION ALL
SELECT subject, 'completed', 0, sum(completed)::bigint FROM cell GROUP BY 1
UNION ALL
SELECT subject, 'cancelled', 0, sum(cancelled)::bigint FROM cell GROUP BY 1
UNION ALL
SELECT subject, 'durations', h.slot, sum(h.calls)::bigint FROM cell, unnest(durations, duration_calls) AS h (slot, calls) GROUP BY 1, 3
UNION ALL
SELECT subject, 'costs', h.slot, sum(h.calls)::bigint FROM cell, unnest(costs, cost_calls) AS h (slot, calls) GROUP BY 1, 3
"""

REASONS = f"""
SELECT c.subject, sum(c.calls)::bigint AS calls FROM {_SPANS} JOIN usage_cells c ON {_WITHIN}
WHERE c.subject >= :first AND c.subject < :last GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT :most
"""

_ORDERS = {
    Order.CALLS: "calls DESC",
    Order.COST: "cost_micro_usd DESC, calls DESC",
    Order.FAILURES: "failed DESC, calls DESC",
    Order.MEAN_SECONDS: "seconds / nullif(completed, 0) DESC NULLS LAST",
}
_NAMES = {
    Group.AGENT: ("a.name", "a.category", "LEFT JOIN usage_agents a ON a.agent_id = g.subject"),
    Group.CATEGORY: ("NULL", "g.subject", ""),
    Group.USER: ("u.username", "NULL", "LEFT JOIN users u ON u.id = g.subject::int"),
    Group.MODEL: ("NULL", "NULL", ""),
    Group.KEY: ("k.name", "NULL", "LEFT JOIN api_keys k ON k.api_key_id = nullif(g.subject, '')::uuid"),
}


def subjects(group: Group, order: Order) -> str:
    """The statement for a page of the subjects of a group."""
    name, category, names = _NAMES[group]
    sums = ", ".join(f"g.{one}" for one in COUNTERS)
    return f"""
SELECT g.subject, coalesce({name}, '') AS name, coalesce({category}, '') AS category, {sums} FROM (
  SELECT * FROM ({_grouped(group)}) AS grouped WHERE calls > 0 ORDER BY {_ORDERS[order]}, subject LIMIT :limit OFFSET :offset
) AS g {names} ORDER BY {_ORDERS[order]}, subject
"""


def _grouped(group: Group) -> str:
    by_subject = f"SELECT c.subject, {SUMS} FROM {_SPANS} JOIN usage_cells c ON {_WITHIN} GROUP BY 1"
    if group is Group.CATEGORY:
        return f"""
SELECT coalesce(a.category, '') AS subject, {SUMS} FROM ({by_subject}) AS c LEFT JOIN usage_agents a ON a.agent_id = c.subject GROUP BY 1"""
    if group is Group.KEY:  # executions without a key are what the keys leave of the total
        rest = ", ".join(f"coalesce(sum(c.{one} * c.sign), 0){'' if one == 'seconds' else '::bigint'} AS {one}" for one in COUNTERS)
        total = _WITHIN.replace(":dimension", "'total'")
        return f"""
WITH keys AS MATERIALIZED ({by_subject})
SELECT * FROM keys UNION ALL SELECT '' AS subject, {rest} FROM (
  SELECT c.*, 1 AS sign FROM (SELECT '' AS subject, {SUMS} FROM {_SPANS} JOIN usage_cells c ON {total}) AS c
  UNION ALL SELECT keys.*, -1 FROM keys) AS c"""
    return by_subject
