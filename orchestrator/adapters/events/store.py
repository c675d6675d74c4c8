"""Reads the event log from PostgreSQL."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncEngine

from orchestrator.adapters.events.tables import event_relay
from orchestrator.adapters.events.tables import outbox as t
from orchestrator.adapters.postgres.engine import unavailable
from orchestrator.events.model import Event, EventPage, EventQuery


class PostgresEventStore:
    """Reads the events that have a position. Positions become visible in order, so a cursor never misses an event."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def head(self) -> int:
        with unavailable():
            async with self._engine.connect() as connection:
                return int(await connection.scalar(select(event_relay.c.last_position)) or 0)

    async def list(self, query: EventQuery) -> EventPage:
        # Reads one row more than fits, to learn whether there is another page.
        with unavailable():
            async with self._engine.connect() as connection:
                rows = (await connection.execute(_page(query))).mappings().all()
        shown = rows[: query.page_size]
        return EventPage([event_of(row) for row in shown], more=len(rows) > len(shown))


def event_of(row: Mapping[Any, Any]) -> Event:
    """Converts a row whose `data` and `metadata` are decoded."""
    return Event(**{name: row[name] for name in Event.__slots__})


def _page(query: EventQuery) -> Select[Any]:
    wanted = query.filter
    statement = select(*(t.c[name] for name in Event.__slots__)).where(t.c.position > query.after)
    if query.before is not None:
        statement = statement.where(t.c.position < query.before)
    if wanted.sees is not None:
        statement = statement.where(t.c.user_id == wanted.sees)
    if wanted.event_type:
        statement = statement.where(t.c.event_type == wanted.event_type)
    if wanted.aggregate_id:
        statement = statement.where(t.c.aggregate_id == wanted.aggregate_id)
    order = t.c.position.desc() if query.newest_first else t.c.position
    return statement.order_by(order).limit(query.page_size + 1)
