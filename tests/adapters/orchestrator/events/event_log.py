"""Writes events as services do, and inspects how the relay handles them."""

import contextlib
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

from redis.asyncio import Redis
from uuid_utils.compat import uuid7

from mesh.tasks import BackgroundTasks
from orchestrator.adapters.events.outbox_relay import OutboxRelay, Publisher
from orchestrator.adapters.wakeups.redis_notifier import RedisNotifier, TopicNotifier
from tests.adapters.orchestrator.looking import Connection

EMIT = """
INSERT INTO outbox (event_id, event_type, aggregate_id, source, data, metadata)
SELECT t.event_id, $2, t.aggregate_id, 'tests', t.data::jsonb, '{"request_id": "req_1"}'
FROM unnest($1::uuid[], $3::text[], $4::text[]) AS t (event_id, aggregate_id, data)
"""


async def emit(db: Connection, *aggregates: str, event_type: str = "agent.executed", user_id: int | None = 1, **data: Any) -> list[str]:
    """Emit one event for each of the aggregates in one statement, and return their ids."""
    ids = [uuid7() for _ in aggregates]
    text = json.dumps(({} if user_id is None else {"user_id": user_id}) | data)
    await db.execute(EMIT, ids, event_type, list(aggregates), [text] * len(ids))
    return [str(one) for one in ids]


async def stamped(db: Connection) -> list[tuple[int, str]]:
    """The log: positions and event ids."""
    rows = await db.fetch("SELECT position, event_id FROM outbox WHERE position IS NOT NULL ORDER BY position")
    return [(row["position"], str(row["event_id"])) for row in rows]


async def none_waits(db: Connection) -> bool:
    """Whether every committed event has its position."""
    return not await db.fetchval("SELECT EXISTS (SELECT FROM outbox WHERE position IS NULL)")


async def none_unpublished(db: Connection) -> bool:
    """Whether every event has been published to Kafka."""
    return await none_waits(db) and bool(await db.fetchval("SELECT published_position = last_position FROM event_relay"))


class Notifiers:
    """The two notifiers of a process."""

    def __init__(self, notifier: RedisNotifier) -> None:
        self.outbox = TopicNotifier(notifier, "outbox")
        self.events = TopicNotifier(notifier, "events")


@contextlib.asynccontextmanager
async def notifiers(redis_url: str) -> AsyncIterator[Notifiers]:
    """The notifiers of a process of their own."""
    async with Redis.from_url(redis_url) as redis, RedisNotifier(redis, BackgroundTasks()) as notifier:
        yield Notifiers(notifier)


@contextlib.asynccontextmanager
async def relaying(url: str, redis_url: str, publisher: Publisher | None = None) -> AsyncIterator[Notifiers]:
    """A process with a relay."""
    async with notifiers(redis_url) as own, OutboxRelay(url, own.outbox, own.events, BackgroundTasks(), publisher):
        yield own


async def leaders(db: Connection) -> Sequence[int]:
    """The sessions that hold the relay's lock."""
    rows = await db.fetch(
        "SELECT l.pid FROM pg_locks l JOIN pg_database d ON d.oid = l.database "
        "WHERE l.locktype = 'advisory' AND l.granted AND d.datname = current_database()"
    )
    return [row["pid"] for row in rows]
