"""Consumes the topics of events: delivered at least once by Kafka, applied exactly once.

Each batch is one transaction: it stores the ids of the events (an id that is already stored marks a repeated event), the handler's writes
for the new events, and the messages that cannot be read. The offsets are committed after it.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from itertools import chain
from typing import Protocol
from uuid import UUID

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalGenerationError, KafkaError, RebalanceInProgressError, UnknownMemberIdError
from prometheus_client import Counter, Gauge
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from mesh.errors import ServiceUnavailable
from orchestrator.adapters.events.tables import consumed_events, dead_events
from orchestrator.adapters.postgres.engine import unavailable
from orchestrator.events.convert import event_from_json
from orchestrator.events.model import TOPICS, Event

log = structlog.get_logger()

CONSUMED = Counter("consumer_events_total", "Messages that a consumer has processed: new, repeated or dead", ["consumer", "outcome"])
BEHIND = Gauge("consumer_lag_messages", "Messages in the partitions of this consumer that it has not read", ["consumer"])
RECORDS_AT_ONCE = 500
POLL_MILLISECONDS = 1000
TRIES = 3
"""How often the handler gets a message on its own before the message is stored as dead."""
RETRY_SECONDS = 1.0
METADATA_MILLISECONDS = 10_000
"""How long it may take to discover a new topic or partition."""
_PARTITION_LOST = (CommitFailedError, IllegalGenerationError, RebalanceInProgressError, UnknownMemberIdError)


class Handler(Protocol):
    """Applies events."""

    name: str
    """The consumer group. The ids of consumed events are stored under this name, so it must not change."""

    async def handle(self, connection: AsyncConnection, events: Sequence[Event]) -> None:
        """Applies the events in the transaction of `connection`. Each event comes once, and those of one aggregate come in order."""
        ...


class EventConsumer:
    """One member of the handler's consumer group. Any number of processes may run one."""

    def __init__(self, bootstrap_servers: str, engine: AsyncEngine, handler: Handler) -> None:
        self._servers = bootstrap_servers
        self._engine = engine
        self._handler = handler
        self._next_offsets: dict[TopicPartition, int] = {}
        self._count(new=0, repeated=0, dead=0)  # exported from the start, so that the first dead message is an increase

    async def run(self) -> None:
        """Consumes until cancelled. Waits while Kafka or the database is unavailable."""
        while True:
            try:
                async with self._member() as member:
                    while True:
                        await self._consume_batch(member)
            except KafkaError as error:
                log.warning("kafka_unreachable", error=type(error).__name__)
            await asyncio.sleep(RETRY_SECONDS)

    async def consume(self, records: Sequence[ConsumerRecord]) -> None:
        """Applies each message once. A message on which the handler fails is stored as dead; the others are still applied.

        Raises ServiceUnavailable if the database is unavailable; then no message of the batch was applied.
        """
        try:
            await self._transaction(records)
        except ServiceUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 - a message that the handler cannot process must not block the others
            if len(records) > 1:
                for record in records:
                    await self.consume([record])
            else:
                await self._retry_or_store_dead(records[0], error)

    @asynccontextmanager
    async def _member(self) -> AsyncIterator[AIOKafkaConsumer]:
        member = AIOKafkaConsumer(
            *TOPICS,
            bootstrap_servers=self._servers,
            group_id=self._handler.name,
            client_id=self._handler.name,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            metadata_max_age_ms=METADATA_MILLISECONDS,
        )
        try:
            await member.start()
            yield member
        finally:
            await member.stop()

    async def _consume_batch(self, member: AIOKafkaConsumer) -> None:
        fetched: Mapping[TopicPartition, list[ConsumerRecord]] = await member.getmany(
            timeout_ms=POLL_MILLISECONDS, max_records=RECORDS_AT_ONCE
        )
        records = list(chain.from_iterable(fetched.values()))
        BEHIND.labels(self._handler.name).set(self._behind(member, fetched))
        if not records:
            return
        while True:
            try:
                await self.consume(records)
                break
            except ServiceUnavailable as error:
                log.warning("events_not_consumed", consumer=self._handler.name, error=error.message)
                await asyncio.sleep(RETRY_SECONDS)
        try:
            await member.commit({place: some[-1].offset + 1 for place, some in fetched.items()})
        except _PARTITION_LOST as error:  # another member reads them again and skips them as repeated
            log.info("partitions_lost", consumer=self._handler.name, error=type(error).__name__)

    def _behind(self, member: AIOKafkaConsumer, fetched: Mapping[TopicPartition, list[ConsumerRecord]]) -> int:
        """How many messages the assigned partitions had at the last fetches, after those that were read."""
        self._next_offsets |= {partition: records[-1].offset + 1 for partition, records in fetched.items() if records}
        return sum(
            max(0, (member.highwater(partition) or 0) - self._next_offsets[partition])
            for partition in member.assignment()
            if partition in self._next_offsets
        )

    async def _transaction(self, records: Sequence[ConsumerRecord]) -> None:
        events: dict[UUID, Event] = {}
        dead = []
        for record in records:
            try:
                event = event_from_json(record.value or b"")
            except ValueError as error:
                dead.append(_dead(self._handler.name, record, error))
            else:
                events.setdefault(event.event_id, event)
        with unavailable():
            async with self._engine.begin() as connection:
                new = await self._unseen(connection, events)
                await self._store_dead(connection, dead)
                if new:
                    await self._handler.handle(connection, new)
        self._count(new=len(new), repeated=len(records) - len(dead) - len(new), dead=len(dead))

    async def _unseen(self, connection: AsyncConnection, events: Mapping[UUID, Event]) -> list[Event]:
        """Stores the ids of the events and returns the events that are new, in order."""
        if not events:
            return []
        rows = [{"consumer": self._handler.name, "event_id": event_id} for event_id in sorted(events)]
        statement = insert(consumed_events).values(rows).on_conflict_do_nothing().returning(consumed_events.c.event_id)
        new = set(await connection.scalars(statement))
        return [event for event_id, event in events.items() if event_id in new]

    async def _retry_or_store_dead(self, record: ConsumerRecord, error: Exception) -> None:
        for _ in range(TRIES - 1):
            await asyncio.sleep(RETRY_SECONDS / TRIES)
            try:
                await self._transaction([record])
            except ServiceUnavailable:
                raise
            except Exception as retried:  # noqa: BLE001 - as above
                error = retried
            else:
                return
        log.error("event_stored_as_dead", consumer=self._handler.name, topic=record.topic, offset=record.offset, exc_info=error)
        with unavailable():
            async with self._engine.begin() as connection:
                await self._store_dead(connection, [_dead(self._handler.name, record, error)])
        self._count(dead=1)

    async def _store_dead(self, connection: AsyncConnection, dead: Sequence[Mapping[str, object]]) -> None:
        if dead:
            await connection.execute(insert(dead_events).values(dead).on_conflict_do_nothing())

    def _count(self, **outcomes: int) -> None:
        for outcome, number in outcomes.items():
            CONSUMED.labels(self._handler.name, outcome).inc(number)


def _dead(consumer: str, record: ConsumerRecord, error: Exception) -> dict[str, object]:
    return {
        "consumer": consumer,
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "key": record.key,
        "value": record.value,
        "error": f"{type(error).__name__}: {error}".replace("\x00", "")[:2000],
    }
