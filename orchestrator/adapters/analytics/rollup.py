"""Counts executions by following the event log, so that a call does no work for analytics.

One transaction reads events after the cursor, adds their executions to the cells, and moves the cursor: a crash loses nothing and counts
nothing twice. Any number of workers run a rollup; the lock on the cursor's row lets one of them work at a time.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import asyncpg
import structlog
from prometheus_client import Counter, Gauge

from orchestrator.adapters.analytics import rollup_sql as sql
from orchestrator.adapters.postgres.connection import Connection, LazyConnection
from orchestrator.adapters.postgres.documents import document
from orchestrator.adapters.postgres.engine import CONNECTION_LOST
from orchestrator.analytics.cells import WITH_HISTOGRAMS, cells_of, floor
from orchestrator.analytics.failpoints import AFTER_COUNTING, BEFORE_COUNTING
from orchestrator.analytics.model import COUNTERS, Cell, CellKey, Ended, Width
from orchestrator.executions.model import State

log = structlog.get_logger()

EXECUTED = "agent.executed"
COUNTED_AT_ONCE = 250
"""Counting so many takes a few milliseconds, during which the worker does nothing else."""
POLL_SECONDS = 2.0
LATE = timedelta(minutes=5)
"""How long after its end an hour, a day or a week is summed up. Executions that come later are counted all the same, at a higher cost."""
COMPACTED_AT_ONCE = timedelta(hours=24)
COMPACT_SECONDS = 60.0

EXECUTIONS = Counter(
    "executions_ended_total", "Executions that analytics has counted, by state and error (empty if completed)", ["state", "reason"]
)
COST = Counter("execution_cost_micro_usd_total", "Cost of the executions that analytics has counted, in millionths of a dollar", ["model"])
LAG_EVENTS = Gauge("usage_lag_events", "Events that analytics has not counted yet")
LAG_SECONDS = Gauge("usage_lag_seconds", "Age of the oldest event that analytics has not counted yet")

_SUMMED_UNTIL = {Width.HOUR: "hours_until", Width.DAY: "days_until", Width.WEEK: "weeks_until"}
CategoryOf = Callable[[str], str | None]
"""The category of an agent; None if the catalogue does not have the agent."""


class UsageRollup:
    """Maintains the cells of analytics."""

    def __init__(self, database_url: str, category_of: CategoryOf, poll_seconds: float = POLL_SECONDS) -> None:
        self._connection = LazyConnection(database_url)
        self._category_of = category_of
        self._poll = poll_seconds
        self._agents: dict[str, tuple[str, str]] = {}

    async def run(self) -> None:
        """Counts until cancelled. If the database is unavailable or rejects a statement, it tries again later."""
        try:
            while True:
                try:
                    counted = await self.count()
                    await self._measure_lag()
                    if counted == COUNTED_AT_ONCE:
                        continue
                except (*CONNECTION_LOST, asyncpg.PostgresError) as error:
                    log.warning("usage_not_counted", error=type(error).__name__)
                    self._connection.drop()
                await asyncio.sleep(self._poll)
        finally:
            await self._connection.close()

    async def count(self) -> int:
        """Counts the next events and returns their number; 0 also if another process is counting."""
        connection = await self._connection.get()
        async with connection.transaction():
            cursor = await connection.fetchrow(sql.LOCK)
            if cursor is None:
                return 0
            events = await connection.fetch(sql.READ, cursor["position"], COUNTED_AT_ONCE)
            if not events:
                return 0
            executed = [row for row in events if row["event_type"] == EXECUTED]
            ended = [_ended(row) for row in executed]
            cells = cells_of(ended, {width: cursor[column] for width, column in _SUMMED_UNTIL.items()})
            await _add(connection, cells)
            await self._note_agents(connection, executed)
            counted_until = events[-1]["occurred_at"]
            await connection.execute(sql.MOVE, events[-1]["position"], counted_until)
            await _compact(connection, cursor, cells, counted_until)
            BEFORE_COUNTING.hit()
        _export(ended)
        AFTER_COUNTING.hit()
        return len(events)

    async def _measure_lag(self) -> None:
        connection = await self._connection.get()
        [(events, seconds)] = await connection.fetch(sql.LAG)
        LAG_EVENTS.set(events)
        LAG_SECONDS.set(seconds)

    async def _note_agents(self, connection: Connection, executed: Sequence[asyncpg.Record]) -> None:
        """Stores the names and categories of agents that are new or have changed."""
        names = {row["agent_id"]: row["agent_name"] for row in executed if row["agent_name"]}
        seen = {agent_id: (name, category) for agent_id, name in names.items() if (category := self._category_of(agent_id)) is not None}
        changed = {agent_id: known for agent_id, known in seen.items() if self._agents.get(agent_id) != known}
        if changed:
            rows = [{"agent_id": agent_id, "name": name, "category": category} for agent_id, (name, category) in sorted(changed.items())]
            await connection.execute(sql.AGENTS, document(rows))
            self._agents |= changed


def _export(ended: Iterable[Ended]) -> None:
    """Counts in metrics what is committed. A crash in between loses the increase, not the figures in the database."""
    for one in ended:
        EXECUTIONS.labels(one.state.value, one.reason).inc()
        COST.labels(one.model).inc(one.cost_micro_usd)


async def _add(connection: Connection, cells: Mapping[CellKey, Cell]) -> None:
    measured = [key for key in cells if key.dimension in WITH_HISTOGRAMS]
    for row in await connection.fetch(sql.HISTOGRAMS, document([key._asdict() for key in measured])):
        cell = cells[CellKey(row["dimension"], row["owner"], row["subject"], row["width"], row["bucket"])]
        _merge(cell.durations, row["durations"], row["duration_calls"])
        _merge(cell.costs, row["costs"], row["cost_calls"])
    if cells:
        await connection.execute(sql.ADD, document([_row(key, cell) for key, cell in cells.items()]))


def _merge(into: dict[int, int], slots: Sequence[int] | None, calls: Sequence[int] | None) -> None:
    for slot, count in zip(slots or (), calls or (), strict=True):
        into[slot] = into.get(slot, 0) + count


def _row(key: CellKey, cell: Cell) -> dict[str, Any]:
    durations, costs = sorted(cell.durations.items()), sorted(cell.costs.items())
    return {
        **key._asdict(),
        **{name: getattr(cell, name) for name in COUNTERS},
        "durations": [slot for slot, _ in durations] or None,
        "duration_calls": [calls for _, calls in durations] or None,
        "costs": [slot for slot, _ in costs] or None,
        "cost_calls": [calls for _, calls in costs] or None,
    }


async def _compact(connection: Connection, cursor: asyncpg.Record, cells: Mapping[CellKey, Cell], counted_until: datetime) -> None:
    """Sums up hours, days and weeks that have ended."""
    hours, days, weeks = (cursor[column] for column in _SUMMED_UNTIL.values())
    if hours is None or days is None:
        first = min((key.bucket for key in cells), default=None)
        if first is None:
            return
        hours = days = floor(first, Width.DAY)
    weeks = weeks or floor(days, Width.WEEK)
    until = counted_until - LATE
    new_hours = min(max(hours, floor(until, Width.HOUR)), hours + COMPACTED_AT_ONCE)
    new_days = max(days, floor(min(until, new_hours), Width.DAY))
    new_weeks = min(max(weeks, floor(new_days, Width.WEEK)), weeks + timedelta(minutes=Width.WEEK))
    if new_hours > hours:
        await connection.execute(sql.COMPACT, Width.QUARTER, Width.HOUR, hours, new_hours, timeout=COMPACT_SECONDS)
    if new_days > days:
        await connection.execute(sql.COMPACT, Width.HOUR, Width.DAY, days, new_days, timeout=COMPACT_SECONDS)
    if new_weeks > weeks:
        await connection.execute(sql.COMPACT, Width.DAY, Width.WEEK, weeks, new_weeks, timeout=COMPACT_SECONDS)
    await connection.execute(sql.COMPACTED, new_hours, new_days, new_weeks)


def _ended(row: asyncpg.Record) -> Ended:
    state = State(row["status"])
    return Ended(
        user_id=row["user_id"],
        agent_id=row["agent_id"],
        agent_name=row["agent_name"] or "",
        state=state,
        reason="" if state is State.COMPLETED else row["reason"] or state.value.upper(),
        model=row["model"] or "",
        api_key_id=str(row["api_key_id"] or ""),
        tokens=(row["input_tokens"], row["output_tokens"], row["cache_read_tokens"], row["cache_write_tokens"]),
        cost_micro_usd=row["cost_micro_usd"],
        seconds=row["seconds"],
        finished_at=row["finished_at"],
    )
