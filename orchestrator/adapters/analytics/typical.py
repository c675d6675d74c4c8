"""What is typical of agents, from the cells of analytics."""

from collections.abc import Mapping, Sequence
from datetime import timedelta

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from mesh.clock import SYSTEM_CLOCK, Clock
from orchestrator.adapters.analytics import query_sql as sql
from orchestrator.adapters.postgres.engine import unavailable
from orchestrator.analytics.cells import floor
from orchestrator.analytics.histogram import Histogram, micro_usd_of, percentile_slots, seconds_of
from orchestrator.analytics.model import EVERYBODY, Dimension, Width
from orchestrator.executions.ports import Typical

DAYS = 30
_FRACTIONS = (0.5, 0.9)


class PostgresTypicalFigures:
    """See the port. Reads whole days, and the hours and quarters since the last one that was summed up."""

    def __init__(self, engine: AsyncEngine, clock: Clock = SYSTEM_CLOCK) -> None:
        self._engine = engine
        self._clock = clock

    async def of(self, agent_ids: Sequence[str]) -> Mapping[str, Typical]:
        """What was typical of each agent; see the port."""
        since = floor(self._clock.now() - timedelta(days=DAYS), Width.DAY)
        arguments = {"dimension": Dimension.AGENT, "owner": EVERYBODY, "subjects": list(agent_ids), "since": since}
        histograms: dict[str, dict[str, dict[int, int]]] = {agent_id: {"durations": {}, "costs": {}} for agent_id in agent_ids}
        with unavailable():
            async with self._engine.connect() as connection:
                for row in await connection.execute(text(sql.TYPICAL), arguments):
                    histograms[row.subject][row.kind][row.slot] = row.calls
        return {agent_id: _typical(found["durations"], found["costs"]) for agent_id, found in histograms.items()}


def _typical(durations: Histogram, costs: Histogram) -> Typical:
    samples = sum(durations.values())
    if not samples:
        return Typical()
    seconds = [seconds_of(slot or 0) for slot in percentile_slots(durations, _FRACTIONS)]
    micro_usd = [micro_usd_of(slot or 0) for slot in percentile_slots(costs, _FRACTIONS)]
    return Typical(samples, micro_usd[0], micro_usd[1], seconds[0], seconds[1])
