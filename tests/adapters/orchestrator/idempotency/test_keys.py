"""Claims of idempotency keys, the same for every operation. Races and crashes are tested with the recorder, in test_idempotency_keys."""

from uuid import UUID

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from mesh.errors import IdempotencyConflict
from orchestrator.adapters.idempotency import keys
from orchestrator.executions.books import new_id
from orchestrator.idempotency.model import Claim, Operation, OriginalRequest
from tests.adapters.orchestrator.looking import Connection

pytestmark = pytest.mark.parametrize("operation", Operation)


def claim(operation: Operation, body: bytes = b"body") -> Claim:
    return Claim(7, operation, "k", body)


async def claimed(db: Connection, one: Claim) -> tuple[UUID, OriginalRequest | None]:
    """The id of a new resource, and the request that already holds the key, if any."""
    resource_id = new_id()
    return resource_id, (await keys.claim(db, [(resource_id, one)])).get(resource_id)


async def test_the_first_claim_holds_the_key(db: Connection, engine: AsyncEngine, operation: Operation) -> None:
    first, no_holder = await claimed(db, claim(operation))
    assert no_holder is None
    async with engine.begin() as connection:
        assert await keys.find(connection, claim(operation)) == OriginalRequest(first, b"body")
        assert await keys.claim_one(connection, new_id(), claim(operation, b"another")) == OriginalRequest(first, b"body")


async def test_a_released_key_can_be_claimed_with_another_body(db: Connection, engine: AsyncEngine, operation: Operation) -> None:
    first, _ = await claimed(db, claim(operation))
    await keys.release(db, [first])
    async with engine.connect() as connection:
        assert await keys.find(connection, claim(operation)) is None
    assert (await claimed(db, claim(operation, b"another")))[1] is None


async def test_an_expired_key_can_be_claimed_and_is_deleted(db: Connection, engine: AsyncEngine, operation: Operation) -> None:
    await claimed(db, claim(operation))
    await db.execute("UPDATE idempotency_keys SET expires_at = clock_timestamp() - interval '1 s'")
    async with engine.connect() as connection:
        assert await keys.find(connection, claim(operation)) is None
    second, no_holder = await claimed(db, claim(operation, b"another"))
    assert no_holder is None
    await keys.delete_expired(db)
    assert [row["resource_id"] for row in await db.fetch("SELECT resource_id FROM idempotency_keys")] == [second]
    await db.execute("UPDATE idempotency_keys SET expires_at = clock_timestamp() - interval '1 s'")
    await keys.delete_expired(db)
    assert await db.fetchval("SELECT count(*) FROM idempotency_keys") == 0


async def test_a_key_is_kept_for_the_operations_retention(db: Connection, operation: Operation) -> None:
    await claimed(db, claim(operation))
    left = await db.fetchval("SELECT extract(epoch FROM expires_at - clock_timestamp())::float8 FROM idempotency_keys")
    assert operation.retention.total_seconds() - 30 < left <= operation.retention.total_seconds()


async def test_a_claim_with_another_body_conflicts(operation: Operation) -> None:
    original = OriginalRequest(new_id(), b"body")
    original.check(claim(operation))
    with pytest.raises(IdempotencyConflict):
        original.check(claim(operation, b"another"))
