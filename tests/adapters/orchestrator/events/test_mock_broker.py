"""The relay and the consumer with librdkafka's mock broker, which needs no Java: the whole path, without failures."""

import asyncio
from collections.abc import Iterator
from functools import partial
from uuid import uuid4

import pytest
from confluent_kafka import Producer
from sqlalchemy.ext.asyncio import AsyncEngine

from orchestrator.adapters.events.counts import EventCounts
from orchestrator.adapters.events.kafka_consumer import EventConsumer
from orchestrator.adapters.events.kafka_publisher import KafkaPublisher
from orchestrator.events.model import TOPICS
from tests.adapters.orchestrator.events.event_log import emit, none_unpublished, relaying
from tests.adapters.orchestrator.looking import Connection
from tests.support.waiting import eventually


@pytest.fixture
def mock_broker() -> Iterator[str]:
    """The address of a broker inside this process; it lives as long as the producer that started it."""
    owner = Producer({"bootstrap.servers": "", "test.mock.num.brokers": 1})
    (broker,) = owner.list_topics(timeout=10).brokers.values()
    for topic in TOPICS:
        owner.list_topics(topic, timeout=10)  # The metadata request creates the topic; the mock broker creates none by itself.
    yield f"{broker.host}:{broker.port}"
    del owner


async def test_events_travel_from_the_outbox_to_the_consumer(
    books_url: str, redis_url: str, db: Connection, engine: AsyncEngine, mock_broker: str
) -> None:
    handler = EventCounts()
    handler.name = f"counts-{uuid4().hex}"

    async def all_counted() -> bool:
        counted = await db.fetchval("SELECT sum(events)::int FROM event_counts WHERE event_type = 'agent.executed' AND user_id = 3")
        return await none_unpublished(db) and counted == 500

    async with relaying(books_url, redis_url, KafkaPublisher(mock_broker)):
        await emit(db, *(f"agent_{n % 9}" for n in range(500)), user_id=3)
        await eventually(partial(none_unpublished, db), within=20)
        consuming = asyncio.create_task(EventConsumer(mock_broker, engine, handler).run())
        await eventually(all_counted, within=30)
        consuming.cancel()
        await asyncio.wait([consuming])
