"""Deletes old rows in small batches with pauses between them, so that calls do not notice."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog
from prometheus_client import Counter
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from mesh.clock import SYSTEM_CLOCK, Clock
from mesh.errors import ServiceUnavailable
from orchestrator.adapters.postgres.engine import unavailable
from orchestrator.adapters.retention import sql

log = structlog.get_logger()

RETENTION_LOCK = 0x61676D65_73680003
"""The advisory lock of the process that deletes a batch."""
PASS_SECONDS = 3600.0
BATCH_ROWS = 500
BATCH_RUNS = 50
"""A run is deleted with its steps and changes, hundreds of rows."""
SHARE = 0.2
"""The part of the time in which a pass may keep the database busy: after a batch it pauses for four times as long as the batch took."""
SHORTEST_PAUSE_SECONDS = 0.02
DELETED = Counter("retention_deleted_total", "Rows deleted because they were older than their retention", ["table"])
_NIL = UUID(int=0)


@dataclass(frozen=True, slots=True)
class Retention:
    """How many days each kind of row is kept; 0 keeps it for ever."""

    executions: float
    runs: float
    run_changes: float
    audit: float
    usage: float = 0


@dataclass(frozen=True, slots=True)
class _Kind:
    table: str
    statement: str
    days: float
    start: Any
    most: int


class RetentionUpkeep:
    """Any number of processes can run it; one at a time deletes."""

    def __init__(self, engine: AsyncEngine, retention: Retention, clock: Clock = SYSTEM_CLOCK) -> None:
        self._clock = clock
        self._engine = engine
        # Runs go before executions: an execution that belongs to a run is kept as long as the run.
        self._kinds: Sequence[_Kind] = (
            _Kind("run_events", sql.RUN_CHANGES, retention.run_changes, _NIL, BATCH_ROWS),
            _Kind("runs", sql.RUNS, retention.runs, _NIL, BATCH_RUNS),
            _Kind("executions", sql.EXECUTIONS, retention.executions, _NIL, BATCH_ROWS),
            _Kind("usage_cells", sql.USAGE, retention.usage, 0, BATCH_ROWS),
            _Kind("audit_log", sql.AUDIT, retention.audit, 0, BATCH_ROWS),
        )

    async def run(self) -> None:
        """Makes a pass every hour until cancelled; if the database is unavailable, the next pass tries again."""
        while True:
            try:
                await self.delete_old()
            except ServiceUnavailable as error:
                log.warning("old_rows_not_deleted", error=error.message)
            await asyncio.sleep(PASS_SECONDS)

    async def delete_old(self) -> dict[str, int]:
        """Makes one pass; returns how many rows it deleted from each table, not counting rows deleted with them by foreign keys."""
        deleted = {kind.table: await self._delete(kind) for kind in self._kinds if kind.days}
        if any(deleted.values()):
            log.info("old_rows_deleted", **deleted)
        return deleted

    async def _delete(self, kind: _Kind) -> int:
        cutoff = self._clock.now() - timedelta(days=kind.days)
        arguments: dict[str, Any] = {"cutoff": cutoff, "after": kind.start, "most": kind.most}
        if kind.start is _NIL:
            arguments["first"] = first_id_at(cutoff)
        total = 0
        while True:
            began = self._clock.monotonic()
            with unavailable():
                async with self._engine.begin() as connection:
                    if not await connection.scalar(text("SELECT pg_try_advisory_xact_lock(:lock)"), {"lock": RETENTION_LOCK}):
                        return total  # another process is deleting
                    batch = (await connection.execute(text(kind.statement), arguments)).one()
            total += int(batch.deleted)
            DELETED.labels(kind.table).inc(batch.deleted)
            if batch.seen < kind.most or batch.last is None:
                return total
            arguments["after"] = batch.last
            await asyncio.sleep(max((self._clock.monotonic() - began) * (1 / SHARE - 1), SHORTEST_PAUSE_SECONDS))


def first_id_at(moment: datetime) -> UUID:
    """The smallest UUIDv7 of that millisecond: the ids of everything created before are below it."""
    milliseconds = int(moment.timestamp() * 1000)
    return UUID(int=(milliseconds << 80) | (0x7 << 76) | (0x2 << 62))
