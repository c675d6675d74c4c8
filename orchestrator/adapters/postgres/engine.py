"""PostgreSQL: the engine, its migrations, and what its absence means."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from mesh.errors import ServiceUnavailable

MIGRATIONS = Path(__file__).resolve().parents[2] / "migrations"
MIGRATION_LOCK = 0x61676D65_73680001
"""The advisory lock that one process holds while it migrates."""
CONNECT_SECONDS = 2.0
CONNECTION_LOST = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # its state after the server's farewell, until it sees that the connection is closed
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.ReadOnlySQLTransactionError,
)
"""What asyncpg raises when the server is gone, going, not yet there, out of room, or a standby that takes no writes."""


def create_engine(database_url: str, pool_size: int, max_overflow: int) -> AsyncEngine:
    """The pool of lld.md 4.2. It checks a connection before it is used, so that a restarted server is not noticed."""
    return create_async_engine(
        database_url,
        pool_size=pool_size,
        max_overflow=max_overflow,
        pool_pre_ping=True,
        pool_timeout=CONNECT_SECONDS,
        connect_args={"timeout": CONNECT_SECONDS, "server_settings": {"application_name": "agentmesh"}},
    )


@contextmanager
def unavailable() -> Iterator[None]:
    """Raises ServiceUnavailable where the database cannot be reached."""
    try:
        yield
    except (OperationalError, InterfaceError, PoolTimeout, *CONNECTION_LOST) as error:
        raise database_unavailable() from error
    except DBAPIError as error:
        # SQLAlchemy looks whether the connection is closed, and asyncpg may learn that only after it has raised.
        if error.connection_invalidated or isinstance(getattr(error.orig, "__cause__", None), CONNECTION_LOST):
            raise database_unavailable() from error
        raise


def database_unavailable() -> ServiceUnavailable:
    """The error of every call that needs the database while it is gone."""
    return ServiceUnavailable("the database cannot be reached; nothing was bought, try again", component="postgresql")


async def migrate(engine: AsyncEngine, wait_seconds: float = 60) -> None:
    """Brings the schema up to date; of several processes that start together one does it and the others wait.

    The lock is polled, because the blocking form hangs against CREATE INDEX CONCURRENTLY.
    """
    async with engine.connect() as connection:
        async with asyncio.timeout(wait_seconds):
            # No event tells of another process's lock: it is polled.
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
