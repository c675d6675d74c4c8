import asyncio
from collections.abc import AsyncIterator
from datetime import datetime

import pytest

from mesh.tasks import BackgroundTasks
from orchestrator.adapters.executions.recorder import PostgresRecorder
from orchestrator.executions.model import Intent
from tests.adapters.orchestrator import looking
from tests.adapters.orchestrator.looking import Connection
from tests.support.waiting import eventually
from tests.unit.orchestrator.making import completed, intent

LEASE_SECONDS = 0.6


@pytest.fixture
async def recorder(books_url: str) -> AsyncIterator[PostgresRecorder]:
    """A recorder with short leases."""
    async with PostgresRecorder(books_url, LEASE_SECONDS, BackgroundTasks()) as recorder:
        yield recorder


async def lease(db: Connection, of: Intent) -> datetime:
    until = (await looking.execution(db, of))["lease_until"]
    assert isinstance(until, datetime)
    return until


async def renewed(db: Connection, *intents: Intent) -> None:
    """Returns once the leases of all these intents have been extended."""
    before = [await lease(db, one) for one in intents]

    async def all_longer() -> bool:
        return all([await lease(db, one) > then for one, then in zip(intents, before, strict=True)])

    await eventually(all_longer)


async def test_a_lease_is_renewed_repeatedly_while_the_call_is_in_progress(recorder: PostgresRecorder, db: Connection) -> None:
    under_way = [intent() for _ in range(3)]
    await asyncio.gather(*map(recorder.record, under_way))
    for _ in range(3):
        await renewed(db, *under_way)
        assert await db.fetchval("SELECT count(*) FROM executions WHERE lease_until < clock_timestamp()") == 0
    await asyncio.gather(*(recorder.settle(completed(one)) for one in under_way))


async def test_the_lease_of_a_settled_call_is_no_longer_renewed(recorder: PostgresRecorder, db: Connection) -> None:
    done, under_way = intent(), intent()
    await asyncio.gather(recorder.record(done), recorder.record(under_way))
    await recorder.settle(completed(done))
    last = await lease(db, done)
    await renewed(db, under_way)
    assert await lease(db, done) == last
    await recorder.settle(completed(under_way))


async def test_a_locked_execution_does_not_block_the_renewal_of_others(
    recorder: PostgresRecorder, db: Connection, other: Connection
) -> None:
    """Waiting for it while holding others would deadlock with the settlement that holds it."""
    held, free = intent(), intent()
    await asyncio.gather(recorder.record(held), recorder.record(free))
    async with other.transaction():
        await other.execute("SELECT FROM executions WHERE execution_id = $1 FOR UPDATE", held.execution_id)
        await renewed(db, free)
        await renewed(db, free)
    await renewed(db, held, free)
    await asyncio.gather(*(recorder.settle(completed(one)) for one in (held, free)))


async def test_leases_are_renewed_again_after_the_connection_was_lost(recorder: PostgresRecorder, db: Connection) -> None:
    under_way = intent()
    await recorder.record(under_way)
    await renewed(db, under_way)
    assert await looking.cut_connections(db) > 0
    await renewed(db, under_way)
    await recorder.settle(completed(under_way))


async def test_leases_are_renewed_again_after_a_database_error(recorder: PostgresRecorder, db: Connection) -> None:
    under_way = intent()
    await recorder.record(under_way)
    await db.execute("ALTER TABLE executions RENAME COLUMN lease_until TO hidden")
    try:

        async def overdue() -> bool:
            return bool(await db.fetchval("SELECT clock_timestamp() > hidden FROM executions"))

        await eventually(overdue)
    finally:
        await db.execute("ALTER TABLE executions RENAME COLUMN hidden TO lease_until")
    await renewed(db, under_way)
    await recorder.settle(completed(under_way))
