"""The consumer with a real broker and a real PostgreSQL: each event takes effect once, and unreadable messages are set aside."""

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from functools import partial
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from prometheus_client import REGISTRY
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from deploy.local.servers.kafka import KafkaServer
from orchestrator.adapters.events.consumer_upkeep import ConsumerUpkeep
from orchestrator.adapters.events.counts import EventCounts
from orchestrator.adapters.events.kafka_consumer import EventConsumer
from orchestrator.adapters.events.kafka_publisher import KafkaPublisher
from orchestrator.events.convert import event_json
from orchestrator.events.model import AGENT_TOPIC, Event
from tests.adapters.orchestrator.events.event_log import emit, none_unpublished, relaying
from tests.adapters.orchestrator.events.topics import load, offsets
from tests.adapters.orchestrator.looking import Connection, cut_connections
from tests.support.waiting import eventually

TOTALS = "SELECT event_type, user_id, sum(events)::int AS n FROM event_counts GROUP BY 1, 2"
TRUTH = "SELECT event_type, coalesce(user_id, 0) AS user_id, count(*)::int AS n FROM outbox GROUP BY 1, 2"


@pytest.fixture
def counts() -> EventCounts:
    """A handler in a group of its own, which starts at the first message of the topics."""
    handler = EventCounts()
    handler.name = f"counts-{uuid4().hex}"
    return handler


@contextlib.asynccontextmanager
async def consuming(kafka: KafkaServer, engine: AsyncEngine, handler: EventCounts) -> AsyncIterator[None]:
    task = asyncio.create_task(EventConsumer(kafka.bootstrap_servers, engine, handler).run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def table(db: Connection, query: str) -> Counter[tuple[str, int]]:
    return Counter({(row["event_type"], row["user_id"]): row["n"] for row in await db.fetch(query)})


async def all_counted(db: Connection) -> bool:
    """Whether the consumer has counted exactly what is in the log. No other test may write to the topics meanwhile."""
    return await none_unpublished(db) and await table(db, TOTALS) == await table(db, TRUTH)


@pytest.fixture
async def empty_topics(kafka: KafkaServer, counts: EventCounts) -> None:
    """Makes the group start at the current end of the topics."""
    ends = await offsets(kafka)
    async with AIOKafkaConsumer(bootstrap_servers=kafka.bootstrap_servers, group_id=counts.name, enable_auto_commit=False) as member:
        member.assign(list(ends))
        await member.commit(ends)


@pytest.mark.usefixtures("empty_topics")
async def test_counts_equal_the_log_despite_failures_of_broker_database_and_members(
    books_url: str,
    redis_url: str,
    db: Connection,
    other: Connection,
    kafka: KafkaServer,
    engine: AsyncEngine,
    counts: EventCounts,
) -> None:
    stop = asyncio.Event()
    async with relaying(books_url, redis_url, KafkaPublisher(kafka.bootstrap_servers)), consuming(kafka, engine, counts):
        writing = asyncio.create_task(load(other, stop))
        for _ in range(2):
            async with consuming(kafka, engine, counts):  # a second member joins and leaves
                await eventually(partial(some_counted, db, random.randint(50, 150)), within=30)
        kafka.process.kill()
        await kafka.process.crashes.get()
        await kafka.start()
        stop.set()
        await writing
        await emit(db, "7", event_type="user.registered", user_id=7)
        await emit(db, "nobody", event_type="budget.exceeded", user_id=None)
        await eventually(partial(all_counted, db), within=60)
        await cut_connections(db)
        await emit(db, "7", event_type="user.logged_in", user_id=7)
        await eventually(partial(all_counted, db), within=30)
    assert await db.fetchval("SELECT count(*) FROM dead_events") == 0


async def some_counted(db: Connection, more: int) -> bool:
    return int(await db.fetchval("SELECT coalesce(sum(events), 0) FROM event_counts")) >= more


def event(position: int) -> Event:
    return Event(position, uuid4(), "agent.executed", "agent", datetime.now(UTC), "tests", {"user_id": 3}, {}, 3)


async def send(kafka: KafkaServer, *values: bytes) -> None:
    async with AIOKafkaProducer(bootstrap_servers=kafka.bootstrap_servers) as producer:
        for value in values:
            await producer.send_and_wait(AGENT_TOPIC, value, key=b"agent")


async def nothing_waits(consumer: str) -> bool:
    return REGISTRY.get_sample_value("consumer_lag_messages", {"consumer": consumer}) == 0


@pytest.mark.usefixtures("empty_topics")
async def test_unreadable_messages_are_set_aside_with_the_reason_and_block_nothing(
    db: Connection,
    kafka: KafkaServer,
    engine: AsyncEngine,
    counts: EventCounts,
) -> None:
    good = [event_json(event(n)) for n in (1, 2)]
    newer = good[1].replace(b'"source"', b'"severity": 3, "source"')
    poison = [b"\xff\x00", b"{}", b'{"event_id": "x", "event_type": "a.b"}', b"[]"]
    async with consuming(kafka, engine, counts):
        await send(kafka, good[0], *poison, good[0], newer)
        await eventually(partial(some_counted, db, 2))

        async def set_aside() -> bool:
            return len(await db.fetch("SELECT FROM dead_events")) == len(poison)

        await eventually(set_aside)
        await eventually(partial(nothing_waits, counts.name))
    assert REGISTRY.get_sample_value("consumer_events_total", {"consumer": counts.name, "outcome": "dead"}) == len(poison)
    rows = await db.fetch('SELECT * FROM dead_events ORDER BY "offset"')
    assert [row["value"] for row in rows] == poison
    assert all(row["error"].startswith("ValueError: ") and row["consumer"] == counts.name for row in rows)
    assert await table(db, TOTALS) == {("agent.executed", 3): 2}


class FailingHandler(EventCounts):
    """A handler that fails for some events."""

    def __init__(self, name: str, unbearable: Sequence[int]) -> None:
        self.name = name
        self.unbearable = unbearable

    async def handle(self, connection: AsyncConnection, events: Sequence[Event]) -> None:
        await super().handle(connection, events)
        for one in events:
            if one.position in self.unbearable:
                await connection.execute(text("SELECT 1 / 0"))


@pytest.mark.usefixtures("empty_topics")
async def test_an_event_that_its_handler_cannot_process_is_set_aside_alone(
    db: Connection,
    kafka: KafkaServer,
    engine: AsyncEngine,
    counts: EventCounts,
) -> None:
    async with consuming(kafka, engine, FailingHandler(counts.name, [2, 4])):
        await send(kafka, *(event_json(event(n)) for n in range(1, 6)))
        await eventually(partial(some_counted, db, 3), within=20)
    assert await table(db, TOTALS) == {("agent.executed", 3): 3}
    errors = [row["error"] for row in await db.fetch("SELECT error FROM dead_events")]
    assert len(errors) == 2
    assert all("division by zero" in error for error in errors)
    assert await db.fetchval("SELECT count(*) FROM consumed_events") == 3


async def test_ids_of_old_events_are_forgotten(db: Connection, engine: AsyncEngine) -> None:
    ages = "clock_timestamp() - (n + 0.5) * interval '1 hour' FROM generate_series(0, 2999) n"
    await db.execute(f"INSERT INTO consumed_events SELECT 'group', gen_random_uuid(), {ages}")
    assert await ConsumerUpkeep(engine, "group", 2).delete_expired() == 2952
    assert await db.fetchval("SELECT count(*) FROM consumed_events") == 48
