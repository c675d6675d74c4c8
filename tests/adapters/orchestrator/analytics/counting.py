"""Executions with their events, and the comparison of the cells with the books."""

import random
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from orchestrator.adapters.postgres.documents import document
from orchestrator.adapters.retention.retention import first_id_at
from tests.adapters.orchestrator.looking import Connection

AGENTS = [f"marketing_seo_strategist_agent_1_{number}" for number in range(1, 6)]
KEYS = [None, str(UUID(int=1)), str(UUID(int=2))]
STATES = ["completed"] * 7 + ["failed", "cancelled", "outcome_unknown"]
SUMS = "calls, completed, failed, cancelled, unknown, input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, cost_micro_usd"
_INSERT = """
INSERT INTO executions (execution_id, user_id, agent_id, agent_name, agent_revision, status, input, streamed, request_id, model, failure,
  input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, usage_estimated, cost_micro_usd, price_table, owner, lease_until,
  created_at, finished_at, seconds, api_key_id)
SELECT execution_id, user_id, agent_id, 'Agent', '', status, '', false, 'req_1', model, failure, input_tokens, output_tokens, 1, 2, false,
  cost_micro_usd, '', execution_id, now(), finished_at, finished_at, seconds, api_key_id
FROM json_to_recordset($1::json) AS t (execution_id uuid, user_id int, agent_id text, status text, model text, failure jsonb,
  input_tokens int, output_tokens int, cost_micro_usd bigint, finished_at timestamptz, seconds float8, api_key_id uuid)
"""
_EVENTS = """
INSERT INTO outbox (event_id, event_type, aggregate_id, occurred_at, source, data, metadata)
SELECT execution_id, 'agent.executed', agent_id, finished_at, 'orchestrator', jsonb_build_object('execution_id', execution_id,
  'agent_id', agent_id, 'user_id', user_id, 'duration', seconds, 'status', status, 'cost_micro_usd', cost_micro_usd), '{}'
FROM json_to_recordset($1::json) AS t (execution_id uuid, user_id int, agent_id text, status text,
  cost_micro_usd bigint, finished_at timestamptz, seconds float8) ORDER BY finished_at
"""
_STAMP = "UPDATE outbox SET position = id WHERE position IS NULL"
_BOOKS = f"""
SELECT {{subject}} AS subject, count(*) AS calls, count(*) FILTER (WHERE status = 'completed') AS completed,
  count(*) FILTER (WHERE status = 'failed') AS failed, count(*) FILTER (WHERE status = 'cancelled') AS cancelled,
  count(*) FILTER (WHERE status = 'outcome_unknown') AS unknown,
  {", ".join(f"sum({name})::bigint AS {name}" for name in SUMS.split(", ")[5:])}
FROM executions WHERE {{where}} GROUP BY 1
"""
_REASON = "coalesce(failure ->> 'reason', upper(status))"
_SUBJECTS = {
    "total": ("''", "true"),
    "agent": ("agent_id::text", "true"),
    "model": ("coalesce(model, '')", "true"),
    "key": ("api_key_id::text", "api_key_id IS NOT NULL"),
    "reason": (_REASON, "status <> 'completed'"),
    "agent_reason": (f"agent_id || ' ' || {_REASON}", "status <> 'completed'"),
}


def executions(count: int, begins: datetime, over: timedelta, seed: int = 1) -> list[dict[str, Any]]:
    """Random executions of three users, in the order of their end."""
    chance = random.Random(seed)
    made = []
    for number in range(count):
        finished_at = begins + over * (number / count)
        status = chance.choice(STATES)
        made.append(
            {
                "execution_id": UUID(int=first_id_at(finished_at).int | chance.getrandbits(62)),
                "user_id": chance.randint(1, 3),
                "agent_id": chance.choice(AGENTS),
                "status": status,
                "model": chance.choice(["claude-sonnet-5-5", "claude-haiku-5-5", None]),
                "failure": {"reason": chance.choice(["LLM_API_ERROR", "GUARDRAIL_BLOCKED"])} if status == "failed" else None,
                "input_tokens": chance.randint(1, 5000),
                "output_tokens": chance.randint(1, 500),
                "cost_micro_usd": chance.randint(1, 100_000),
                "finished_at": finished_at,
                "seconds": chance.lognormvariate(0, 1),
                "api_key_id": chance.choice(KEYS),
            }
        )
    return made


