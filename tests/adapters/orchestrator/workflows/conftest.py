"""Stores of workflows in an empty database."""

from collections.abc import AsyncIterator

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from mesh.tasks import BackgroundTasks
from orchestrator.adapters.workflows.runs import PostgresRunStore
from orchestrator.adapters.workflows.store import PostgresWorkflowStore
from tests.adapters.orchestrator.looking import Connection
from tests.adapters.orchestrator.workflows.engine import NO_NEWS, Agents, Heartbeat, Runs


@pytest.fixture
async def users(db: Connection) -> None:
    """Users 1 to 9, enabled. Runs of a disabled or missing user would be cancelled."""
    await db.execute(
        """
        INSERT INTO users (id, username, password_hash) SELECT n, 'workflows.user.' || n, 'none' FROM generate_series(1, 9) AS n
        ON CONFLICT (id) DO UPDATE SET disabled_at = NULL, role = 'user', weight = 1;
        SELECT setval(pg_get_serial_sequence('users', 'id'), (SELECT max(id) FROM users))
        """
    )


@pytest.fixture
async def runs(books_url: str, db: Connection, users: None, engine: AsyncEngine) -> AsyncIterator[Runs]:
    await db.execute("TRUNCATE workflows CASCADE")
    async with PostgresRunStore(books_url, engine, NO_NEWS, Heartbeat(), BackgroundTasks()) as store:
        yield Runs(store, PostgresWorkflowStore(engine), db)


@pytest.fixture
def agents() -> Agents:
    return Agents()
