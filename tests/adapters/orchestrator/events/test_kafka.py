"""The relay with a real Kafka broker: every event arrives, in order for each key, and once after deduplication."""

import asyncio
import json
from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from typing import Any

from agentmesh.event.v1.event_pb2 import Event
from aiokafka import AIOKafkaConsumer

from deploy.local.servers.kafka import KafkaServer
from orchestrator.adapters.events.kafka_publisher import KafkaPublisher
from orchestrator.events.model import TOPICS
from tests.adapters.orchestrator.events.event_log import emit, leaders, none_unpublished, none_waits, relaying, stamped
from tests.adapters.orchestrator.events.topics import AGGREGATES, delivered, load, offsets
from tests.adapters.orchestrator.looking import Connection
from tests.support.waiting import eventually


def first_of_each(events: Sequence[Event]) -> list[str]:
    """The ids without repeats, as seen by a consumer that skips events that it has processed."""
    return list(dict.fromkeys(event.event_id for event in events))


async def complete(db: Connection, kafka: KafkaServer, since: dict[Any, int]) -> int:
    """Assert that every event of the log has arrived, in order for each key; returns the number of repeated messages."""
    await eventually(partial(none_unpublished, db), within=40)
    rows = await db.fetch("SELECT aggregate_id, event_id FROM outbox ORDER BY position")
    expected: defaultdict[str, list[str]] = defaultdict(list)
    for row in rows:
        expected[row["aggregate_id"]].append(str(row["event_id"]))
    arrived = await delivered(kafka, since)
    assert {key: first_of_each(events) for key, events in arrived.items()} == expected
    return sum(map(len, arrived.values())) - len(rows)


async def test_an_event_arrives_in_its_documented_form(books_url: str, redis_url: str, db: Connection, kafka: KafkaServer) -> None:
    since = await offsets(kafka)
    async with relaying(books_url, redis_url, KafkaPublisher(kafka.bootstrap_servers)):
        (called,) = await emit(db, "agent_1", agent_id="agent_1", duration=1.5)
        (started,) = await emit(db, "workflow_1", event_type="workflow.started")
        (over,) = await emit(db, "7", event_type="budget.exceeded")
        assert await complete(db, kafka, since) == 0
    async with AIOKafkaConsumer(*TOPICS, bootstrap_servers=kafka.bootstrap_servers, auto_offset_reset="earliest") as consumer:
        seen: dict[str, Any] = {}
        for place in consumer.assignment():
            consumer.seek(place, since.get(place, 0))
        while len(seen) < 3:
            record = await consumer.getone()
            seen[json.loads(record.value)["event_id"]] = record
    assert {event: record.topic for event, record in seen.items()} == {
        called: "agentmesh.agent",
        started: "agentmesh.workflow",
        over: "agentmesh.user",
    }
    value = json.loads(seen[called].value)
    assert value.pop("timestamp").endswith("Z")
    assert value == {
        "event_id": called,
        "event_type": "agent.executed",
        "source": "tests",
        "data": {"user_id": 1, "agent_id": "agent_1", "duration": 1.5},
        "metadata": {"request_id": "req_1"},
        "aggregate_id": "agent_1",
        "position": "1",
    }


async def test_a_broker_killed_under_load_receives_every_event_in_order_later(
    books_url: str, redis_url: str, db: Connection, other: Connection, kafka: KafkaServer
) -> None:
    since, stop = await offsets(kafka), asyncio.Event()
    async with relaying(books_url, redis_url, KafkaPublisher(kafka.bootstrap_servers)):
        writing = asyncio.create_task(load(other, stop))
        await eventually(partial(published, db, 100))
        kafka.process.kill()
        await kafka.process.crashes.get()
        gone_at = len(await stamped(db))
        await eventually(partial(longer_than, db, gone_at + 500))  # the log grows without Kafka
        await kafka.start()
        await eventually(partial(published, db, gone_at + 500), within=40)
        stop.set()
        count = await writing
        await complete(db, kafka, since)
    assert len(await stamped(db)) == count


async def published(db: Connection, position: int) -> bool:
    return bool(await db.fetchval("SELECT published_position >= $1 FROM event_relay", position))


async def longer_than(db: Connection, length: int) -> bool:
    return bool(await db.fetchval("SELECT last_position > $1 FROM event_relay", length))


async def test_without_kafka_the_log_grows_and_is_published_after_its_return(
    books_url: str, redis_url: str, db: Connection, kafka: KafkaServer
) -> None:
    since = await offsets(kafka)
    await kafka.stop()
    async with relaying(books_url, redis_url, KafkaPublisher(kafka.bootstrap_servers)):
        await emit(db, *AGGREGATES)
        await eventually(partial(none_waits, db))
        assert not await none_unpublished(db)
        await kafka.start()
        assert await complete(db, kafka, since) == 0


async def test_relays_that_lose_their_sessions_repeat_events_but_lose_and_reorder_none(
    books_url: str, redis_url: str, db: Connection, other: Connection, kafka: KafkaServer
) -> None:
    since, stop = await offsets(kafka), asyncio.Event()
    publishers = [KafkaPublisher(kafka.bootstrap_servers) for _ in range(2)]
    async with relaying(books_url, redis_url, publishers[0]), relaying(books_url, redis_url, publishers[1]):
        writing = asyncio.create_task(load(other, stop))
        for _ in range(6):
            (leader,) = await eventually(partial(leaders, db))
            await eventually(partial(published, db, int(await db.fetchval("SELECT published_position FROM event_relay")) + 50))
            await db.execute("SELECT pg_terminate_backend($1)", leader)
        stop.set()
        await writing
        await complete(db, kafka, since)


async def test_a_relay_stops_in_time_while_kafka_is_down(books_url: str, redis_url: str, db: Connection, kafka: KafkaServer) -> None:
    async with relaying(books_url, redis_url, KafkaPublisher(kafka.bootstrap_servers)):
        await emit(db, "a")
        await eventually(partial(none_unpublished, db))
        await kafka.stop()
        await emit(db, "b")
        await eventually(partial(none_waits, db))
        began = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - began < 5
