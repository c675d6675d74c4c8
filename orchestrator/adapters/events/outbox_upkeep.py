"""Deletes old events from the outbox and measures how far the relay is behind."""

import asyncio

import structlog
from prometheus_client import Gauge
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from mesh.clock import SYSTEM_CLOCK, Clock
from mesh.errors import ServiceUnavailable
from orchestrator.adapters.events import outbox_sql as sql
from orchestrator.adapters.postgres.engine import unavailable

log = structlog.get_logger()

MEASURE_SECONDS = 5.0
DELETE_SECONDS = 600.0
DELETED_AT_ONCE = 1000

WAITING = Gauge("outbox_events", "Events that wait for their position or for Kafka", ["for"])
AGE = Gauge("outbox_lag_seconds", "Age of the oldest event that waits for its position or for Kafka", ["for"])


class OutboxUpkeep:
    """Applies the retention of the outbox. Any number of processes may run it.

    With `publishing`, events that Kafka has not accepted are measured and are never deleted.
    """

    def __init__(self, engine: AsyncEngine, retention_days: float, *, publishing: bool, clock: Clock = SYSTEM_CLOCK) -> None:
        self._now = clock.monotonic
        self._engine = engine
        self._days = retention_days
        self._publishing = publishing

    async def run(self) -> None:
        """Measures and deletes until cancelled. Retries while the database is unavailable."""
        deleted_at = float("-inf")
        while True:
            try:
                await self.measure()
                if self._now() - deleted_at >= DELETE_SECONDS:
                    await self.delete_expired()
                    deleted_at = self._now()
            except ServiceUnavailable as error:
                log.warning("outbox_not_measured", error=error.message)
            except Exception as error:
                log.error("outbox_upkeep_failed", exc_info=error)
            await asyncio.sleep(MEASURE_SECONDS)

    async def measure(self) -> None:
        with unavailable():
            async with self._engine.connect() as connection:
                lag = (await connection.execute(text(sql.LAG))).one()
        WAITING.labels("position").set(lag.unstamped)
        AGE.labels("position").set(lag.unstamped_seconds)
        if self._publishing:
            WAITING.labels("kafka").set(lag.unpublished)
            AGE.labels("kafka").set(lag.unpublished_seconds)

    async def delete_expired(self) -> int:
        """Deletes events older than the retention, except those that still wait, and returns their number."""
        total, deleted = 0, DELETED_AT_ONCE
        while deleted == DELETED_AT_ONCE:
            deleted = await self._delete_batch()
            total += deleted
        if total:
            log.info("events_deleted", events=total)
        return total

    async def _delete_batch(self) -> int:
        arguments = {"days": self._days, "publishing": self._publishing, "most": DELETED_AT_ONCE}
        with unavailable():
            async with self._engine.begin() as connection:
                return (await connection.execute(text(sql.DELETE_EXPIRED), arguments)).rowcount
