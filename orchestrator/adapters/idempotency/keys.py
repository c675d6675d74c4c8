"""Claims, finds and releases idempotency keys, inside the caller's transaction."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.adapters.idempotency import sql
from orchestrator.adapters.postgres.connection import Connection
from orchestrator.adapters.postgres.documents import document
from orchestrator.idempotency.model import Claim, OriginalRequest


async def claim(connection: Connection, claims: Sequence[tuple[UUID, Claim]]) -> Mapping[UUID, OriginalRequest]:
    """Claims a key for each new resource; returns, for those whose key another request holds, that request.

    Of two claims to one key in one call the first wins. A key that an open transaction has claimed is waited for.
    """
    if not claims:
        return {}
    first: dict[tuple[int, str, str], tuple[UUID, Claim]] = {}
    for resource_id, one in claims:
        first.setdefault(_name(one), (resource_id, one))
    # In one order in all processes: two that claim the same keys must not wait for each other.
    taking = [_row(resource_id, one) for _, (resource_id, one) in sorted(first.items(), key=lambda item: item[0])]
    won = {row["resource_id"] for row in await connection.fetch(sql.CLAIM, document(taking))}
    lost = {resource_id: one for resource_id, one in claims if resource_id not in won}
    if not lost:
        return {}
    rows = await connection.fetch(sql.HOLDERS, document([_named(one) for one in lost.values()]))
    holders = {(row["user_id"], row["rpc"], row["key"]): _original(row) for row in rows}
    return {resource_id: holders[_name(one)] for resource_id, one in lost.items()}


async def claim_one(connection: AsyncConnection, resource_id: UUID, one: Claim) -> OriginalRequest | None:
    """Claims the key for a new resource, or returns the request that holds it."""
    return (await claim(await _driver(connection), [(resource_id, one)])).get(resource_id)


async def find(connection: AsyncConnection, one: Claim) -> OriginalRequest | None:
    """The request that holds the key; None while the key is free."""
    row = await (await _driver(connection)).fetchrow(sql.FIND, *_name(one))
    return None if row is None else _original(row)


async def release(connection: Connection, resource_ids: Sequence[UUID]) -> None:
    """Releases the keys that these resources hold, so that the same request may be made again."""
    await connection.execute(sql.RELEASE, resource_ids)


async def delete_expired(connection: Connection) -> None:
    """Deletes expired keys; skips those that are locked."""
    await connection.execute(sql.DELETE_EXPIRED)


def _name(one: Claim) -> tuple[int, str, str]:
    return one.user_id, one.operation.value, one.key


def _named(one: Claim) -> dict[str, Any]:
    return {"user_id": one.user_id, "rpc": one.operation.value, "key": one.key}


def _row(resource_id: UUID, one: Claim) -> dict[str, Any]:
    seconds = one.operation.retention.total_seconds()
    return {**_named(one), "body_hash": f"\\x{one.body_hash.hex()}", "resource_id": resource_id, "seconds": seconds}


def _original(row: Any) -> OriginalRequest:
    return OriginalRequest(UUID(int=row["resource_id"].int), row["body_hash"])


async def _driver(connection: AsyncConnection) -> Connection:
    raw = await connection.get_raw_connection()
    await connection.exec_driver_sql("SELECT 1")  # SQLAlchemy begins the driver's transaction only with its first statement
    driver: Connection = raw.driver_connection  # type: ignore[assignment]
    return driver
