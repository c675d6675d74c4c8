"""The connection pool, and the errors by which PostgreSQL is recognised as unavailable."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import asyncpg
from prometheus_client import Gauge
from pydantic import AfterValidator
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import QueuePool

from mesh.errors import ServiceUnavailable

CONNECT_SECONDS = 2.0
IN_USE = Gauge("db_pool_connections_in_use", "Connections of the pool of this process that are in use")
LIMIT = Gauge("db_pool_connections_limit", "The most connections that the pool of this process may open: DB_POOL_SIZE + DB_MAX_OVERFLOW")
CONNECTION_LOST = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # after the server's farewell message, until asyncpg notices that the connection is closed
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.ReadOnlySQLTransactionError,
)
"""What asyncpg raises when the server is stopped, stopping, starting, out of resources, or a standby that accepts no writes."""
CONNECTION_REFUSED = (
    asyncpg.InvalidAuthorizationSpecificationError,  # and its subclass for a wrong password
    asyncpg.InvalidCatalogNameError,
    asyncpg.InsufficientPrivilegeError,
)
"""What asyncpg raises while it connects if the URL is wrong: trying again does not help."""


def _database_url(value: str) -> str:
    try:
        url = make_url(value)
    except ArgumentError:
        url = None
    if url is None or url.drivername != "postgresql+asyncpg" or not url.host or not url.database:
        raise ValueError("invalid URL; write it as postgresql+asyncpg://user:password@host:port/database")
    return value


DatabaseUrl = Annotated[str, AfterValidator(_database_url)]
"""A setting that names a PostgreSQL database."""


def create_engine(database_url: str, pool_size: int, max_overflow: int) -> AsyncEngine:
    """A pool of connections. It checks each connection before use, so that a restart of the server causes no errors."""
    engine = create_async_engine(
        database_url,
        pool_size=pool_size,
        max_overflow=max_overflow,
        pool_pre_ping=True,
        pool_timeout=CONNECT_SECONDS,
        connect_args={"timeout": CONNECT_SECONDS, "server_settings": {"application_name": "agentmesh"}},
    )
    if isinstance(engine.pool, QueuePool):
        IN_USE.set_function(engine.pool.checkedout)
        LIMIT.set(pool_size + max_overflow)
    return engine


def dsn_of(database_url: str) -> str:
    """The same URL as asyncpg itself takes it."""
    return database_url.replace("postgresql+asyncpg://", "postgresql://")


@contextmanager
def unavailable() -> Iterator[None]:
    """Raises ServiceUnavailable where the database cannot be reached or refuses the connection."""
    try:
        yield
    except (OperationalError, InterfaceError, PoolTimeout, *CONNECTION_LOST, *CONNECTION_REFUSED) as error:
        raise database_unavailable() from error
    except DBAPIError as error:
        # SQLAlchemy checks whether the connection is closed, and asyncpg may notice that only after it has raised.
        if error.connection_invalidated or isinstance(getattr(error.orig, "__cause__", None), CONNECTION_LOST):
            raise database_unavailable() from error
        if error.statement is None and why_refused(error):  # while connecting; a missing privilege is an error of the platform
            raise database_unavailable() from error
        raise


def database_unavailable() -> ServiceUnavailable:
    """The error of every call that needs the database while it is unavailable."""
    return ServiceUnavailable("the database cannot be reached; nothing was bought, try again", component="postgresql")


def why_refused(error: BaseException | None) -> str | None:
    """PostgreSQL's reason for refusing a connection, if that is the cause of `error`; None for any other cause."""
    while error is not None:
        if isinstance(error, CONNECTION_REFUSED):
            return str(error)
        error = error.__cause__
    return None
