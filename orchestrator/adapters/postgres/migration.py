"""Brings the schema up to date."""

import asyncio
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncEngine

MIGRATIONS = Path(__file__).resolve().parents[2] / "migrations"
MIGRATION_LOCK = 0x61676D65_73680001
"""The advisory lock of the process that migrates."""


async def migrate(engine: AsyncEngine, wait_seconds: float = 60) -> None:
    """Applies every migration that is missing. Of several processes that start together, one migrates and the others wait for it.

    The lock is polled, because its blocking form deadlocks with CREATE INDEX CONCURRENTLY.
    """
    async with engine.connect() as connection:
        async with asyncio.timeout(wait_seconds):
            # Another process's lock raises no event: it must be polled.
            while not await connection.scalar(text("SELECT pg_try_advisory_lock(:lock)"), {"lock": MIGRATION_LOCK}):  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        await connection.commit()
        try:
            await connection.run_sync(_upgrade)
            await connection.commit()
        finally:
            await connection.execute(text("SELECT pg_advisory_unlock(:lock)"), {"lock": MIGRATION_LOCK})
            await connection.commit()


def _upgrade(connection: Connection) -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
