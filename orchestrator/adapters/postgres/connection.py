"""Connections outside of the pool, for statements that a process runs all the time and for session state."""

from collections.abc import Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import TYPE_CHECKING

import asyncpg

from orchestrator.adapters.postgres.engine import CONNECT_SECONDS, CONNECTION_LOST, dsn_of

COMMAND_SECONDS = 5.0
SESSION: Mapping[str, str] = MappingProxyType({"plan_cache_mode": "force_generic_plan", "jit": "off"})
"""The process repeats a few statements; planning one again costs more than running it."""

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]
else:
    Connection = asyncpg.Connection  # generic for type checkers alone


class NotConnected(ConnectionError):
    """The server could not be reached or refused the connection: nothing was sent to it."""


async def connect(database_url: str, application: str, settings: Mapping[str, str] = SESSION) -> Connection:
    """A new connection with these settings for its session.

    They are set by statements: a pooler such as pgbouncer refuses connections that ask for them as startup parameters.
    """
    connection = await asyncpg.connect(
        dsn_of(database_url), timeout=CONNECT_SECONDS, command_timeout=COMMAND_SECONDS, server_settings={"application_name": application}
    )
    try:
        await connection.execute(";".join(f"SET {name} = '{value}'" for name, value in settings.items()))
    except BaseException:
        connection.terminate()
        raise
    return connection


class LazyConnection:
    """One connection, opened when it is first needed and again after it was lost."""

    def __init__(self, database_url: str, settings: Mapping[str, str] = MappingProxyType({})) -> None:
        self._url = database_url
        self._settings = {**SESSION, **settings}
        self._connection: Connection | None = None

    async def get(self) -> Connection:
        """The connection. Raises NotConnected, which is one of CONNECTION_LOST."""
        if self._connection is None or self._connection.is_closed():
            try:
                self._connection = await connect(self._url, "agentmesh-recorder", self._settings)
            except (*CONNECTION_LOST, asyncpg.PostgresError) as error:
                raise NotConnected(f"{type(error).__name__}: {error}") from error
        return self._connection

    def drop(self) -> None:
        """Abandons the connection, whose state is unknown."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()

    async def close(self) -> None:
        """Closes the connection if there is one."""
        connection, self._connection = self._connection, None
        if connection is not None and not connection.is_closed():
            with suppress(*CONNECTION_LOST):  # asyncpg aborts a connection that does not close in time
                await connection.close(timeout=CONNECT_SECONDS)
