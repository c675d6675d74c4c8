"""`python -m orchestrator.processes.migrate`: brings the database's schema up to date and exits.

Orchestrators do the same when they start. Run it before an upgrade so that no orchestrator has to wait for a long migration.
"""

import asyncio
import sys
from contextlib import AsyncExitStack

from pydantic import ValidationError
from pydantic_settings import SettingsConfigDict

from mesh.errors import MeshError
from mesh.secret_files import FileSettings
from mesh.settings import explain
from orchestrator.adapters.postgres.engine import DatabaseUrl
from orchestrator.composition.database import open_database


class MigrateSettings(FileSettings):
    """The settings, read once from the environment."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    database_url: DatabaseUrl
    """PostgreSQL, as `postgresql+asyncpg://user:password@host:port/database`."""


def main() -> int:
    """Migrates; returns the exit code: 2 for invalid settings, 1 if the database cannot be used. An error is one line on standard error."""
    try:
        settings = MigrateSettings()
    except ValueError as error:
        sys.stderr.write(f"migrate: {explain(error) if isinstance(error, ValidationError) else error}\n")
        return 2
    try:
        asyncio.run(migrate(settings.database_url))
    except MeshError as error:
        sys.stderr.write(f"migrate: {error.message}\n")
        return 1
    return 0


async def migrate(database_url: str) -> None:
    """Brings the schema up to date; waits while another process migrates. Raises CannotStart if the database cannot be used."""
    async with AsyncExitStack() as stack:
        await open_database(stack, database_url, 1, 0)


if __name__ == "__main__":
    sys.exit(main())
