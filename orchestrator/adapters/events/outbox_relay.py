"""The relay: gives each event of the outbox its position in the log, and brings the log to Kafka.

Of all the processes that run one, one is elected: whoever holds an advisory lock. Its session is cut when it falls silent, so that the
next one takes over from a process that hangs, and the epoch of its term fences off what it may do after that.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Protocol, Self

import asyncpg
import structlog

from mesh import backoff
from mesh.failpoints import Failpoint
from mesh.tasks import BackgroundTasks
from orchestrator.adapters.events import outbox_sql as sql
from orchestrator.adapters.events.store import event_of
from orchestrator.adapters.postgres.connection import SESSION, Connection, connect
from orchestrator.adapters.postgres.engine import CONNECT_SECONDS, CONNECTION_LOST
from orchestrator.adapters.wakeups.redis_notifier import TopicNotifier
from orchestrator.events.model import Event

log = structlog.get_logger()

RELAY_LOCK = 0x61676D65_73680002
"""The advisory lock of the one that relays."""
AFTER_PUBLISHING = Failpoint("relay.after_publishing")
STAMPED_AT_ONCE = 1000
PUBLISHED_AT_ONCE = 500
GATHER_SECONDS = 0.05
"""Between two rounds under load: what gathers meanwhile is stamped by one statement."""
LOOK_SECONDS = 1.0
"""How long an event that no notifier told of may wait."""
SILENT_SECONDS = 10
"""PostgreSQL ends the session of a relay that says nothing for so long."""
_LONGEST_PAUSE_SECONDS = 5.0


class Deposed(Exception):
    """Another relay has begun its term."""


class PublishFailed(Exception):
    """Kafka refuses an event, or the producer is broken. Everything from that event on is published anew."""


class Publisher(Protocol):
    """Brings events to where others read them. Of one key, in order."""

    async def publish(self, events: Sequence[Event]) -> int:
        """How many of them, from the first on, have been accepted for good: at least one. Waits while nobody is there to accept.

        Raises PublishFailed: then any of them may have been accepted.
        """
        ...

    async def close(self) -> None:
        """Gives up what is under way. It may be used again."""
        ...


class OutboxRelay:
    """One candidate. An async context manager: it stands for election from enter to exit. Without a publisher it only stamps."""

    def __init__(
        self,
        database_url: str,
        outbox: TopicNotifier,
        events: TopicNotifier,
        tasks: BackgroundTasks,
        publisher: Publisher | None = None,
    ) -> None:
        self._tasks = tasks
        self._url = database_url
        self._outbox = outbox
        self._events = events
        self._publisher = publisher

    async def __aenter__(self) -> Self:
        self._task = self._tasks.start("outbox relay", self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._tasks.stop(self._task)

    async def _run(self) -> None:
        while True:
            try:
                await self._stand()
            except* (*CONNECTION_LOST, asyncpg.PostgresError, Deposed) as errors:
                log.warning("relay_stopped", errors=[type(error).__name__ for error in errors.exceptions])
            except* Exception as errors:  # without a relay no event is seen any more: whatever it was, the next term is tried
                log.error("relay_failed", exc_info=errors)
            await asyncio.sleep(LOOK_SECONDS)

    async def _stand(self) -> None:
        """Waits to be elected, then relays until the term ends with an exception."""
        async with self._session(idle_session_timeout=f"{SILENT_SECONDS}s") as session:
            # No event tells of another process's lock: it is polled.
            while not await session.fetchval(sql.ELECT, RELAY_LOCK):  # noqa: ASYNC110
                await asyncio.sleep(LOOK_SECONDS)
            [(epoch, published)] = await session.fetch(sql.BEGIN_TERM)
            log.info("relay_elected", epoch=epoch)
            async with asyncio.TaskGroup() as term:
                term.create_task(self._stamp(session, epoch))
                if self._publisher is not None:
                    term.create_task(self._publish(self._publisher, epoch, published))

    async def _stamp(self, session: Connection, epoch: int) -> None:
        with self._outbox.subscribe() as subscription:
            while True:
                [(leads, stamped)] = await session.fetch(sql.STAMP, epoch, STAMPED_AT_ONCE)
                if not leads:
                    raise Deposed
                if stamped:
                    self._events.notify()
                    await asyncio.sleep(GATHER_SECONDS)
                if stamped < STAMPED_AT_ONCE:
                    await subscription.wait(LOOK_SECONDS)

    async def _publish(self, publisher: Publisher, epoch: int, published: int) -> None:
        try:
            async with self._session() as session:
                with self._events.subscribe() as subscription:
                    while True:
                        rows = await session.fetch(sql.UNPUBLISHED, published, PUBLISHED_AT_ONCE)
                        if not rows:
                            await subscription.wait(LOOK_SECONDS)
                            continue
                        events = [event_of(dict(row)) for row in rows]
                        accepted = await _accepted(publisher, events)
                        AFTER_PUBLISHING.hit()
                        published = events[accepted - 1].position
                        if not await session.fetchval(sql.MARK_PUBLISHED, epoch, published):
                            raise Deposed
        finally:
            await publisher.close()

    @asynccontextmanager
    async def _session(self, **settings: str) -> AsyncIterator[Connection]:
        """A connection of its own: the advisory lock belongs to the session."""
        connection = await connect(self._url, "agentmesh-relay", {**SESSION, **settings})
        try:
            await connection.set_type_codec("jsonb", schema="pg_catalog", encoder=json.dumps, decoder=json.loads)
            yield connection
        finally:
            with suppress(*CONNECTION_LOST):
                await connection.close(timeout=CONNECT_SECONDS)


async def _accepted(publisher: Publisher, events: Sequence[Event]) -> int:
    pauses = backoff.delays(_LONGEST_PAUSE_SECONDS)
    while True:
        try:
            return await publisher.publish(events)
        except PublishFailed as error:
            log.warning("events_not_published", first_position=events[0].position, error=str(error))
        await asyncio.sleep(next(pauses))
