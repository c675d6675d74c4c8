"""Publishes events to Kafka: acknowledged by all replicas, in order for each key."""

import asyncio
from collections.abc import Collection, Sequence
from typing import Any

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code
from aiokafka.partitioner import DefaultPartitioner
from aiokafka.producer.message_accumulator import BatchBuilder

from orchestrator.adapters.events.outbox_relay import PublishFailed
from orchestrator.events.convert import event_json
from orchestrator.events.model import TOPICS, Event, topic_of

log = structlog.get_logger()

CLIENT = "agentmesh-relay"
BATCH_BYTES = 512 * 1024
"""Half of the brokers' default limit."""
SLOW_SECONDS = 5.0
"""After this time without an acknowledgement, `kafka_unreachable` is logged."""
BROKERS_DEFAULT = -1

_partition = DefaultPartitioner()


class KafkaPublisher:
    """A producer that connects on first use.

    A round is one batch for each partition, and the next round begins when all of its batches are accepted. So events keep their order
    when a batch is resent, and when one batch fails and another does not.
    """

    def __init__(self, bootstrap_servers: str) -> None:
        self._servers = bootstrap_servers
        self._producer: AIOKafkaProducer | None = None

    async def publish(self, events: Sequence[Event]) -> int:
        """Publishes events and returns how many were accepted; see the port."""
        try:
            producer = await self._connected()
            batches, count = await _batches(producer, events)
            await _accepted([await producer.send_batch(batch, topic, partition=place) for (topic, place), batch in batches.items()])
        except KafkaError as error:
            await self.close()
            raise PublishFailed(f"{type(error).__name__}: {error}") from error
        return count

    async def close(self) -> None:
        """Disconnects and discards events that the brokers have not accepted."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await _abandon(producer)

    async def _connected(self) -> AIOKafkaProducer:
        if self._producer is None:
            await self._create_missing_topics()
            producer = AIOKafkaProducer(
                bootstrap_servers=self._servers,
                client_id="agentmesh-relay",
                acks="all",
                enable_idempotence=True,
                max_batch_size=BATCH_BYTES,
            )
            try:
                await producer.start()
            except BaseException:
                await _abandon(producer)
                raise
            self._producer = producer
        return self._producer

    async def _create_missing_topics(self) -> None:
        """Creates missing topics with the brokers' default settings, because not every broker creates topics on its own."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self._servers, client_id=CLIENT)
        try:
            await admin.start()
            missing = set(TOPICS) - set(await admin.list_topics())
            errors = await _create_topics(admin, missing) if missing else []
        finally:
            await admin.close()
        for topic, code, *message in errors:
            if code not in (0, TopicAlreadyExistsError.errno):
                log.warning("topic_not_created", topic=topic, error=for_code(code).__name__, message=message)


async def _create_topics(admin: AIOKafkaAdminClient, topics: Collection[str]) -> Sequence[Any]:
    """Creates topics and returns the brokers' result for each. Raises PublishFailed if there is no controller."""
    # With an empty assignment, this client lets the brokers choose the number of partitions and of replicas.
    new = [NewTopic(topic, BROKERS_DEFAULT, BROKERS_DEFAULT, replica_assignments={}) for topic in topics]
    try:
        return list((await admin.create_topics(new)).topic_errors)
    except AttributeError as error:  # this client raises it if there is no controller, as during an election
        raise PublishFailed("cannot create the missing topics: Kafka has no controller; the relay retries") from error


async def _batches(producer: AIOKafkaProducer, events: Sequence[Event]) -> tuple[dict[tuple[str, int], BatchBuilder], int]:
    """Returns a batch for each partition and how many events, counted from the first, the batches contain."""
    batches: dict[tuple[str, int], BatchBuilder] = {}
    partitions = {topic: sorted(await producer.partitions_for(topic)) for topic in {topic_of(event.event_type) for event in events}}
    for count, event in enumerate(events):
        topic, key = topic_of(event.event_type), event.aggregate_id.encode()
        place = topic, _partition(key, partitions[topic], partitions[topic])
        if place not in batches:
            batches[place] = producer.create_batch()
        if not batches[place].append(key=key, value=event_json(event), timestamp=int(event.occurred_at.timestamp() * 1000)):
            return batches, count
    return batches, len(events)


async def _accepted(batches: Sequence[asyncio.Future[object]]) -> None:
    """Waits until all batches are accepted; logs if that is slow. Raises the error of the first batch that fails."""
    everything = asyncio.gather(*batches)
    if not (await asyncio.wait([everything], timeout=SLOW_SECONDS))[0]:
        log.warning("kafka_unreachable", seconds=SLOW_SECONDS)
        await asyncio.wait([everything])
        log.info("kafka_reachable")
    await everything


async def _abandon(producer: AIOKafkaProducer) -> None:
    # `stop` alone waits until everything is delivered, which never happens while Kafka is down.
    await producer._sender.close()
    await producer.stop()
