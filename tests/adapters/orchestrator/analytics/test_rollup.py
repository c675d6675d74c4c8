"""The analytics cells agree with the books, also if the process that maintains them fails."""

import asyncio
import secrets
import signal
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import pytest
from prometheus_client import REGISTRY
from sqlalchemy.ext.asyncio import AsyncEngine

from mesh.failpoints import Failpoint
from mesh.tasks import BackgroundTasks
from orchestrator.adapters.analytics import rollup as module
from orchestrator.adapters.analytics.rollup import UsageRollup
from orchestrator.adapters.events.outbox_upkeep import OutboxUpkeep
from orchestrator.adapters.postgres.engine import create_engine
from orchestrator.adapters.postgres.migration import migrate
from orchestrator.adapters.retention.retention import Retention, RetentionUpkeep
from tests.adapters.orchestrator.analytics.counting import AGENTS, check_cells, check_sums, executions, record
from tests.adapters.orchestrator.looking import Connection, cut_connections
from tests.adapters.orchestrator.processes.test_process_failure import Program
from tests.chaos.figures import figures_agree
from tests.conftest import CreateDatabase
from tests.support.waiting import eventually

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
TWO_DAYS = timedelta(days=2, hours=7)


@pytest.fixture
async def rollup(books_url: str) -> AsyncIterator[UsageRollup]:
    rollup = UsageRollup(books_url, lambda agent_id: "marketing" if agent_id != AGENTS[4] else None)
    yield rollup
    await rollup._connection.close()


async def finish(rollup: UsageRollup) -> int:
    """Count every event in the log."""
    total = 0
    while counted := await rollup.count():
        total += counted
    return total


def exported() -> list[float]:
    """The executions and their cost in this process's metrics."""
    names = "executions_ended_total", "execution_cost_micro_usd_total"
    samples = [sample for metric in REGISTRY.collect() for sample in metric.samples]
    return [sum(sample.value for sample in samples if sample.name == name) for name in names]


async def test_the_cells_agree_with_the_books(rollup: UsageRollup, db: Connection) -> None:
    await record(db, executions(900, NOON, timedelta(hours=3)))
    counted = exported()
    assert await finish(rollup) == 900
    await check_cells(db)
    [books] = await db.fetch("SELECT count(*), sum(cost_micro_usd) FROM executions")
    assert [after - before for before, after in zip(counted, exported(), strict=True)] == list(books)
    assert await finish(rollup) == 0
    await check_cells(db)


async def test_the_check_after_a_storm_finds_a_wrong_cell(rollup: UsageRollup, db: Connection, books_url: str) -> None:
    await record(db, executions(900, NOON, timedelta(hours=3)))
    await finish(rollup)
    assert await figures_agree(books_url) == await db.fetchval("SELECT count(*) FROM usage_cells WHERE width = 15")
    one = "ctid = (SELECT min(ctid) FROM usage_cells WHERE width = 15 AND dimension = 'agent')"
    for wrong in ("calls = calls + 1", "cost_micro_usd = cost_micro_usd - 1", "duration_calls = duration_calls || 1::bigint"):
        await db.execute(f"CREATE TABLE kept AS SELECT * FROM usage_cells; UPDATE usage_cells SET {wrong} WHERE {one}")
        with pytest.raises(AssertionError, match="1 cells differ"):
            await figures_agree(books_url)
        await db.execute("TRUNCATE usage_cells; INSERT INTO usage_cells SELECT * FROM kept; DROP TABLE kept")
    await db.execute("DELETE FROM executions WHERE execution_id = (SELECT min(execution_id::text)::uuid FROM executions)")
    with pytest.raises(AssertionError, match="cells differ"):
        await figures_agree(books_url)


async def test_other_events_are_skipped(rollup: UsageRollup, db: Connection) -> None:
    await db.execute(
        """INSERT INTO outbox (event_id, event_type, aggregate_id, source, data, metadata, position)
           VALUES (gen_random_uuid(), 'user.registered', '1', 'identity', '{"user_id": 1}', '{}', 1)"""
    )
    assert await finish(rollup) == 1
    assert await db.fetchval("SELECT count(*) FROM usage_cells") == 0
    await record(db, executions(10, NOON, timedelta(hours=1)))
    assert await finish(rollup) == 10
    await check_cells(db)


