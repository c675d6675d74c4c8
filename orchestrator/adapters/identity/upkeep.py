"""Forgets sessions that nobody can continue any more."""

import asyncio

import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from mesh.errors import ServiceUnavailable
from orchestrator.adapters.postgres.engine import unavailable

log = structlog.get_logger()

FORGET_SECONDS = 3600.0
FORGET_TOKENS = "DELETE FROM refresh_tokens WHERE expires_at < clock_timestamp() - interval '7 days'"
"""For a week more an old token is told that it has expired, and not that it is unknown."""
FORGET_SESSIONS = """
DELETE FROM sessions s
WHERE s.access_until < clock_timestamp() - interval '7 days'
  AND NOT EXISTS (SELECT FROM refresh_tokens t WHERE t.session_id = s.session_id)
"""


class IdentityUpkeep:
    """Any number of processes can run it."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def run(self) -> None:
        """Forgets once an hour until cancelled; a database that is gone is tried again."""
        while True:
            try:
                await self.forget()
            except ServiceUnavailable as error:
                log.warning("sessions_not_forgotten", error=error.message)
            await asyncio.sleep(FORGET_SECONDS)

    async def forget(self) -> int:
        """Deletes them; returns how many sessions that were."""
        with unavailable():
            async with self._engine.begin() as connection:
                await connection.execute(text(FORGET_TOKENS))
                return (await connection.execute(text(FORGET_SESSIONS))).rowcount
