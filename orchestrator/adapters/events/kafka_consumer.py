"""Consumes the topics of events: at least once from Kafka, and exactly once in its effects.

A batch is one transaction: the ids of its events (what is there already has been seen), what the handler makes of the new ones, and the
messages that cannot be read. Only then the offsets are committed.
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
from prometheus_client import Counter
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from mesh.errors import ServiceUnavailable
from orchestrator.adapters.events.tables import consumed_events, dead_events
from orchestrator.adapters.postgres.engine import unavailable
from orchestrator.events.convert import event_from_json
from orchestrator.events.model import TOPICS, Event

log = structlog.get_logger()

CONSUMED = Counter("consumer_events_total", "Messages that a consumer has done with: new, repeated or dead", ["consumer", "outcome"])
RECORDS_AT_ONCE = 500
POLL_MILLISECONDS = 1000
TRIES = 3
"""How often a message is given to the handler by itself before it is set aside."""
AGAIN_SECONDS = 1.0
METADATA_MILLISECONDS = 10_000
"""How long a new topic or partition may stay unseen."""
_NOT_OURS_ANY_MORE = (CommitFailedError, IllegalGenerationError, RebalanceInProgressError, UnknownMemberIdError)


class Handler(Protocol):
    """What is done with events."""

    name: str
    """The consumer group; what it has seen is remembered under this name, so it must not change."""

    async def handle(self, connection: AsyncConnection, events: Sequence[Event]) -> None:
        """Does it, with what it writes in the transaction of `connection`. Events of one aggregate come in order, each one once."""
        ...


class EventConsumer:
    """One member of the handler's group; any number of processes can run one."""

    def __init__(self, bootstrap_servers: str, engine: AsyncEngine, handler: Handler) -> None:
        self._servers = bootstrap_servers
        self._engine = engine
        self._handler = handler

    async def run(self) -> None:
        """Consumes until cancelled; waits while Kafka or the database is away."""
        while True:
            try:
                async with self._member() as member:
                    while True:
                        await self._round(member)
            except KafkaError as error:
                log.warning("kafka_away", error=type(error).__name__)
            await asyncio.sleep(AGAIN_SECONDS)

    async def consume(self, records: Sequence[ConsumerRecord]) -> None:
        """Has the effects of these messages, each once. What the handler fails on is set aside, and alone.

        Raises ServiceUnavailable: then they have had none.
        """
        try:
            await self._transaction(records)
        except ServiceUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 - whatever a handler raises: the message that it cannot bear must not stop the others
            if len(records) > 1:
                for record in records:
                    await self.consume([record])
            else:
                await self._again_or_set_aside(records[0], error)

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

    async def _round(self, member: AIOKafkaConsumer) -> None:
        fetched: Mapping[TopicPartition, list[ConsumerRecord]] = await member.getmany(
            timeout_ms=POLL_MILLISECONDS, max_records=RECORDS_AT_ONCE
        )
        records = list(chain.from_iterable(fetched.values()))
        if not records:
            return
        while True:
            try:
                await self.consume(records)
                break
            except ServiceUnavailable as error:
                log.warning("events_not_consumed", consumer=self._handler.name, error=error.message)
                await asyncio.sleep(AGAIN_SECONDS)
        try:
            await member.commit({place: some[-1].offset + 1 for place, some in fetched.items()})
        except _NOT_OURS_ANY_MORE as error:  # another member reads them again, and finds that they have been seen
            log.info("partitions_lost", consumer=self._handler.name, error=type(error).__name__)

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
                await self._set_aside(connection, dead)
                if new:
                    await self._handler.handle(connection, new)
        self._count(new=len(new), repeated=len(records) - len(dead) - len(new), dead=len(dead))

    async def _unseen(self, connection: AsyncConnection, events: Mapping[UUID, Event]) -> list[Event]:
        """Remembers the events, and returns those that had not been seen, in their order."""
        if not events:
            return []
        rows = [{"consumer": self._handler.name, "event_id": event_id} for event_id in sorted(events)]
        statement = insert(consumed_events).values(rows).on_conflict_do_nothing().returning(consumed_events.c.event_id)
        new = set(await connection.scalars(statement))
        return [event for event_id, event in events.items() if event_id in new]

    async def _again_or_set_aside(self, record: ConsumerRecord, error: Exception) -> None:
        for _ in range(TRIES - 1):
            await asyncio.sleep(AGAIN_SECONDS / TRIES)
            try:
                await self._transaction([record])
            except ServiceUnavailable:
                raise
            except Exception as again:  # noqa: BLE001 - as above
                error = again
            else:
                return
        log.error("event_set_aside", consumer=self._handler.name, topic=record.topic, offset=record.offset, exc_info=error)
        with unavailable():
            async with self._engine.begin() as connection:
                await self._set_aside(connection, [_dead(self._handler.name, record, error)])
        self._count(dead=1)

    async def _set_aside(self, connection: AsyncConnection, dead: Sequence[Mapping[str, object]]) -> None:
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
