"""Old executions, runs, changes and audit entries are deleted; recent, unfinished and referenced ones are kept."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine
from uuid_utils.compat import uuid7

from mesh.tasks import BackgroundTasks
from orchestrator.adapters.retention import retention as module
from orchestrator.adapters.retention.retention import Retention, RetentionUpkeep, first_id_at
from orchestrator.workflows.watch import Ended, RunWatch
from tests.adapters.orchestrator.looking import Connection
from tests.adapters.orchestrator.workflows.following import USER, SilentNotifier, no_live_texts, running_stores
from tests.adapters.orchestrator.workflows.test_run_watch import NeverNotified

DAYS = 10
OLD, YOUNG = timedelta(days=DAYS + 1), timedelta(days=DAYS - 1)


@pytest.fixture
async def upkeep(db: Connection, engine: AsyncEngine) -> AsyncIterator[RetentionUpkeep]:
    await db.execute("TRUNCATE workflows, audit_log CASCADE")
    yield RetentionUpkeep(engine, Retention(DAYS, DAYS, DAYS, DAYS))
    await db.execute("TRUNCATE workflows, audit_log CASCADE")


def id_of(age: timedelta) -> UUID:
    """A UUIDv7 created this long ago."""
    return UUID(int=first_id_at(datetime.now(UTC) - age).int | (uuid7().int & ((1 << 62) - 1)))


async def execution(db: Connection, age: timedelta, status: str = "completed", run_id: UUID | None = None) -> UUID:
    execution_id = id_of(age)
    await db.execute(
        """INSERT INTO executions (execution_id, user_id, agent_id, agent_name, agent_revision, status, input, streamed, request_id,
             input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, usage_estimated, cost_micro_usd, price_table, owner,
             lease_until, created_at, run_id)
           VALUES ($1, 1, 'a', 'A', '', $2, '', false, '', 0, 0, 0, 0, false, 0, '', $1, now(), now() - $3::interval, $4)""",
        execution_id,
        status,
        age,
        run_id,
    )
    return execution_id


async def run(db: Connection, age: timedelta, status: str = "completed", changes: int = 3) -> UUID:
    run_id, workflow_id = id_of(age), uuid7()
    await db.execute(
        """INSERT INTO workflows (workflow_id, user_id, name, tasks, task_count, latest_run_id, status)
           VALUES ($1, $2, 'w', '[]', 0, $3, $4)""",
        *(workflow_id, USER, run_id, status),
    )
    created = datetime.now(UTC) - age
    await db.execute(
        """INSERT INTO runs (run_id, workflow_id, user_id, username, role, status, sequence, request_id, created_at, finished_at)
           VALUES ($1, $2, $3, 'u', 'user', $4, $5, '', $6, $7)""",
        *(run_id, workflow_id, USER, status, changes, created, None if status == "running" else created),
    )
    await db.execute(
        "INSERT INTO run_events (run_id, sequence, kind, payload) SELECT $1, n, 'run', '{}' FROM generate_series(1, $2::int) AS n",
        *(run_id, changes),
    )
    return run_id


async def ids(db: Connection, table: str, column: str) -> set[UUID]:
    return {row[column] for row in await db.fetch(f"SELECT DISTINCT {column} FROM {table}")}


async def test_old_executions_are_deleted_in_batches_and_others_kept(
    db: Connection, upkeep: RetentionUpkeep, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BATCH_ROWS", 4)
    for _ in range(11):
        await execution(db, OLD)
    running, young = await execution(db, OLD, "running"), await execution(db, YOUNG)
    keyed, expired = await execution(db, OLD), await execution(db, OLD)
    for resource, lives in ((keyed, "1 day"), (expired, "-1 day")):
        await db.execute(
            "INSERT INTO idempotency_keys (user_id, rpc, key, body_hash, resource_id, expires_at) "
            f"VALUES (1, 'r', $1, '', $2, now() + interval '{lives}')",
            *(str(resource), resource),
        )
    of_run = await execution(db, OLD, run_id=await run(db, YOUNG))
    deleted = await upkeep.delete_old()
    assert await ids(db, "executions", "execution_id") == {running, young, keyed, of_run}
    assert deleted["executions"] == 12


async def test_old_runs_are_deleted_with_their_rows(db: Connection, upkeep: RetentionUpkeep) -> None:
    old, cancelled = await run(db, OLD), await run(db, OLD, "cancelled")
    running, young = await run(db, OLD, "running"), await run(db, YOUNG)
    bought = await execution(db, OLD, run_id=old)
    assert (await upkeep.delete_old())["runs"] == 2
    assert await ids(db, "runs", "run_id") == {running, young}
    assert await ids(db, "run_events", "run_id") == {running, young}
    assert bought not in await ids(db, "executions", "execution_id")
    latest = {row["latest_run_id"] for row in await db.fetch("SELECT latest_run_id FROM workflows")}
    assert latest == {running, young, None}, "a workflow names a run that was deleted"
    assert cancelled not in latest


@pytest.mark.parametrize("batch", [2, 7, 500])
async def test_the_changes_of_a_run_are_deleted_together_and_before_the_run(
    batch: int, db: Connection, engine: AsyncEngine, upkeep: RetentionUpkeep, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BATCH_ROWS", batch)
    old = [await run(db, OLD, changes=n) for n in (1, 5, 3, 9, 2)]
    running, young = await run(db, OLD, "running"), await run(db, YOUNG)
    deleted = await RetentionUpkeep(engine, Retention(0, 0, DAYS, 0)).delete_old()
    assert deleted == {"run_events": 20}
    assert await ids(db, "run_events", "run_id") == {running, young}
    assert {*old} < await ids(db, "runs", "run_id")


async def test_a_watch_of_a_run_without_changes_ends_at_once(
    db: Connection, books_url: str, engine: AsyncEngine, upkeep: RetentionUpkeep
) -> None:
    run_id = await run(db, YOUNG)
    await db.execute("DELETE FROM run_events")
    async with running_stores(books_url, engine, SilentNotifier()) as stores:
        found = await stores.store.get(USER, run_id)
        assert found is not None
        watch = RunWatch(stores.store, NeverNotified(), no_live_texts(), BackgroundTasks())
        async with asyncio.timeout(5):
            assert [change async for change in watch.changes(found, 0)] == [Ended(found.sequence, found.state)]


async def test_old_audit_entries_are_deleted_and_zero_days_keep_them(db: Connection, engine: AsyncEngine, upkeep: RetentionUpkeep) -> None:
    for age in (OLD, OLD, YOUNG):
        await db.execute(
            "INSERT INTO audit_log (at, action, subject, ip, request_id, details) VALUES (now() - $1::interval, 'x', '', '', '', '{}')", age
        )
    await execution(db, OLD)
    assert await RetentionUpkeep(engine, Retention(0, 0, 0, 0)).delete_old() == {}
    assert await upkeep.delete_old() == {"audit_log": 2, "executions": 1, "run_events": 0, "runs": 0}
    assert await db.fetchval("SELECT count(*) FROM audit_log") == 1


async def test_only_one_of_two_processes_deletes_at_a_time(db: Connection, other: Connection, upkeep: RetentionUpkeep) -> None:
    await execution(db, OLD)
    async with other.transaction():
        await other.execute("SELECT pg_advisory_xact_lock($1)", module.RETENTION_LOCK)
        assert sum((await upkeep.delete_old()).values()) == 0
    assert (await upkeep.delete_old())["executions"] == 1