async def test_concurrent_processes_count_each_execution_once(rollup: UsageRollup, books_url: str, db: Connection) -> None:
    await record(db, executions(1500, NOON, timedelta(hours=2)))
    others = [UsageRollup(books_url, lambda _: None) for _ in range(3)]

    async def done() -> bool:
        await asyncio.gather(*(one.count() for one in (rollup, *others)))
        return bool(await db.fetchval("SELECT position = 1500 FROM usage_cursor"))

    await eventually(done)
    await check_cells(db)
    for one in others:
        await one._connection.close()


async def test_completed_hours_and_days_are_summed(rollup: UsageRollup, db: Connection) -> None:
    await record(db, executions(1200, NOON, TWO_DAYS))
    await finish(rollup)
    await check_cells(db)
    until = await db.fetchrow("SELECT hours_until, days_until FROM usage_cursor")
    assert until is not None
    assert until["days_until"] == datetime(2026, 11, 22, tzinfo=UTC)
    assert until["hours_until"] == datetime(2026, 11, 22, 18, tzinfo=UTC)
    assert await check_sums(db, 60, "hours_until") > 500
    assert await check_sums(db, 1440, "days_until") > 50


async def test_a_late_execution_is_counted_in_its_hour_and_day(rollup: UsageRollup, db: Connection) -> None:
    await record(db, executions(600, NOON, TWO_DAYS))
    await finish(rollup)
    await record(db, executions(50, NOON + timedelta(hours=1), timedelta(hours=30), seed=2))
    assert await finish(rollup) == 50
    await check_cells(db)
    await check_sums(db, 60, "hours_until")
    await check_sums(db, 1440, "days_until")


async def test_weeks_are_summed_one_after_the_other(rollup: UsageRollup, db: Connection) -> None:
    for day in range(23):
        await record(db, executions(20, datetime(2026, 10, 30, 9, tzinfo=UTC) + timedelta(days=day), timedelta(days=1), seed=10 + day))
        await finish(rollup)
    weeks = await db.fetchval("SELECT weeks_until FROM usage_cursor")
    assert weeks >= datetime(2026, 11, 12, tzinfo=UTC)
    assert await check_sums(db, 10080, "weeks_until") > 50
    await record(db, executions(50, datetime(2026, 10, 31, tzinfo=UTC), timedelta(days=1), seed=2))
    assert await finish(rollup) == 50
    await check_cells(db)
    await check_sums(db, 10080, "weeks_until")


async def test_an_execution_whose_row_was_deleted_is_counted_from_its_event(rollup: UsageRollup, db: Connection) -> None:
    made = executions(20, NOON, timedelta(minutes=10))
    await record(db, made, in_books=False)
    await finish(rollup)
    row = await db.fetchrow("SELECT calls, completed, cost_micro_usd FROM usage_cells WHERE dimension = 'total' AND owner = 0")
    completed = sum(one["status"] == "completed" for one in made)
    assert row is not None
    assert tuple(row) == (20, completed, sum(one["cost_micro_usd"] for one in made))


async def test_agents_keep_their_name_and_category(rollup: UsageRollup, db: Connection) -> None:
    """The catalogue no longer has the last agent."""
    await db.execute("INSERT INTO usage_agents VALUES ($1, 'Old name', 'legal'), ($2, 'Old name', 'legal')", AGENTS[0], AGENTS[4])
    await record(db, executions(100, NOON, timedelta(minutes=10)))
    await finish(rollup)
    known = {row["agent_id"]: (row["name"], row["category"]) for row in await db.fetch("SELECT * FROM usage_agents")}
    assert known == {**dict.fromkeys(AGENTS[:4], ("Agent", "marketing")), AGENTS[4]: ("Old name", "legal")}


async def test_a_lost_connection_is_replaced_and_nothing_is_counted_twice(books_url: str, db: Connection) -> None:
    rollup = UsageRollup(books_url, lambda _: "marketing", poll_seconds=0.05)
    tasks = BackgroundTasks()
    running = tasks.start("usage rollup", rollup.run())
    for number in range(4):
        await record(db, executions(400, NOON + timedelta(hours=number), timedelta(hours=1), seed=number))
        await eventually(lambda: db.fetchval("SELECT position > 0 FROM usage_cursor"))
        await cut_connections(db)
    await eventually(lambda: db.fetchval("SELECT position = 1600 FROM usage_cursor"))
    await tasks.stop(running)
    await check_cells(db)


