"""Deletes sessions that can no longer be used."""

import asyncio

import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from mesh.errors import ServiceUnavailable
from orchestrator.adapters.postgres.engine import unavailable

log = structlog.get_logger()

FORGET_SECONDS = 3600.0
FORGET_TOKENS = "DELETE FROM refresh_tokens WHERE expires_at < clock_timestamp() - interval '7 days'"
"""An expired token is kept for a week, so that its owner gets the error that it has expired, and not that it is unknown."""
FORGET_SESSIONS = """
DELETE FROM sessions s
WHERE s.access_until < clock_timestamp() - interval '7 days'
  AND NOT EXISTS (SELECT FROM refresh_tokens t WHERE t.session_id = s.session_id)
"""


class IdentityUpkeep:
    """Deletes expired sessions and refresh tokens. Any number of processes can run it."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def run(self) -> None:
        """Deletes once an hour until cancelled; tries again if the database cannot be reached."""
        while True:
            try:
                await self.forget()
            except ServiceUnavailable as error:
                log.warning("sessions_not_forgotten", error=error.message)
            await asyncio.sleep(FORGET_SECONDS)

    async def forget(self) -> int:
        """Deletes expired sessions and refresh tokens; returns the number of sessions."""
        with unavailable():
            async with self._engine.begin() as connection:
                await connection.execute(text(FORGET_TOKENS))
                return (await connection.execute(text(FORGET_SESSIONS))).rowcount