async def record(db: Connection, made: Sequence[dict[str, Any]], *, in_books: bool = True) -> None:
    """Records executions and their events, with positions."""
    if in_books:
        await db.execute(_INSERT, document(list(made)))
    await db.execute(_EVENTS, document(list(made)))
    await db.execute(_STAMP)
    await db.execute("UPDATE event_relay SET last_position = (SELECT max(position) FROM outbox)")


async def check_cells(db: Connection) -> None:
    """Assert that the quarter-hour cells agree with the books, for all users together and for each one."""
    for owner in (0, 1, 2, 3):
        of_owner = "true" if owner == 0 else f"user_id = {owner}"
        for dimension, (subject, where) in _SUBJECTS.items():
            await _check(db, dimension, owner, _BOOKS.format(subject=subject, where=f"({where}) AND {of_owner}"))
    await _check(db, "user", 0, _BOOKS.format(subject="user_id::text", where="true"))
    counted = await db.fetchrow(
        """
        SELECT sum(seconds) AS seconds, (SELECT sum(n) FROM usage_cells c, unnest(duration_calls) AS n
          WHERE c.dimension = 'total' AND c.owner = 0 AND c.width = 15) AS durations,
          (SELECT sum(n) FROM usage_cells c, unnest(cost_calls) AS n WHERE c.dimension = 'agent' AND c.owner = 0 AND c.width = 15) AS costs
        FROM usage_cells WHERE dimension = 'total' AND owner = 0 AND width = 15"""
    )
    booked = await db.fetchrow("SELECT count(*) AS calls, sum(seconds) AS seconds FROM executions WHERE status = 'completed'")
    assert counted is not None
    assert booked is not None
    assert (counted["durations"], counted["costs"]) == (booked["calls"], booked["calls"])
    assert abs(counted["seconds"] - booked["seconds"]) < 1e-6 * booked["seconds"]


async def _check(db: Connection, dimension: str, owner: int, books: str) -> None:
    sums = ", ".join(f"sum({name})::bigint AS {name}" for name in SUMS.split(", "))
    cells = f"""SELECT subject, {sums} FROM usage_cells WHERE dimension = $1 AND owner = $2 AND width = 15 GROUP BY 1"""
    counted = {tuple(row) for row in await db.fetch(cells, dimension, owner)}
    assert counted == {tuple(row) for row in await db.fetch(books)}, (dimension, owner)


async def check_sums(db: Connection, width: int, until: str) -> int:
    """Assert that the longer cells are the sums of the quarter-hour cells; returns their number."""
    step = {60: "1 hour", 1440: "1 day", 10080: "7 days"}[width]
    names = [*SUMS.split(", "), "seconds"]
    sums = ", ".join(f"round(sum({name})::numeric, 6)" for name in names)
    one = ", ".join(f"round({name}::numeric, 6)" for name in names)
    where = f"width = $1 AND bucket < (SELECT {until} FROM usage_cursor)"
    longer = f"SELECT dimension, owner, subject, bucket, {one} FROM usage_cells WHERE {where} ORDER BY 1, 2, 3, 4"
    shorter = f"""SELECT dimension, owner, subject, date_bin('{step}', bucket, 'epoch'), {sums}
      FROM usage_cells WHERE {where} GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4"""
    rows = [tuple(row) for row in await db.fetch(longer, width)]
    assert rows == [tuple(row) for row in await db.fetch(shorter, 15)]
    for slots, calls in (("durations", "duration_calls"), ("costs", "cost_calls")):
        histogram = f"""SELECT dimension, owner, subject, date_bin('{step}', bucket, 'epoch') AS at, h.slot, sum(h.calls)
          FROM usage_cells, unnest({slots}, {calls}) AS h (slot, calls) WHERE {where} GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5"""
        assert [tuple(row) for row in await db.fetch(histogram, width)] == [tuple(row) for row in await db.fetch(histogram, 15)]
    return len(rows)
