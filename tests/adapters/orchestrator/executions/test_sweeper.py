import asyncio
import json
import random
from collections import Counter
from collections.abc import AsyncIterator
from functools import partial

import pytest
from prometheus_client import REGISTRY

from mesh.tasks import BackgroundTasks
from orchestrator.adapters.executions.recorder import PostgresRecorder
from orchestrator.adapters.executions.sweeper import Sweeper
from orchestrator.executions.model import Intent, State
from tests.adapters.orchestrator import looking
from tests.adapters.orchestrator.conftest import LEASE_SECONDS
from tests.adapters.orchestrator.looking import Connection
from tests.support.waiting import eventually
from tests.unit.orchestrator.making import WORST_CASE, completed, ended, intent, keyed


@pytest.fixture
def sweeper(books_url: str) -> Sweeper:
    return Sweeper(books_url, every_seconds=0.02)


@pytest.fixture
async def sweeping(sweeper: Sweeper) -> AsyncIterator[asyncio.Task[None]]:
    """A running sweeper."""
    task = asyncio.create_task(sweeper.run())
    yield task
    task.cancel()
    await asyncio.wait([task])


async def orphaned(recorder: PostgresRecorder, db: Connection, *orphans: Intent) -> None:
    """Record intents whose process then dies."""
    await asyncio.gather(*map(recorder.record, orphans))
    await looking.expire(db, *(one.execution_id for one in orphans))


async def test_only_executions_with_an_expired_lease_are_swept(recorder: PostgresRecorder, db: Connection, sweeper: Sweeper) -> None:
    orphan, under_way, done = intent(), intent(), intent()
    await orphaned(recorder, db, orphan, done)
    await recorder.record(under_way)
    await recorder.settle(completed(done))
    assert await sweeper.sweep() == 1
    states = [await looking.state(db, one) for one in (orphan, under_way, done)]
    assert states == ["outcome_unknown", "running", "completed"]


async def test_an_orphan_is_settled_at_its_worst_case_with_its_event_and_the_reason(
    recorder: PostgresRecorder, db: Connection, sweeper: Sweeper
) -> None:
    orphan = intent()
    await orphaned(recorder, db, orphan)
    counted = REGISTRY.get_sample_value("executions_orphaned_total") or 0.0
    await sweeper.sweep()
    assert REGISTRY.get_sample_value("executions_orphaned_total") == counted + 1
    row, (event,) = await looking.execution(db, orphan), await looking.events(db)
    assert (row["model"], row["output_tokens"], row["cost_micro_usd"], row["usage_estimated"]) == (
        *(WORST_CASE.usage.model, 4096, WORST_CASE.cost_micro_usd, True),
    )
    assert row["finished_at"] is not None
    assert json.loads(row["failure"])["reason"] == "AGENT_EXECUTION_FAILED"
    assert looking.data(event) == {
        "execution_id": str(orphan.execution_id),
        "agent_id": orphan.agent_id,
        "user_id": 7,
        "duration": pytest.approx(row["seconds"], abs=1e-5),
        "status": "outcome_unknown",
        "cost_micro_usd": WORST_CASE.cost_micro_usd,
    }
    assert json.loads(event["metadata"]) == {"request_id": "req_1"}
    assert row["by"] == event["by"]


async def test_the_key_of_an_orphan_is_released(recorder: PostgresRecorder, db: Connection, sweeper: Sweeper) -> None:
    orphan = keyed("k")
    await orphaned(recorder, db, orphan)
    assert await recorder.record(keyed("k")) is not None
    await sweeper.sweep()
    assert await recorder.record(keyed("k")) is None


async def test_a_settlement_after_the_sweeper_is_fenced_off(recorder: PostgresRecorder, db: Connection, sweeper: Sweeper) -> None:
    orphan = keyed("k")
    await orphaned(recorder, db, orphan)
    await sweeper.sweep()
    next_owner = keyed("k")
    await recorder.record(next_owner)
    assert not await recorder.settle(ended(orphan, State.CANCELLED))
    assert (await looking.state(db, orphan), len(await looking.events(db))) == ("outcome_unknown", 1)
    assert not (await looking.key(db, next_owner))["free"]


