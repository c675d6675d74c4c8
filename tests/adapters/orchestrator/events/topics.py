"""The content of a real broker's topics, and a load of events for them."""

import asyncio
import random
from collections import defaultdict
from typing import Any

from agentmesh.event.v1.event_pb2 import Event
from aiokafka import AIOKafkaConsumer
from google.protobuf.json_format import Parse

from deploy.local.servers.kafka import KafkaServer
from orchestrator.adapters.events.kafka_publisher import KafkaPublisher
from orchestrator.events.model import TOPICS
from tests.adapters.orchestrator.events.event_log import emit
from tests.adapters.orchestrator.looking import Connection

AGGREGATES = [f"agent_{n}" for n in range(20)]


async def delivered(kafka: KafkaServer, since: dict[Any, int]) -> dict[str, list[Event]]:
    """The messages after these offsets: for each key, in the order of delivery."""
    found: defaultdict[str, list[Event]] = defaultdict(list)
    async with AIOKafkaConsumer(*TOPICS, bootstrap_servers=kafka.bootstrap_servers, auto_offset_reset="earliest") as consumer:
        ends = await consumer.end_offsets(consumer.assignment())
        for place, end in ends.items():
            consumer.seek(place, since.get(place, 0))
            while await consumer.position(place) < end:
                for record in (await consumer.getmany(place, timeout_ms=1000)).get(place, ()):
                    event = Parse(record.value, Event())
                    assert record.key.decode() == event.aggregate_id
                    found[event.aggregate_id].append(event)
    return found


async def offsets(kafka: KafkaServer) -> dict[Any, int]:
    """The current end offsets of the topics."""
    publisher = KafkaPublisher(kafka.bootstrap_servers)
    await publisher._create_missing_topics()
    async with AIOKafkaConsumer(*TOPICS, bootstrap_servers=kafka.bootstrap_servers) as consumer:
        return dict(await consumer.end_offsets(consumer.assignment()))


async def load(db: Connection, stop: asyncio.Event) -> int:
    """Emit several hundred events a second until `stop` is set; returns their number."""
    count = 0
    while not stop.is_set():
        await emit(db, *random.choices(AGGREGATES, k=10))
        count += 10
        await asyncio.wait([asyncio.create_task(stop.wait())], timeout=0.03)
    return count
