"""`python -m tests.bench analytics`: every question to analytics, on the cells of ten million executions.

The cells are made by SQL, as the workers would have left them: 92 days, 1,500 agents and 300 users, some far
busier than others. Fails if the median of a question is 200 ms or more.
"""

import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg

from deploy.local.servers.postgres import PostgresServer
from mesh.security.caller import Caller, Role
from orchestrator.adapters.analytics.store import PostgresUsageStore
from orchestrator.adapters.postgres.engine import create_engine
from orchestrator.adapters.postgres.migration import migrate
from orchestrator.analytics.cells import floor
from orchestrator.analytics.model import COUNTERS, Asked, Group, Interval, Order, Width
from orchestrator.analytics.service import AnalyticsService
from tests.support.ports import any_free_port

DAYS = 92
MOST_MS = 200.0
REPEATS = 9
ADMIN, BUSY = Caller(9, "root", Role.ADMIN), Caller(1, "busy")
Question = Callable[[AnalyticsService], Awaitable[Any]]

_CALLS = """
CREATE UNLOGGED TABLE call AS
SELECT 1 + floor(300 * power(random(), 3))::int AS owner, 1 + floor(1500 * power(random(), 2))::int AS agent,
  $1::timestamptz + floor(random() * $2) * interval '15 minutes' AS bucket, (70 + 20 * (random() + random() - 1))::smallint AS slot,
  random() < 0.05 AS failed
FROM generate_series(1, $3)
"""
_BUCKET = {
    Width.QUARTER: "bucket",
    Width.HOUR: "date_bin('1 hour', bucket, 'epoch')",
    Width.DAY: "date_bin('1 day', bucket, 'epoch')",
    Width.WEEK: "date_bin('7 days', bucket, 'epoch')",
}
_UNTIL = {Width.QUARTER: "infinity", Width.HOUR: "{hours}", Width.DAY: "{days}", Width.WEEK: "{weeks}"}
_AGENT = "'marketing_seo_strategist_agent_1_' || agent"
_SUBJECTS = {
    ("total", "0"): "''",
    ("agent", "0"): _AGENT,
    ("model", "0"): "'model-' || agent % 3",
    ("user", "0"): "owner::text",
    ("reason", "0"): "'REASON_' || agent % 12",
    ("total", "owner"): "''",
    ("agent", "owner"): _AGENT,
    ("model", "owner"): "'model-' || agent % 3",
}


def _cells(dimension: str, owner: str, subject: str, width: Width, until: str) -> str:
    """The statement that sums the calls into the cells of one dimension and width."""
    measured = dimension in ("total", "agent")
    values = dict.fromkeys(COUNTERS, "sum(n)") | {"completed": "sum(n) FILTER (WHERE NOT failed)", "cost_micro_usd": "900 * sum(n)"}
    counters = ", ".join(f"coalesce({values[name]}, 0)" for name in COUNTERS)
    histogram = "array_agg(slot), array_agg(n), array_agg(slot), array_agg(n)" if measured else "NULL, NULL, NULL, NULL"
    where = f"bucket < '{until}'" + (" AND failed" if dimension == "reason" else "")
    return f"""
INSERT INTO usage_cells (dimension, owner, subject, width, bucket, {", ".join(COUNTERS)}, durations, duration_calls, costs, cost_calls)
SELECT '{dimension}', o, s, {int(width)}, b, {counters}, {histogram} FROM (
  SELECT {owner} AS o, {subject} AS s, {_BUCKET[width]} AS b, {"slot, false AS failed" if measured else "0 AS slot, failed"},
    count(*) AS n
  FROM call WHERE {where} GROUP BY 1, 2, 3, 4, 5) AS one
GROUP BY o, s, b ORDER BY b"""


