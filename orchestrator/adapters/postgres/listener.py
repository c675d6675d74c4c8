"""Hears what PostgreSQL notifies of, as long as the connection holds; whoever needs to know for certain looks by himself."""

import asyncio
from collections.abc import Callable
from typing import Any

import asyncpg
import structlog

from orchestrator.adapters.postgres.engine import CONNECTION_LOST
from orchestrator.adapters.postgres.group_commit import LazyConnection

log = structlog.get_logger()

AGAIN_SECONDS = 1.0


class PostgresListener:
    """Calls back for every notification of a channel, and once when it begins to listen (again): something may have been missed."""

    def __init__(self, database_url: str, channel: str, heard: Callable[[], None]) -> None:
        self._connection = LazyConnection(database_url)
        self._channel = channel
        self._heard = heard

    async def run(self) -> None:
        """Listens until cancelled."""
        try:
            while True:
                try:
                    await self._listen()
                except (*CONNECTION_LOST, asyncpg.PostgresError) as error:
                    log.warning("not_listening", channel=self._channel, error=type(error).__name__)
                    self._connection.drop()
                await asyncio.sleep(AGAIN_SECONDS)
        finally:
            await self._connection.close()

    async def _listen(self) -> None:
        connection = await self._connection.get()
        ended = asyncio.Event()
        connection.add_termination_listener(lambda _: ended.set())
        await connection.add_listener(self._channel, self._notified)
        self._heard()
        await ended.wait()

    def _notified(self, *_: Any) -> None:
        self._heard()
