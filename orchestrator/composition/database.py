"""Prepares the database before a process starts its work."""

from contextlib import AsyncExitStack

from sqlalchemy.ext.asyncio import AsyncEngine

from mesh.errors import CannotStart, ServiceUnavailable
from orchestrator.adapters.postgres.engine import create_engine, unavailable, why_refused
from orchestrator.adapters.postgres.migration import migrate
from orchestrator.adapters.postgres.pooling import pools_transactions


async def open_database(stack: AsyncExitStack, database_url: str, pool_size: int, overflow: int) -> AsyncEngine:
    """An engine on a database with the current schema, which `stack` disposes of. Raises CannotStart if the database cannot be used."""
    engine = create_engine(database_url, pool_size, overflow)
    stack.push_async_callback(engine.dispose)
    await prepare_database(engine)
    return engine


async def prepare_database(engine: AsyncEngine) -> None:
    """Brings the schema up to date. Raises CannotStart if the database cannot be used."""
    try:
        with unavailable():
            if await pools_transactions(engine.url.render_as_string(hide_password=False)):
                raise CannotStart(
                    "DATABASE_URL leads to a pooler in transaction or statement mode, but the platform needs session pooling (for prepared "
                    "statements, advisory locks and LISTEN): set pool_mode = session for this database, or use PostgreSQL's own address"
                )
            await migrate(engine)
    except ServiceUnavailable as error:
        raise CannotStart(explain_unavailable(error)) from error


def explain_unavailable(error: ServiceUnavailable) -> str:
    """Why the database of DATABASE_URL cannot be used, for the operator."""
    if (refusal := why_refused(error)) is not None:
        return f"the database of DATABASE_URL refuses the connection: {refusal}; correct the user, password or database in the URL"
    return "the database of DATABASE_URL cannot be reached; start it, or correct the URL"