async def test_a_count_interrupted_before_its_commit_changes_nothing(
    rollup: UsageRollup, db: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Interrupting(Failpoint):
        def hit(self) -> None:
            raise ConnectionError("interrupted")

    await record(db, executions(100, NOON, timedelta(hours=1)))
    with monkeypatch.context() as patched:
        patched.setattr(module, "BEFORE_COUNTING", Interrupting("test.interrupting"))
        with pytest.raises(ConnectionError):
            await rollup.count()
    assert await db.fetchval("SELECT count(*) FROM usage_cells") == 0
    assert await finish(rollup) == 100
    await check_cells(db)


@pytest.mark.timeout(300)
async def test_a_killed_worker_loses_no_count_and_counts_nothing_twice(
    create_database: CreateDatabase, redis_url: str, tmp_path: Path
) -> None:
    url = await create_database(f"usage_{secrets.token_hex(4)}")
    engine = create_engine(url, 1, 0)
    await migrate(engine)
    await engine.dispose()
    db = await asyncpg.connect(url.replace("+asyncpg", ""))
    await record(db, executions(2_000, NOON, TWO_DAYS))
    program = Program("worker", tmp_path, url, redis_url)
    positions = []
    for failpoint in ("analytics.before_counting_commit", "analytics.after_counting_commit"):
        await program.start(FAILPOINTS=failpoint)
        assert await asyncio.wait_for(program.process.wait(), 90) == -signal.SIGKILL
        positions.append(await db.fetchval("SELECT position FROM usage_cursor"))
    assert positions == [0, module.COUNTED_AT_ONCE]
    await program.start()
    await eventually(lambda: db.fetchval("SELECT position = 2000 FROM usage_cursor"), 90)
    program.process.terminate()
    assert await asyncio.wait_for(program.process.wait(), 60) == 0
    await check_cells(db)
    await check_sums(db, 60, "hours_until")
    await check_sums(db, 1440, "days_until")
    await db.close()


async def test_retention_keeps_the_figures_of_deleted_executions(rollup: UsageRollup, db: Connection, engine: AsyncEngine) -> None:
    await record(db, executions(300, datetime(2024, 1, 1, tzinfo=UTC), timedelta(hours=2)))
    upkeep = RetentionUpkeep(engine, Retention(executions=10, runs=0, run_changes=0, audit=0))
    assert await upkeep.delete_old() == {"executions": 0}  # not counted yet
    await finish(rollup)
    assert await upkeep.delete_old() == {"executions": 300}
    assert await db.fetchval("SELECT sum(calls) FROM usage_cells WHERE dimension = 'total' AND owner = 0 AND width = 15") == 300


async def test_events_that_are_not_counted_yet_are_kept(rollup: UsageRollup, db: Connection, engine: AsyncEngine) -> None:
    await record(db, executions(300, datetime(2024, 1, 1, tzinfo=UTC), timedelta(hours=2)))
    upkeep = OutboxUpkeep(engine, 1, publishing=False)
    assert await upkeep.delete_expired() == 0
    await rollup.count()
    assert await upkeep.delete_expired() == module.COUNTED_AT_ONCE


async def test_old_hours_of_single_subjects_are_deleted_and_their_days_kept(
    rollup: UsageRollup, db: Connection, engine: AsyncEngine
) -> None:
    await record(db, executions(300, datetime(2024, 1, 1, tzinfo=UTC), TWO_DAYS))
    await finish(rollup)
    upkeep = RetentionUpkeep(engine, Retention(executions=0, runs=0, run_changes=0, audit=0, usage=92))
    (deleted,) = (await upkeep.delete_old()).values()
    assert deleted > 100
    left = "SELECT count(*) FROM usage_cells WHERE width < 1440 AND dimension {} 'total' AND bucket < '2024-01-03Z'"
    assert await db.fetchval(left.format("<>")) == 0
    assert await db.fetchval(left.format("=")) > 0
    days = "SELECT sum(calls) FROM usage_cells WHERE width = 1440 AND dimension = 'agent' AND owner = 0"
    assert await db.fetchval(days) == await db.fetchval("SELECT count(*) FROM executions WHERE finished_at < '2024-01-03Z'")
