"""Receives PostgreSQL's notifications while the connection lasts. Users must also poll, as notifications can be missed."""

import asyncio
from collections.abc import Callable
from typing import Any

import asyncpg
import structlog

from orchestrator.adapters.postgres.connection import LazyConnection
from orchestrator.adapters.postgres.engine import CONNECTION_LOST

log = structlog.get_logger()

RETRY_SECONDS = 1.0


class PostgresListener:
    """Calls back for every notification of a channel, and whenever it starts to listen (again), as it may have missed some."""

    def __init__(self, database_url: str, channel: str, notified: Callable[[], None]) -> None:
        self._connection = LazyConnection(database_url)
        self._channel = channel
        self._notified = notified

    async def run(self) -> None:
        try:
            while True:
                try:
                    await self._listen()
                except (*CONNECTION_LOST, asyncpg.PostgresError) as error:
                    log.warning("not_listening", channel=self._channel, error=type(error).__name__)
                    self._connection.drop()
                await asyncio.sleep(RETRY_SECONDS)
        finally:
            await self._connection.close()

    async def _listen(self) -> None:
        connection = await self._connection.get()
        ended = asyncio.Event()
        connection.add_termination_listener(lambda _: ended.set())
        await connection.add_listener(self._channel, self._receive)
        self._notified()
        await ended.wait()

    def _receive(self, *_: Any) -> None:
        self._notified()
