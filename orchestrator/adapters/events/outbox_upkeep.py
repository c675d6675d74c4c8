"""Keeps the outbox in bounds: forgets old events, and tells how far the relay is behind."""

import asyncio

import structlog
from prometheus_client import Gauge
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from mesh.errors import ServiceUnavailable
from orchestrator.adapters.events import outbox_sql as sql
from orchestrator.adapters.postgres.engine import unavailable

log = structlog.get_logger()

MEASURE_SECONDS = 5.0
FORGET_SECONDS = 600.0
FORGOTTEN_AT_ONCE = 1000

WAITING = Gauge("outbox_events", "Events that wait: for their position, or for Kafka", ["for"])
AGE = Gauge("outbox_lag_seconds", "Age of the oldest event that waits: for its position, or for Kafka", ["for"])


class OutboxUpkeep:
    """Any number of processes can run it. With `publishing`, what Kafka does not have is neither forgotten nor overlooked."""

    def __init__(self, engine: AsyncEngine, retention_days: float, *, publishing: bool) -> None:
        self._engine = engine
        self._days = retention_days
        self._publishing = publishing

    async def run(self) -> None:
        """Measures and forgets until cancelled; a database that is gone is tried again."""
        forgotten_at = -FORGET_SECONDS
        while True:
            try:
                await self.measure()
                if _now() - forgotten_at >= FORGET_SECONDS:
                    await self.forget()
                    forgotten_at = _now()
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

    async def forget(self) -> int:
        """Deletes what is older than the retention; returns how much that was. What still waits stays."""
        total, gone = 0, FORGOTTEN_AT_ONCE
        while gone == FORGOTTEN_AT_ONCE:
            gone = await self._forget_some()
            total += gone
        if total:
            log.info("events_forgotten", events=total)
        return total

    async def _forget_some(self) -> int:
        arguments = {"days": self._days, "publishing": self._publishing, "most": FORGOTTEN_AT_ONCE}
        with unavailable():
            async with self._engine.begin() as connection:
                return (await connection.execute(text(sql.FORGET), arguments)).rowcount


def _now() -> float:
    return asyncio.get_running_loop().time()
