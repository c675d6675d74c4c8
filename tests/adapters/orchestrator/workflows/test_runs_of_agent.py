"""Listing the runs of one agent does not look at the steps of every other run."""

import json
from typing import Any

from sqlalchemy.dialects.postgresql.asyncpg import dialect

from orchestrator.adapters.workflows.run_reads import _page
from orchestrator.workflows.model import RunQuery
from tests.adapters.orchestrator.looking import Connection

RUNS = 20_000
RARE, COMMON = "marketing_seo_strategist_agent_1_1", "marketing_seo_strategist_agent_1_2"
FILL = f"""
INSERT INTO runs (run_id, user_id, username, role, request_id, status, sequence)
SELECT ('0192aaaa-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, 1, 'ann', 'user', 'req_1', 'completed', 1
FROM generate_series(1, {RUNS}) n;
INSERT INTO steps (
  run_id, task_id, position, agent_id, input, depends_on, max_attempts, delay_seconds, backoff, timeout_seconds, status, waiting
)
SELECT run_id, 'a', 0, CASE WHEN run_id::text LIKE '%0001' THEN '{RARE}' ELSE '{COMMON}' END, 'x', '{{}}', 1, 1, 1, 1, 'completed', 0
FROM runs;
ANALYZE runs; ANALYZE steps;
"""


async def test_the_steps_of_other_agents_are_not_read(db: Connection, users: None) -> None:
    """Whether the agent has few runs or nearly all of them, about as many rows are read as are returned."""
    await db.execute("TRUNCATE runs CASCADE")
    await db.execute(FILL)
    for user_id in (1, None):
        for agent_id, found in ((RARE, 1), (COMMON, 51), ("no_such_agent_1_1", 0)):
            page: Any = _page(RunQuery(user_id, 50, agent_id=agent_id))
            statement = page.compile(
                dialect=dialect(),  # type: ignore[no-untyped-call]
                compile_kwargs={"literal_binds": True},
            )
            (plan,) = json.loads(await db.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}"))
            nodes = list(_nodes(plan["Plan"]))
            assert nodes[0]["Actual Rows"] == found
            assert sum(_read(node) for node in nodes if node.get("Relation Name") == "steps") <= 200
            assert not [node for node in nodes if node["Node Type"] == "Seq Scan"]


def _nodes(node: dict[str, Any]) -> Any:
    yield node
    for inner in node.get("Plans", ()):
        yield from _nodes(inner)


def _read(node: dict[str, Any]) -> int:
    return int((node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"])
