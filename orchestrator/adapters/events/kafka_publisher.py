"""Brings events to Kafka: acknowledged by all replicas, in order for each key."""

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
"""Half of what brokers take by default."""
PATIENCE_SECONDS = 5.0
"""After so long without an answer Kafka is said to be away."""
BROKERS_DEFAULT = -1

_partition = DefaultPartitioner()


class KafkaPublisher:
    """A producer that is connected when it is needed.

    A round is one batch for each partition, and the next begins when all of them are accepted: so nothing overtakes anything, neither
    when a batch is sent again nor when one fails and another does not.
    """

    def __init__(self, bootstrap_servers: str) -> None:
        self._servers = bootstrap_servers
        self._producer: AIOKafkaProducer | None = None

    async def publish(self, events: Sequence[Event]) -> int:
        """How many have been accepted; see the port."""
        try:
            producer = await self._connected()
            batches, count = await _batches(producer, events)
            await _accepted([await producer.send_batch(batch, topic, partition=place) for (topic, place), batch in batches.items()])
        except KafkaError as error:
            await self.close()
            raise PublishFailed(f"{type(error).__name__}: {error}") from error
        return count

    async def close(self) -> None:
        """Lets go of the brokers, and of what they have not accepted."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await _abandon(producer)

    async def _connected(self) -> AIOKafkaProducer:
        if self._producer is None:
            await self._make_topics()
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

    async def _make_topics(self) -> None:
        """Makes the topics that are not there, as the brokers would by default; not all brokers do it by themselves."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self._servers, client_id=CLIENT)
        try:
            await admin.start()
            missing = set(TOPICS) - set(await admin.list_topics())
            errors = await _made(admin, missing) if missing else []
        finally:
            await admin.close()
        for topic, code, *message in errors:
            if code not in (0, TopicAlreadyExistsError.errno):
                log.warning("topic_not_made", topic=topic, error=for_code(code).__name__, message=message)


async def _made(admin: AIOKafkaAdminClient, topics: Collection[str]) -> Sequence[Any]:
    """What the brokers say of each new topic. Raises PublishFailed when they have nobody now who could make one."""
    # The empty assignment is how this client lets the brokers decide both numbers.
    new = [NewTopic(topic, BROKERS_DEFAULT, BROKERS_DEFAULT, replica_assignments={}) for topic in topics]
    try:
        return list((await admin.create_topics(new)).topic_errors)
    except AttributeError as error:  # how this client says that there is no controller, as during its election
        raise PublishFailed("Kafka has no controller now, and topics are missing") from error


async def _batches(producer: AIOKafkaProducer, events: Sequence[Event]) -> tuple[dict[tuple[str, int], BatchBuilder], int]:
    """A batch for each partition, and how many of the events, from the first on, are in them."""
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
    """Waits until all batches are accepted, and says so when that takes long. Raises what the first that fails says."""
    everything = asyncio.gather(*batches)
    if not (await asyncio.wait([everything], timeout=PATIENCE_SECONDS))[0]:
        log.warning("kafka_away", seconds=PATIENCE_SECONDS)
        await asyncio.wait([everything])
        log.info("kafka_back")
    await everything


async def _abandon(producer: AIOKafkaProducer) -> None:
    # Stopping alone would wait until everything is delivered, which is for ever while Kafka is away.
    await producer._sender.close()
    await producer.stop()
