"""Recognises a pooler that gives each transaction another session, with which the platform cannot work."""

from collections.abc import Sequence
from contextlib import AsyncExitStack

import asyncpg

from orchestrator.adapters.postgres.connection import Connection
from orchestrator.adapters.postgres.engine import CONNECT_SECONDS, CONNECTION_LOST, dsn_of

ATTEMPTS = 5


async def pools_transactions(database_url: str) -> bool:
    """Whether connections share sessions, as they do with pgbouncer's `pool_mode = transaction` and `statement`.

    Prepared statements, advisory locks and LISTEN need a session of their own. Raises asyncpg's errors.
    """
    async with AsyncExitStack() as stack:
        try:
            return await _share_sessions([await _open(database_url, stack) for _ in range(2)])
        except CONNECTION_LOST:
            # In statement mode, pgbouncer answers BEGIN by closing the connection; single statements work.
            await (await _open(database_url, stack)).execute("SELECT 1")
            return True


async def _share_sessions(connections: Sequence[Connection]) -> bool:
    sessions: dict[int, Connection] = {}
    for _ in range(ATTEMPTS):
        for connection in connections:
            async with connection.transaction():
                session = int(await connection.fetchval("SELECT pg_backend_pid()"))
            if sessions.setdefault(session, connection) is not connection:
                return True
    return False


async def _open(database_url: str, stack: AsyncExitStack) -> Connection:
    # With a statement cache, the statements themselves would fail behind such a pooler.
    connection = await asyncpg.connect(dsn_of(database_url), timeout=CONNECT_SECONDS, statement_cache_size=0)
    stack.callback(connection.terminate)
    return connection
