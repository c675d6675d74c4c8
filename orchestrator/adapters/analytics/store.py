"""Reads figures from the cells in PostgreSQL."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from mesh.clock import SYSTEM_CLOCK, Clock
from orchestrator.adapters.analytics import query_sql as sql
from orchestrator.adapters.postgres.engine import unavailable
from orchestrator.analytics.cells import floor
from orchestrator.analytics.model import (
    COUNTERS,
    EVERYBODY,
    Compacted,
    Dimension,
    Figures,
    Group,
    Measured,
    Range,
    Span,
    Subject,
    SubjectPage,
    SubjectQuery,
    Width,
)
from orchestrator.analytics.spans import merged, spans

_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
_DIMENSIONS = {
    Group.AGENT: Dimension.AGENT,
    Group.CATEGORY: Dimension.AGENT,
    Group.USER: Dimension.USER,
    Group.MODEL: Dimension.MODEL,
    Group.KEY: Dimension.KEY,
}


class PostgresUsageStore:
    """See the port. `fine_days` is how long the hours of single subjects are kept; 0 means forever."""

    def __init__(self, engine: AsyncEngine, fine_days: float, clock: Clock = SYSTEM_CLOCK) -> None:
        self._engine = engine
        self._fine_days = fine_days
        self._clock = clock

    async def counted_until(self) -> datetime | None:
        """When the last counted execution ended; None before the first."""
        with unavailable():
            async with self._engine.connect() as connection:
                moment: datetime | None = (await connection.execute(text(sql.STATE))).one().counted_until
        return moment

    async def points(self, owner: int, agent_id: str, edges: Sequence[datetime]) -> Sequence[Measured]:
        """Returns the figures between each two edges; see the port."""
        dimension = Dimension.AGENT if agent_id else Dimension.TOTAL
        with unavailable():
            async with self._engine.connect() as connection:
                await connection.execution_options(isolation_level="REPEATABLE READ")
                read = await self._spans(connection, edges, dimension)
                arguments = {**_of(read), "dimension": dimension, "owner": owner, "subject": agent_id, "edges": list(edges)}
                figures = {row.point: _figures(row._mapping) for row in await connection.execute(text(sql.POINTS), arguments)}
                durations: dict[int, Counter[int]] = defaultdict(Counter)
                for row in await connection.execute(text(sql.DURATIONS), arguments):
                    durations[row.point].update(dict(zip(row.slots, row.calls, strict=True)))
        return [Measured(figures.get(point, Figures()), durations.get(point, {})) for point in range(1, len(edges))]

    async def reasons(self, owner: int, agent_id: str, within: Range, limit: int) -> Sequence[tuple[str, int]]:
        """Returns the errors, the most frequent first; see the port."""
        dimension = Dimension.AGENT_REASON if agent_id else Dimension.REASON
        prefix = f"{agent_id} " if agent_id else ""
        with unavailable():
            async with self._engine.connect() as connection:
                await connection.execution_options(isolation_level="REPEATABLE READ")
                read = await self._spans(connection, (within.begins, within.ends), dimension)
                arguments = {**_of(read), "dimension": dimension, "owner": owner, "first": prefix, "last": prefix + "~", "most": limit}
                rows = (await connection.execute(text(sql.REASONS), arguments)).all()
        return [(row.subject.removeprefix(prefix), row.calls) for row in rows]

    async def subjects(self, query: SubjectQuery) -> SubjectPage:
        """Returns a page of the subjects of a group; see the port."""
        dimension, owner = _DIMENSIONS[query.group], query.owner
        own = query.group is Group.USER and owner != EVERYBODY  # the only user is the owner
        with unavailable():
            async with self._engine.connect() as connection:
                await connection.execution_options(isolation_level="REPEATABLE READ")
                read = await self._spans(connection, (query.range.begins, query.range.ends), dimension)
                arguments = {**_of(read), "dimension": dimension, "owner": EVERYBODY if own else owner}
                arguments |= {"limit": query.limit + 1, "offset": query.offset}
                statement = sql.subjects(query.group, query.order)
                if own:
                    statement = statement.replace("WHERE calls > 0", "WHERE calls > 0 AND subject = :user")
                    arguments["user"] = str(owner)
                rows = (await connection.execute(text(statement), arguments)).all()
        shown = [Subject(row.subject, row.name, row.category, _figures(row._mapping)) for row in rows[: query.limit]]
        return SubjectPage(shown, more=len(rows) > query.limit)

    async def _spans(self, connection: AsyncConnection, edges: Sequence[datetime], dimension: Dimension) -> Sequence[Span]:
        await connection.execute(text(sql.NO_JIT))
        state = (await connection.execute(text(sql.STATE))).one()
        kept = timedelta(days=self._fine_days)
        # The day after the oldest one that may be partly deleted.
        fine_from = floor(self._clock.now() - kept, Width.DAY) + timedelta(days=1) if kept else _LONG_AGO
        hours, days, weeks = (until or _LONG_AGO for until in (state.hours_until, state.days_until, state.weeks_until))
        compacted = Compacted(hours, days, weeks, min(fine_from, days))
        all_fine = dimension is Dimension.TOTAL
        return merged(span for stretch in pairwise(edges) for span in spans(*stretch, compacted, all_fine=all_fine))


def _of(read: Sequence[Span]) -> dict[str, Any]:
    return {
        "widths": [int(span.width) for span in read],
        "begins": [span.begins for span in read],
        "ends": [span.ends for span in read],
    }


def _figures(row: Any) -> Figures:
    return Figures(**{name: row[name] for name in COUNTERS})