async def load(db: Any, executions: int, now: datetime) -> None:
    """Fills the cells. Indexes are built afterwards, as that is faster."""
    begins = floor(now, Width.DAY) - timedelta(days=DAYS)
    hours, days, weeks = (floor(now, width) for width in (Width.HOUR, Width.DAY, Width.WEEK))
    await db.execute("SET work_mem = '256MB'; SET maintenance_work_mem = '1GB'; SET synchronous_commit = off")
    await db.execute(_CALLS, begins, float((now - begins) / timedelta(minutes=15)), executions)
    await db.execute("ALTER TABLE usage_cells SET UNLOGGED; ALTER TABLE usage_cells DROP CONSTRAINT usage_cells_pkey")
    await db.execute("DROP INDEX ix_usage_cells_bucket; DROP INDEX ix_usage_cells_age")
    for (dimension, owner), subject in _SUBJECTS.items():
        for width in Width:
            until = _UNTIL[width].format(hours=hours.isoformat(), days=days.isoformat(), weeks=weeks.isoformat())
            await db.execute(_cells(dimension, owner, subject, width, until))
        print(f"  {dimension} of {'everybody' if owner == '0' else 'each user'}: cells made", flush=True)
    await db.execute("ALTER TABLE usage_cells ADD PRIMARY KEY (dimension, owner, subject, width, bucket)")
    await db.execute("CREATE INDEX ix_usage_cells_bucket ON usage_cells (dimension, owner, width, bucket)")
    await db.execute(f"INSERT INTO usage_agents SELECT {_AGENT}, 'Agent', 'category-' || agent % 20 FROM generate_series(1, 1500) AS agent")
    await db.execute(
        "UPDATE usage_cursor SET counted_until = $1, hours_until = $2, days_until = $3, weeks_until = $4", now, hours, days, weeks
    )
    await db.execute("VACUUM ANALYZE usage_cells")


def questions(now: datetime) -> Iterator[tuple[str, Question]]:
    """Every question, of an administrator about all users and of the busiest user."""
    quarter, month, week = (Asked(now - timedelta(days=days, minutes=37), now) for days in (90, 30, 7))
    agent = "marketing_seo_strategist_agent_1_1"
    for who in (ADMIN, BUSY):
        name = f"{who.username}: "
        yield name + "summary, 90 days", lambda s, w=who: s.summary(w, quarter, "")  # type: ignore[misc]
        yield name + "summary of an agent, 90 days", lambda s, w=who: s.summary(w, quarter, agent)  # type: ignore[misc]
        for order in Order:
            yield name + f"agents by {order}, 90 days", lambda s, w=who, o=order: s.agents(w, quarter, o, 50, 0)  # type: ignore[misc]
        for interval, asked in ((Interval.QUARTER_HOUR, week), (Interval.HOUR, month), (Interval.DAY, quarter), (Interval.WEEK, quarter)):
            for zone in ("UTC", "Asia/Kathmandu"):
                for of in ("", agent):
                    text = f"{interval.name.lower()}s{' of an agent' if of else ''} in {zone}"
                    yield (
                        name + text,
                        lambda s, w=who, i=interval, a=asked, z=zone, o=of: s.timeseries(w, a, o, i, z),  # type: ignore[misc]
                    )
        for group in Group:
            yield name + f"costs by {group}, 90 days", lambda s, w=who, g=group: s.costs(w, quarter, g, "Europe/Berlin", 50, 0)  # type: ignore[misc]


async def main(executions: int) -> int:
    now = datetime.now(UTC)
    with tempfile.TemporaryDirectory(prefix="agentmesh-bench-") as folder:
        server = PostgresServer(Path(folder), any_free_port(), settings={"fsync": "off"})
        await server.start()
        try:
            url = await server.create_database("analytics")
            engine = create_engine(url, 1, 0)
            await migrate(engine)
            db = await asyncpg.connect(url.replace("+asyncpg", ""))
            began = time.monotonic()
            await load(db, executions, now)
            rows = await db.fetchval("SELECT count(*) FROM usage_cells")
            size = await db.fetchval("SELECT pg_size_pretty(pg_total_relation_size('usage_cells'))")
            print(f"{executions:,} executions: {rows:,} cells, {size}, made in {time.monotonic() - began:.0f} s")
            await db.close()
            slow = await measure(AnalyticsService(PostgresUsageStore(engine, DAYS), DAYS), now)
            await engine.dispose()
        finally:
            await server.stop()
            server.erase()
    print(
        f"{slow} questions took {MOST_MS:g} ms or more" if slow else f"every question took less than {MOST_MS:g} ms (median of {REPEATS})"
    )
    return 1 if slow else 0


async def measure(service: AnalyticsService, now: datetime) -> int:
    """Asks every question several times; returns how many are too slow."""
    slow = 0
    for name, ask in questions(now):
        took = []
        for _ in range(REPEATS):
            began = time.monotonic()
            await ask(service)
            took.append(1000 * (time.monotonic() - began))
        median = statistics.median(took)
        slow += median >= MOST_MS
        print(f"{median:7.1f} ms (worst {max(took):7.1f}) {name}", flush=True)
    return slow
