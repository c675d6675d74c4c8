"""Stores of workflows on a database without any."""

from collections.abc import AsyncIterator

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from mesh.tasks import BackgroundTasks
from orchestrator.adapters.workflows.runs import PostgresRunStore
from orchestrator.adapters.workflows.store import PostgresWorkflowStore
from tests.adapters.orchestrator.looking import Connection
from tests.adapters.orchestrator.workflows.engine import NO_NEWS, Agents, Heartbeat, Runs


@pytest.fixture
async def runs(books_url: str, db: Connection, engine: AsyncEngine) -> AsyncIterator[Runs]:
    await db.execute("TRUNCATE workflows CASCADE")
    async with PostgresRunStore(books_url, engine, NO_NEWS, Heartbeat(), BackgroundTasks()) as store:
        yield Runs(store, PostgresWorkflowStore(engine), db)


@pytest.fixture
def agents() -> Agents:
    return Agents()
