"""The relay with a real PostgreSQL and Redis: every committed event gets one position, in order, despite failures."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from functools import partial

import asyncpg
import pytest
from prometheus_client import REGISTRY
from sqlalchemy.ext.asyncio import AsyncEngine

from mesh.tasks import BackgroundTasks
from orchestrator.adapters.events import outbox_sql as sql
from orchestrator.adapters.events.outbox_relay import RELAY_LOCK
from orchestrator.adapters.events.outbox_upkeep import OutboxUpkeep
from orchestrator.adapters.executions.recorder import PostgresRecorder
from orchestrator.events.model import Event
from tests.adapters.orchestrator.conftest import LEASE_SECONDS
from tests.adapters.orchestrator.events.event_log import Notifiers, emit, leaders, none_unpublished, none_waits, relaying, stamped
from tests.adapters.orchestrator.looking import Connection, cut_connections
from tests.support.waiting import eventually
from tests.unit.orchestrator.making import completed, intent


@pytest.fixture
async def relay(books_url: str, redis_url: str) -> AsyncIterator[Notifiers]:
    async with relaying(books_url, redis_url) as notifiers:
        yield notifiers


async def stamp(session: Connection, epoch: int, most: int) -> tuple[bool, int]:
    """Run the relay's statement; returns whether the epoch still leads, and the number of events stamped."""
    [(leads, count)] = await session.fetch(sql.STAMP, epoch, most)
    return leads, count


async def all_stamped(db: Connection, ids: list[str]) -> None:
    """The log contains exactly these events, without gaps."""
    await eventually(partial(none_waits, db))
    log = await stamped(db)
    assert [position for position, _ in log] == list(range(1, len(ids) + 1))
    assert sorted(event for _, event in log) == sorted(ids)


@pytest.mark.usefixtures("relay")
async def test_events_get_positions_without_gaps_in_the_order_of_their_ids(db: Connection) -> None:
    ids = await emit(db, *(f"agent_{n % 7}" for n in range(2500)))
    await eventually(partial(none_waits, db))
    assert await stamped(db) == list(enumerate(ids, start=1))


@pytest.mark.usefixtures("relay")
async def test_a_transaction_that_commits_late_is_not_skipped(db: Connection, other: Connection) -> None:
    late = other.transaction()
    await late.start()
    first = await emit(other, "late")
    second = await emit(db, "early")
    await eventually(partial(none_waits, db))
    assert await stamped(db) == [(1, second[0])]
    await late.commit()
    await all_stamped(db, first + second)
    assert (await stamped(db))[-1] == (2, first[0])


@pytest.mark.usefixtures("relay")
async def test_events_of_one_aggregate_keep_the_order_of_their_commits(db: Connection, books_url: str) -> None:
    """The writers serialize on a row lock, as those of a run do, so the first to write commits first."""
    await db.execute("CREATE TABLE IF NOT EXISTS turns (aggregate text PRIMARY KEY, turn integer NOT NULL)")
    await db.execute("INSERT INTO turns SELECT 'run_' || n, 0 FROM generate_series(0, 4) n ON CONFLICT (aggregate) DO UPDATE SET turn = 0")

    async def write(aggregate: str) -> None:
        connection = await asyncpg.connect(books_url.replace("+asyncpg", ""))
        for _ in range(20):
            async with connection.transaction():
                turn = await connection.fetchval("UPDATE turns SET turn = turn + 1 WHERE aggregate = $1 RETURNING turn", aggregate)
                await emit(connection, aggregate, event_type="workflow.started", turn=turn)
        await connection.close()

    await asyncio.gather(*(write(f"run_{n % 5}") for n in range(10)))
    await eventually(partial(none_waits, db))
    rows = await db.fetch("SELECT aggregate_id, data FROM outbox ORDER BY position")
    for n in range(5):
        turns = [json.loads(row["data"])["turn"] for row in rows if row["aggregate_id"] == f"run_{n}"]
        assert turns == list(range(1, 41))
    await db.execute("DROP TABLE turns")


async def test_a_settlement_notifies_the_relay_before_its_next_poll(books_url: str, relay: Notifiers, db: Connection) -> None:
    await eventually(partial(leaders, db))
    async with PostgresRecorder(books_url, LEASE_SECONDS, BackgroundTasks(), relay.outbox.notify) as recorder:
        one = intent()
        await recorder.record(one)
        await emit(db, "agent")  # notifies nobody
        await eventually(partial(none_waits, db))  # the next poll is a second away
        began = asyncio.get_running_loop().time()
        with relay.events.subscribe() as subscription:
            await recorder.settle(completed(one))
            assert await subscription.wait(5)
        assert asyncio.get_running_loop().time() - began < 0.8
    assert await none_waits(db)


async def test_one_of_three_processes_relays_and_another_takes_over_when_its_session_ends(
    books_url: str, redis_url: str, db: Connection
) -> None:
    async with AsyncExitStack() as processes:
        for _ in range(3):
            await processes.enter_async_context(relaying(books_url, redis_url))
        (first,) = await eventually(partial(leaders, db))
        ids = await emit(db, "a", "b")
        await all_stamped(db, ids)
        await db.execute("SELECT pg_terminate_backend($1)", first)
        ids += await emit(db, "a", "c")
        await all_stamped(db, ids)
        (second,) = await leaders(db)
        assert second != first


async def test_a_relay_that_stops_is_replaced_at_once(books_url: str, redis_url: str, db: Connection) -> None:
    async with relaying(books_url, redis_url):
        await eventually(partial(leaders, db))
    assert await leaders(db) == []


