import asyncio
import random

import pytest

from mesh.tasks import BackgroundTasks
from orchestrator.adapters.executions.recorder import PostgresRecorder
from orchestrator.executions.model import Intent, Settlement, State
from orchestrator.idempotency.model import OriginalRequest
from tests.adapters.orchestrator import looking
from tests.adapters.orchestrator.conftest import LEASE_SECONDS
from tests.adapters.orchestrator.looking import Connection
from tests.unit.orchestrator.making import completed, ended, failed, intent, key_of, keyed


async def test_a_used_key_returns_its_execution_and_body(recorder: PostgresRecorder, db: Connection) -> None:
    first = keyed("k", b"one body")
    assert await recorder.record(first) is None
    for body in (b"one body", b"another body"):
        assert await recorder.record(keyed("k", body)) == OriginalRequest(first.execution_id, b"one body")
    assert await db.fetchval("SELECT count(*) FROM executions") == 1


async def test_a_key_belongs_to_one_user(recorder: PostgresRecorder) -> None:
    assert await recorder.record(keyed("k", user_id=7)) is None
    assert await recorder.record(keyed("k", user_id=8)) is None


async def test_intents_without_a_key_are_never_duplicates(recorder: PostgresRecorder) -> None:
    assert await asyncio.gather(*(recorder.record(intent()) for _ in range(20))) == [None] * 20


async def test_the_first_of_two_intents_with_one_key_in_one_commit_wins(recorder: PostgresRecorder, db: Connection) -> None:
    intents = [keyed("k", b"one"), keyed("other"), keyed("k", b"two"), intent(), keyed("k", b"one")]
    outcomes = await asyncio.gather(*map(recorder.record, intents))
    winner = OriginalRequest(intents[0].execution_id, b"one")
    assert outcomes == [None, None, winner, None, winner]
    assert await looking.transactions(db, "executions") == 1
    assert await db.fetchval("SELECT count(*) FROM executions") == 3


@pytest.mark.usefixtures("no_deadlocks")
async def test_two_recorders_that_compete_for_the_same_keys_have_one_winner_each(books_url: str, db: Connection) -> None:
    """The groups have different orders: recorders that locked keys in arrival order would deadlock."""
    dice = random.Random(7)
    async with (
        PostgresRecorder(books_url, LEASE_SECONDS, BackgroundTasks()) as here,
        PostgresRecorder(books_url, LEASE_SECONDS, BackgroundTasks()) as there,
    ):
        for turn in range(10):
            names = [f"{turn}-{number}" for number in range(100)]
            ours, theirs = ([keyed(name) for name in dice.sample(names, 100)] for _ in range(2))
            async with asyncio.timeout(10):
                outcomes = await asyncio.gather(*map(here.record, ours), *map(there.record, theirs))
            assert_one_winner_each([*ours, *theirs], outcomes)
    assert await db.fetchval("SELECT count(*) FROM executions") == 1000


def assert_one_winner_each(intents: list[Intent], outcomes: list[OriginalRequest | None]) -> None:
    winners = {key_of(one): one.execution_id for one, outcome in zip(intents, outcomes, strict=True) if outcome is None}
    assert outcomes.count(None) == len(winners) == len(intents) / 2
    for one, outcome in zip(intents, outcomes, strict=True):
        assert outcome is None or outcome.resource_id == winners[key_of(one)]


@pytest.mark.usefixtures("no_deadlocks")
async def test_keys_are_claimed_and_released_concurrently(books_url: str) -> None:
    names = [f"key-{number}" for number in range(60)]
    async with (
        PostgresRecorder(books_url, LEASE_SECONDS, BackgroundTasks()) as here,
        PostgresRecorder(books_url, LEASE_SECONDS, BackgroundTasks()) as there,
    ):
        held = [keyed(name) for name in names]
        await asyncio.gather(*map(here.record, held))
        for _ in range(10):
            freeing = [here.settle(failed(one, retryable=True)) for one in random.sample(held, len(held))]
            wanted = [keyed(name) for name in random.sample(names, len(names))]
            async with asyncio.timeout(10):
                outcomes = await asyncio.gather(*freeing, *map(there.record, wanted))
            assert outcomes[: len(held)] == [True] * len(held)
            lost = [one for one, outcome in zip(wanted, outcomes[len(held) :], strict=True) if outcome is not None]
            assert await asyncio.gather(*map(there.record, lost)) == [None] * len(lost)
            held, here, there = wanted, there, here


async def holder_after(recorder: PostgresRecorder, settlement: Settlement, body: bytes = b"body") -> OriginalRequest | None:
    """Settle the execution that holds the key of `one`, then claim the key again."""
    assert await recorder.settle(settlement)
    return await recorder.record(keyed(key_of(settlement.intent), body))


@pytest.mark.parametrize("how", ["failed retryably", "cancelled", "outcome_unknown"])
async def test_a_retryable_failure_releases_the_key(recorder: PostgresRecorder, how: str) -> None:
    first = keyed("k")
    await recorder.record(first)
    settlement = failed(first, retryable=True) if how == "failed retryably" else ended(first, State(how))
    assert await holder_after(recorder, settlement, b"another body") is None


@pytest.mark.parametrize("how", ["completed", "failed for good"])
async def test_an_answer_or_a_permanent_failure_keeps_the_key(recorder: PostgresRecorder, how: str) -> None:
    first = keyed("k")
    await recorder.record(first)
    settlement = completed(first) if how == "completed" else failed(first, retryable=False)
    assert await holder_after(recorder, settlement) == OriginalRequest(first.execution_id, b"body")


async def test_a_released_key_belongs_only_to_its_next_owner(recorder: PostgresRecorder, db: Connection) -> None:
    first, second = keyed("k", b"one"), keyed("k", b"two")
    await recorder.record(first)
    await recorder.settle(failed(first, retryable=True))
    assert await recorder.record(second) is None
    assert await recorder.record(keyed("k", b"one")) == OriginalRequest(second.execution_id, b"two")
    assert not (await looking.key(db, second))["free"]


async def test_a_key_is_kept_for_a_day(recorder: PostgresRecorder, db: Connection) -> None:
    first = keyed("k")
    await recorder.record(first)
    row = await db.fetchrow("SELECT extract(epoch FROM expires_at - clock_timestamp())::float8 AS left FROM idempotency_keys")
    assert row is not None
    assert 86_390 < row["left"] <= 86_400


async def test_an_expired_key_can_be_claimed_for_another_day(recorder: PostgresRecorder, db: Connection) -> None:
    first, second = keyed("k", b"one"), keyed("k", b"two")
    await recorder.record(first)
    await recorder.settle(completed(first))
    await db.execute("UPDATE idempotency_keys SET expires_at = clock_timestamp() - interval '1 s'")
    assert await recorder.record(second) is None
    assert await recorder.record(keyed("k", b"two")) == OriginalRequest(second.execution_id, b"two")


async def test_a_late_settlement_does_not_release_the_key_of_a_newer_execution(recorder: PostgresRecorder, db: Connection) -> None:
    """The older execution's process was presumed dead; its late settlement must not touch the key that it no longer holds."""
    first, second = keyed("k"), keyed("k")
    await recorder.record(first)
    await db.execute("UPDATE idempotency_keys SET free = true")
    assert await recorder.record(second) is None
    assert await recorder.settle(failed(first, retryable=True))
    assert not (await looking.key(db, second))["free"]
