"""The relay: assigns each event of the outbox its position in the log and publishes the log to Kafka.

Among the processes that run a relay, the one that holds an advisory lock is elected. PostgreSQL ends an idle session, so that another
relay takes over from a process that hangs; the epoch of the term then fences off the old relay's writes.
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
"""The advisory lock of the elected relay."""
AFTER_PUBLISHING = Failpoint("relay.after_publishing")
STAMPED_AT_ONCE = 1000
PUBLISHED_AT_ONCE = 500
GATHER_SECONDS = 0.05
"""The pause between two rounds under load. Events that arrive during it are stamped by one statement."""
POLL_SECONDS = 1.0
"""How long an event may wait if its notification was lost."""
IDLE_TIMEOUT_SECONDS = 10
"""PostgreSQL ends the session of a relay that is idle for this long."""
_LONGEST_PAUSE_SECONDS = 5.0


class Deposed(Exception):
    """Another relay has been elected."""


class PublishFailed(Exception):
    """Kafka rejected an event, or the producer failed. The relay publishes again, beginning with that event."""


class Publisher(Protocol):
    """Publishes events, in order for each key."""

    async def publish(self, events: Sequence[Event]) -> int:
        """Returns how many events, counted from the first, are durably accepted: at least one. Waits while the broker is unavailable.

        Raises PublishFailed; then any of the events may have been accepted.
        """
        ...

    async def close(self) -> None:
        """Discards events in flight. The publisher can be used again."""
        ...


class OutboxRelay:
    """One candidate for election, from enter to exit. An async context manager. Without a publisher it only assigns positions."""

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
                await self._serve_term()
            except* (*CONNECTION_LOST, asyncpg.PostgresError, Deposed) as errors:
                log.warning("relay_stopped", errors=[type(error).__name__ for error in errors.exceptions])
            except* Exception as errors:  # without a relay no event becomes visible, so any failure is retried
                log.error("relay_failed", exc_info=errors)
            await asyncio.sleep(POLL_SECONDS)

    async def _serve_term(self) -> None:
        """Waits to be elected, then relays until an exception ends the term."""
        async with self._session(idle_session_timeout=f"{IDLE_TIMEOUT_SECONDS}s") as session:
            # PostgreSQL does not notify about a released advisory lock, so it is polled.
            while not await session.fetchval(sql.ELECT, RELAY_LOCK):  # noqa: ASYNC110
                await asyncio.sleep(POLL_SECONDS)
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
                    await subscription.wait(POLL_SECONDS)

    async def _publish(self, publisher: Publisher, epoch: int, published: int) -> None:
        try:
            async with self._session() as session:
                with self._events.subscribe() as subscription:
                    while True:
                        rows = await session.fetch(sql.UNPUBLISHED, published, PUBLISHED_AT_ONCE)
                        if not rows:
                            await subscription.wait(POLL_SECONDS)
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
        """Opens a dedicated connection, because the advisory lock belongs to the session."""
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
