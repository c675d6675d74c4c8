"""Deletes the ids of consumed events once Kafka can no longer redeliver them."""

import asyncio

import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from mesh.errors import ServiceUnavailable
from orchestrator.adapters.postgres.engine import unavailable

log = structlog.get_logger()

DELETE_SECONDS = 600.0
DELETED_AT_ONCE = 1000
DELETE_EXPIRED = """
DELETE FROM consumed_events WHERE (consumer, event_id) IN (
  SELECT consumer, event_id FROM consumed_events
  WHERE consumed_at < clock_timestamp() - :days * interval '1 day' AND consumer = :consumer
  ORDER BY consumed_at LIMIT :most FOR UPDATE SKIP LOCKED
)
"""


class ConsumerUpkeep:
    """Applies the retention of one consumer's ids. Any number of processes may run it."""

    def __init__(self, engine: AsyncEngine, consumer: str, retention_days: float) -> None:
        self._engine = engine
        self._consumer = consumer
        self._days = retention_days

    async def run(self) -> None:
        """Deletes expired ids periodically until cancelled. Retries while the database is unavailable."""
        while True:
            try:
                await self.delete_expired()
            except ServiceUnavailable as error:
                log.warning("consumed_events_not_deleted", error=error.message)
            await asyncio.sleep(DELETE_SECONDS)

    async def delete_expired(self) -> int:
        """Deletes ids older than the retention and returns their number."""
        arguments = {"days": self._days, "consumer": self._consumer, "most": DELETED_AT_ONCE}
        total, deleted = 0, DELETED_AT_ONCE
        while deleted == DELETED_AT_ONCE:
            with unavailable():
                async with self._engine.begin() as connection:
                    deleted = (await connection.execute(text(DELETE_EXPIRED), arguments)).rowcount
            total += deleted
        return total
