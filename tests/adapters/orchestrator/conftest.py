"""One migrated database for all of these tests, empty before each of them."""

import secrets
from collections.abc import AsyncIterator, Iterator

import asyncpg
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from deploy.local.servers.kafka import KafkaServer
from deploy.local.servers.postgres import PostgresServer
from mesh.tasks import BackgroundTasks
from orchestrator.adapters.executions.recorder import PostgresRecorder
from orchestrator.adapters.postgres.engine import create_engine
from orchestrator.adapters.postgres.migration import migrate
from tests.adapters.orchestrator.looking import Connection
from tests.conftest import CreateDatabase

LEASE_SECONDS = 30.0


@pytest.fixture(scope="session")
async def migrated_url(create_database: CreateDatabase) -> str:
    url = await create_database(f"books_{secrets.token_hex(4)}")
    engine = create_engine(url, 1, 0)
    await migrate(engine)
    await engine.dispose()
    return url


@pytest.fixture
async def db(migrated_url: str) -> AsyncIterator[Connection]:
    """A connection that inspects the books; they are empty at first."""
    connection = await asyncpg.connect(migrated_url.replace("+asyncpg", ""))
    await connection.execute("TRUNCATE executions, idempotency_keys, outbox, consumed_events, dead_events, event_counts RESTART IDENTITY")
    await connection.execute("UPDATE event_relay SET last_position = 0, published_position = 0")
    await connection.execute("TRUNCATE usage_cells, usage_agents; DELETE FROM usage_cursor; INSERT INTO usage_cursor DEFAULT VALUES")
    yield connection
    await connection.close()


@pytest.fixture
def books_url(migrated_url: str, db: Connection) -> str:
    """A migrated, empty database."""
    return migrated_url


@pytest.fixture
async def other(books_url: str) -> AsyncIterator[Connection]:
    """A second session that can hold locks: sessions that wait for them cannot be observed from inside the transaction."""
    connection = await asyncpg.connect(books_url.replace("+asyncpg", ""))
    yield connection
    await connection.close()


@pytest.fixture
async def recorder(books_url: str) -> AsyncIterator[PostgresRecorder]:
    async with PostgresRecorder(books_url, LEASE_SECONDS, BackgroundTasks()) as recorder:
        yield recorder


@pytest.fixture
def no_deadlocks(postgres_server: PostgresServer) -> Iterator[None]:
    """Fails the test if PostgreSQL had to resolve a deadlock: its victim has waited a second for nothing."""
    log = postgres_server.process.log_path
    before = log.read_text().count("deadlock detected")
    yield
    assert log.read_text().count("deadlock detected") == before


@pytest.fixture
async def engine(books_url: str) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(books_url, 5, 5)
    yield engine
    await engine.dispose()


@pytest.fixture
async def kafka(kafka_server: KafkaServer) -> AsyncIterator[KafkaServer]:
    """The broker, restarted if the previous test stopped it."""
    await kafka_server.start()
    yield kafka_server
    await kafka_server.start()