@pytest.mark.usefixtures("no_deadlocks")
async def test_two_concurrent_sweepers_settle_each_orphan_once(recorder: PostgresRecorder, db: Connection, books_url: str) -> None:
    orphans = [keyed(f"key-{number}") for number in range(700)]
    await orphaned(recorder, db, *random.sample(orphans, len(orphans)))
    swept = await asyncio.gather(*(Sweeper(books_url, 1).sweep() for _ in range(3)))
    assert sum(swept) == 700
    events = Counter(looking.data(event)["execution_id"] for event in await looking.events(db))
    assert events == Counter(str(one.execution_id) for one in orphans)
    assert await db.fetchval("SELECT count(*) FROM idempotency_keys WHERE free") == 700


@pytest.mark.usefixtures("no_deadlocks")
async def test_only_one_of_a_concurrent_settlement_and_sweep_counts(recorder: PostgresRecorder, db: Connection, books_url: str) -> None:
    recorded = [keyed(f"key-{number}") for number in range(400)]
    await orphaned(recorder, db, *recorded)
    sweeps = [Sweeper(books_url, 1).sweep() for _ in range(2)]
    settling = [recorder.settle(ended(one, State.CANCELLED)) for one in random.sample(recorded, 400)]
    outcomes = await asyncio.gather(*settling, *sweeps)
    settled, swept = outcomes[:400].count(True), sum(outcomes[400:])
    assert settled + swept == 400
    assert await db.fetchval("SELECT count(*) FROM executions WHERE status = 'cancelled'") == settled
    assert len({looking.data(event)["execution_id"] for event in await looking.events(db)}) == 400 == len(await looking.events(db))


@pytest.mark.usefixtures("no_deadlocks")
async def test_the_sweeper_releases_keys_while_others_claim_them(recorder: PostgresRecorder, db: Connection, books_url: str) -> None:
    names = [f"key-{number}" for number in range(150)]
    await orphaned(recorder, db, *(keyed(name) for name in random.sample(names, 150)))
    async with PostgresRecorder(books_url, LEASE_SECONDS, BackgroundTasks()) as other:
        claims = [other.record(keyed(name)) for name in random.sample(names, 150)]
        swept, *_ = await asyncio.gather(Sweeper(books_url, 1).sweep(), *claims)
    assert swept == 150


async def test_expired_keys_are_deleted(recorder: PostgresRecorder, db: Connection, sweeper: Sweeper) -> None:
    expired, alive = keyed("expired"), keyed("alive")
    await asyncio.gather(recorder.record(expired), recorder.record(alive))
    await db.execute("UPDATE idempotency_keys SET expires_at = clock_timestamp() - interval '1 s' WHERE key = 'expired'")
    await sweeper.sweep()
    assert [row["key"] for row in await db.fetch("SELECT key FROM idempotency_keys")] == ["alive"]


@pytest.mark.usefixtures("sweeping")
async def test_a_sweeper_runs_periodically(recorder: PostgresRecorder, db: Connection) -> None:
    for _ in range(3):
        orphan = intent()
        await orphaned(recorder, db, orphan)
        await eventually(partial(swept, db, orphan))


@pytest.mark.usefixtures("sweeping")
async def test_a_sweeper_survives_the_loss_of_its_connection(recorder: PostgresRecorder, db: Connection) -> None:
    first, second = intent(), intent()
    await recorder.record(second)
    await orphaned(recorder, db, first)
    await eventually(partial(swept, db, first))
    assert await looking.cut_connections(db) > 0
    await looking.expire(db, second.execution_id)
    await eventually(partial(swept, db, second))


async def test_a_sweeper_survives_a_database_error(
    recorder: PostgresRecorder, db: Connection, sweeping: asyncio.Task[None], capsys: pytest.CaptureFixture[str]
) -> None:
    orphan = intent()
    await orphaned(recorder, db, orphan)
    await eventually(partial(swept, db, orphan))
    await db.execute("ALTER TABLE outbox RENAME TO hidden")
    try:
        orphan = intent()
        await orphaned(recorder, db, orphan)

        async def refused() -> bool:
            return "sweep_failed" in capsys.readouterr().out

        await eventually(refused)
        assert await looking.state(db, orphan) == "running"
    finally:
        await db.execute("ALTER TABLE hidden RENAME TO outbox")
    await eventually(partial(swept, db, orphan))
    assert not sweeping.done()


async def swept(db: Connection, orphan: Intent) -> bool:
    return await looking.state(db, orphan) == "outcome_unknown"
