"""Forgets which events a consumer has seen, once Kafka cannot bring them again."""

import asyncio

import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from mesh.errors import ServiceUnavailable
from orchestrator.adapters.postgres.engine import unavailable

log = structlog.get_logger()

FORGET_SECONDS = 600.0
FORGOTTEN_AT_ONCE = 1000
FORGET = """
DELETE FROM consumed_events WHERE (consumer, event_id) IN (
  SELECT consumer, event_id FROM consumed_events
  WHERE consumed_at < clock_timestamp() - :days * interval '1 day' AND consumer = :consumer
  ORDER BY consumed_at LIMIT :most FOR UPDATE SKIP LOCKED
)
"""


class ConsumerUpkeep:
    """Any number of processes can run it."""

    def __init__(self, engine: AsyncEngine, consumer: str, retention_days: float) -> None:
        self._engine = engine
        self._consumer = consumer
        self._days = retention_days

    async def run(self) -> None:
        """Forgets now and then until cancelled; a database that is gone is tried again."""
        while True:
            try:
                await self.forget()
            except ServiceUnavailable as error:
                log.warning("consumed_events_not_forgotten", error=error.message)
            await asyncio.sleep(FORGET_SECONDS)

    async def forget(self) -> int:
        """Forgets what is older than the retention; returns how much that was."""
        arguments = {"days": self._days, "consumer": self._consumer, "most": FORGOTTEN_AT_ONCE}
        total, gone = 0, FORGOTTEN_AT_ONCE
        while gone == FORGOTTEN_AT_ONCE:
            with unavailable():
                async with self._engine.begin() as connection:
                    gone = (await connection.execute(text(FORGET), arguments)).rowcount
            total += gone
        return total
