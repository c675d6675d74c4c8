"""What was measured of every agent, kept in memory for lists of agents."""

import asyncio
from collections import defaultdict
from collections.abc import Mapping
from datetime import timedelta

import structlog
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from mesh.clock import SYSTEM_CLOCK, Clock
from mesh.errors import ServiceUnavailable
from orchestrator.adapters.analytics import query_sql as sql
from orchestrator.adapters.analytics.typical import DAYS
from orchestrator.adapters.postgres.engine import unavailable
from orchestrator.analytics.cells import floor
from orchestrator.analytics.histogram import Histogram, micro_usd_of, percentile_slots, seconds_of
from orchestrator.analytics.model import EVERYBODY, Dimension, Width
from orchestrator.registry.model import Measured

log = structlog.get_logger()

SHORTEST_PAUSE_SECONDS = 30.0
SHARE = 1 / 60
"""The part of the time in which reading may keep the database busy: after a read it pauses for sixty times as long as the read took."""


class MeasuredAgents:
    """The figures of the last 30 days, read in the background, so that listing agents asks nothing of the database."""

    def __init__(self, engine: AsyncEngine, clock: Clock = SYSTEM_CLOCK) -> None:
        self._engine = engine
        self._clock = clock
        self._figures: Mapping[str, Measured] = {}

    def of(self, agent_id: str) -> Measured | None:
        """See the port."""
        return self._figures.get(agent_id)

    async def run(self) -> None:
        """Reads the figures again and again until cancelled. While they cannot be read, the last ones stay."""
        while True:
            began = self._clock.monotonic()
            try:
                await self.read()
            except (ServiceUnavailable, SQLAlchemyError) as error:
                log.warning("agents_not_measured", error=type(error).__name__)
            took = self._clock.monotonic() - began
            await asyncio.sleep(max(SHORTEST_PAUSE_SECONDS, took / SHARE))

    async def read(self) -> None:
        """Reads the figures once. Raises ServiceUnavailable."""
        since = floor(self._clock.now() - timedelta(days=DAYS), Width.DAY)
        arguments = {"dimension": Dimension.AGENT, "owner": EVERYBODY, "since": since}
        read: defaultdict[str, defaultdict[str, dict[int, int]]] = defaultdict(lambda: defaultdict(dict))
        with unavailable():
            async with self._engine.connect() as connection:
                await connection.execute(text(sql.NO_JIT))
                for row in await connection.execute(text(sql.MEASURED), arguments):
                    read[row.subject][row.kind][row.slot] = row.calls
        self._figures = {agent_id: _measured(histograms) for agent_id, histograms in read.items()}


def _measured(read: Mapping[str, Histogram]) -> Measured:
    calls, completed, cancelled = (read[kind][0] for kind in ("calls", "completed", "cancelled"))
    ended = calls - cancelled
    [duration] = percentile_slots(read.get("durations", {}), [0.5])
    [cost] = percentile_slots(read.get("costs", {}), [0.5])
    return Measured(
        calls,
        completed / ended if ended else 0.0,
        0.0 if duration is None else seconds_of(duration),
        0 if cost is None else micro_usd_of(cost),
    )