@pytest.mark.usefixtures("relay")
async def test_a_relay_survives_the_loss_of_every_connection(db: Connection) -> None:
    ids = await emit(db, "a")
    await all_stamped(db, ids)
    await cut_connections(db)
    ids += await emit(db, "a")
    await all_stamped(db, ids)


async def test_positions_are_assigned_once_when_sessions_end_under_load(books_url: str, redis_url: str, db: Connection) -> None:
    async with relaying(books_url, redis_url), relaying(books_url, redis_url):
        ids: list[str] = []
        for _ in range(15):
            for _ in range(10):
                ids += await emit(db, *"abcdefgh")
            for pid in await leaders(db):
                await db.execute("SELECT pg_terminate_backend($1)", pid)
        await all_stamped(db, ids)


async def test_a_relay_that_resumes_after_its_term_changes_nothing(db: Connection, other: Connection) -> None:
    """As if a pooler had given the lock to a second session: only the epoch fences off the first one."""
    await emit(db, "a", "b")
    [(old, _)] = await other.fetch(sql.BEGIN_TERM)
    [(new, _)] = await db.fetch(sql.BEGIN_TERM)
    assert await stamp(other, old, 10) == (False, 0)
    assert await stamped(db) == []
    assert await stamp(db, new, 10) == (True, 2)
    assert await other.fetchval(sql.MARK_PUBLISHED, old, 2) is None
    assert await db.fetchval(sql.MARK_PUBLISHED, new, 2) is True


async def test_a_stamp_concurrent_with_the_next_term_assigns_no_position_twice(db: Connection, other: Connection) -> None:
    ids = await emit(db, "a", "b", "c")
    [(old, _)] = await other.fetch(sql.BEGIN_TERM)
    held = other.transaction()
    await held.start()
    assert await stamp(other, old, 2) == (True, 2)
    successor = asyncio.create_task(db.fetch(sql.BEGIN_TERM))
    _, pending = await asyncio.wait([successor], timeout=0.1)
    assert pending  # until the old relay's statement has ended
    await held.commit()
    [(new, _)] = await successor
    assert await stamp(db, new, 10) == (True, 1)
    assert await stamped(db) == list(enumerate(ids, start=1))


async def test_a_process_that_hangs_loses_its_session(books_url: str, redis_url: str, db: Connection, other: Connection) -> None:
    """With the relay's own timeout, on an idle session."""
    async with relaying(books_url, redis_url):
        (pid,) = await eventually(partial(leaders, db))
        found = await db.fetchval("SELECT count(*) FROM pg_stat_activity WHERE pid = $1 AND application_name = 'agentmesh-relay'", pid)
    assert found == 1
    await other.execute("SET idle_session_timeout = '100ms'")
    assert await other.fetchval(sql.ELECT, RELAY_LOCK)

    async def is_free() -> bool:
        return await leaders(db) == []

    await eventually(is_free)


async def test_old_events_are_deleted_and_unstamped_ones_kept(engine: AsyncEngine, db: Connection, books_url: str, redis_url: str) -> None:
    async with relaying(books_url, redis_url):
        await emit(db, *["a"] * 2300)
        await eventually(partial(none_waits, db))
    await emit(db, "b")  # no relay runs, so it stays unstamped
    await db.execute("UPDATE outbox SET occurred_at = clock_timestamp() - interval '31 days' WHERE position <= 2200 OR position IS NULL")
    assert await OutboxUpkeep(engine, 30, publishing=True).delete_expired() == 0
    await db.execute("UPDATE event_relay SET published_position = 1100")
    await db.execute("UPDATE usage_cursor SET position = 5000")  # analytics has counted them
    assert await OutboxUpkeep(engine, 30, publishing=True).delete_expired() == 1100
    assert await OutboxUpkeep(engine, 30, publishing=False).delete_expired() == 1100
    assert await db.fetchval("SELECT count(*) FROM outbox") == 101
    async with relaying(books_url, redis_url):
        await eventually(partial(none_waits, db))
    assert await db.fetchval("SELECT max(position) FROM outbox") == 2301


async def test_the_lag_is_measured(engine: AsyncEngine, db: Connection) -> None:
    await emit(db, "a", "b")
    await db.execute("UPDATE outbox SET occurred_at = clock_timestamp() - interval '60 s'")
    await OutboxUpkeep(engine, 30, publishing=True).measure()
    assert REGISTRY.get_sample_value("outbox_events", {"for": "position"}) == 2
    assert 60 <= (REGISTRY.get_sample_value("outbox_lag_seconds", {"for": "position"}) or 0) < 70
    assert REGISTRY.get_sample_value("outbox_events", {"for": "kafka"}) == 0


class FailingPublisher:
    """A publisher that first fails with unexpected errors and then works."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.accepted: list[int] = []

    async def publish(self, events: Sequence[Event]) -> int:
        if self.failures:
            self.failures -= 1
            raise RuntimeError("an unexpected error")
        self.accepted += [event.position for event in events[:3]]
        return min(3, len(events))

    async def close(self) -> None:
        """There is nothing to close."""


async def test_an_unexpected_error_does_not_end_the_relay(books_url: str, redis_url: str, db: Connection) -> None:
    publisher = FailingPublisher(failures=2)
    async with relaying(books_url, redis_url, publisher):
        await emit(db, *"abcdefgh")
        await eventually(partial(none_unpublished, db))
    assert publisher.accepted == list(range(1, 9))
