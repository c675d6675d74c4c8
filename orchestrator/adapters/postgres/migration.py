"""Brings the schema up to date."""

import asyncio
from pathlib import Path

import structlog
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncEngine

log = structlog.get_logger()

MIGRATIONS = Path(__file__).resolve().parents[2] / "migrations"
MIGRATION_LOCK = 0x61676D65_73680001
"""The advisory lock of the process that migrates."""


async def migrate(engine: AsyncEngine, wait_seconds: float = 60) -> None:
    """Applies every migration that is missing. Of several processes that start together, one migrates and the others wait for it.

    A schema of a later release stays as it is, so that processes of both releases can start during an upgrade, and after it is undone.
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
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    newer = set(MigrationContext.configure(connection).get_current_heads()) - known
    connection.rollback()  # Alembic ends only transactions that it began itself
    if newer:
        log.warning("schema_of_a_later_release", revisions=sorted(newer))
        return
    command.upgrade(config, "head")
