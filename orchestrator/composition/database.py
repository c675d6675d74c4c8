"""Prepares the database before a process begins to work."""

from sqlalchemy.ext.asyncio import AsyncEngine

from mesh.errors import CannotStart, ServiceUnavailable
from orchestrator.adapters.postgres.engine import migrate, unavailable


async def prepare_database(engine: AsyncEngine) -> None:
    """Brings the schema up to date. Raises CannotStart when there is no database to do it in."""
    try:
        with unavailable():
            await migrate(engine)
    except ServiceUnavailable as error:
        raise CannotStart("the database of DATABASE_URL cannot be reached; start it, or correct the URL") from error
