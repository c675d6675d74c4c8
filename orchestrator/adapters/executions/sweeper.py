"""Settles executions whose process died, as `outcome_unknown` and at their worst-case cost."""

import asyncio
import json
from typing import Any

import asyncpg
import structlog
from prometheus_client import Counter
from uuid_utils.compat import uuid7

from orchestrator.adapters.executions import recorder_sql as sql
from orchestrator.adapters.idempotency import keys
from orchestrator.adapters.postgres.connection import Connection, LazyConnection
from orchestrator.adapters.postgres.documents import document
from orchestrator.adapters.postgres.engine import CONNECTION_LOST
from orchestrator.executions.events import content
from orchestrator.executions.model import State

log = structlog.get_logger()

ORPHANS = Counter("executions_orphaned_total", "Executions whose process died, settled by this process at their worst-case cost")

FAILURE = json.dumps(
    {
        "reason": "AGENT_EXECUTION_FAILED",
        "message": "the process that made the call died; the call is recorded at its worst-case cost, because its real cost is unknown",
        "details": {},
        "retryable": True,
    }
)


class Sweeper:
    """Settles orphaned executions periodically. Any number of processes can run one, because rows that another has locked are skipped."""

    def __init__(self, database_url: str, every_seconds: float) -> None:
        self._connection = LazyConnection(database_url)
        self._every = every_seconds

    async def run(self) -> None:
        """Sweeps until cancelled. If the database is unavailable or rejects a statement, it tries again later."""
        try:
            while True:
                try:
                    await self.sweep()
                except (*CONNECTION_LOST, asyncpg.PostgresError) as error:
                    log.warning("sweep_failed", error=type(error).__name__)
                    self._connection.drop()
                await asyncio.sleep(self._every)
        finally:
            await self._connection.close()

    async def sweep(self) -> int:
        """Settles all current orphans, with their events; returns how many there were. Also deletes expired idempotency keys."""
        connection = await self._connection.get()
        total = 0
        while swept := await _sweep_some(connection):
            total += swept
        if total:
            ORPHANS.inc(total)
            log.warning("orphans_settled", executions=total)
        await keys.delete_expired(connection)
        return total


async def _sweep_some(connection: Connection) -> int:
    async with connection.transaction():
        rows = await connection.fetch(sql.SWEEP, FAILURE)
        if rows:
            await connection.execute(sql.SWEPT_EVENTS, document([_event_row(row) for row in rows]))
            await keys.release(connection, [row["execution_id"] for row in rows])
    return len(rows)


def _event_row(swept: asyncpg.Record) -> dict[str, Any]:
    event = content(
        execution_id=str(swept["execution_id"]),
        agent_id=swept["agent_id"],
        user_id=swept["user_id"],
        duration=float(swept["seconds"]),
        status=State.OUTCOME_UNKNOWN.value,
        cost_micro_usd=swept["cost_micro_usd"],
        request_id=swept["request_id"],
    )
    return {"event_id": uuid7(), "agent_id": swept["agent_id"], "data": event.data, "metadata": event.metadata}
