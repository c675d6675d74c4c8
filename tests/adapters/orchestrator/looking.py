"""Inspects the books."""

import json
from typing import TYPE_CHECKING, Any
from uuid import UUID

import asyncpg

from orchestrator.executions.model import Intent
from tests.unit.orchestrator.making import key_of

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]
    Record = asyncpg.Record
else:
    Connection, Record = asyncpg.Connection, asyncpg.Record


async def execution(db: Connection, of: Intent) -> Record:
    """The row of an intent; `by` is the transaction that wrote it last."""
    row = await db.fetchrow("SELECT *, xmin::text AS by FROM executions WHERE execution_id = $1", of.execution_id)
    assert row is not None
    return row


async def state(db: Connection, of: Intent) -> str:
    return str((await execution(db, of))["status"])


async def events(db: Connection, of: Intent | None = None) -> list[Record]:
    """The events of one execution, or all, with `data` and `metadata` as stored; `by` is the writing transaction."""
    rows = await db.fetch("SELECT *, xmin::text AS by FROM outbox ORDER BY id")
    return [row for row in rows if of is None or data(row)["execution_id"] == str(of.execution_id)]


def data(event: Record) -> dict[str, Any]:
    return dict(json.loads(event["data"]))


async def key(db: Connection, of: Intent) -> Record:
    """The idempotency key of an intent; `by` is the transaction that wrote it last."""
    row = await db.fetchrow("SELECT *, xmin::text AS by FROM idempotency_keys WHERE key = $1", key_of(of))
    assert row is not None
    return row


async def transactions(db: Connection, table: str) -> int:
    """The number of transactions that wrote the current rows of a table."""
    return int(await db.fetchval(f"SELECT count(DISTINCT xmin::text) FROM {table}"))


async def cut_connections(db: Connection) -> int:
    """End every other session of the database; returns their number."""
    query = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    return int(await db.fetchval(query))


async def expire(db: Connection, *ids: UUID) -> None:
    """Makes executions look as if their process had died long ago."""
    await db.execute("UPDATE executions SET lease_until = clock_timestamp() - interval '1 s' WHERE execution_id = ANY($1::uuid[])", ids)
