import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, text
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.ext.asyncio import AsyncEngine
from uuid_utils import uuid7

import orchestrator.adapters.events.tables
import orchestrator.adapters.executions.tables
import orchestrator.adapters.idempotency.tables
import orchestrator.migrations
from deploy.local.servers.postgres import PostgresServer
from orchestrator.adapters.identity.tables import users
from orchestrator.adapters.postgres.engine import create_engine
from orchestrator.adapters.postgres.migration import MIGRATION_LOCK, migrate
from orchestrator.processes import migrate as migrating

metadata = users.metadata
NEWEST = max(file.name[:4] for file in (Path(orchestrator.migrations.__file__).parent / "versions").glob("[0-9]*.py"))
NewEngine = Callable[[], AsyncEngine]


@pytest.fixture
async def new_engine(postgres_server: PostgresServer) -> AsyncIterator[NewEngine]:
    """Creates engines for one new database."""
    name = f"migrations_{uuid7().hex}"
    url = await postgres_server.create_database(name)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(postgres_server.drop_database, name)

        def make() -> AsyncEngine:
            engine = create_engine(url, 1, 0)
            stack.push_async_callback(engine.dispose)
            return engine

        yield make


async def tables(engine: AsyncEngine) -> set[str]:
    async with engine.connect() as connection:
        found = await connection.scalars(text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'"))
        return set(found)


async def lock_is_free(engine: AsyncEngine) -> bool:
    async with engine.connect() as connection:
        return bool(await connection.scalar(text(f"SELECT pg_try_advisory_lock({MIGRATION_LOCK})")))


async def test_a_new_database_gets_every_table(new_engine: NewEngine) -> None:
    engine = new_engine()
    await migrate(engine)
    assert await tables(engine) == {*metadata.tables, "alembic_version"}


async def test_eight_processes_that_start_at_once_migrate_once(new_engine: NewEngine) -> None:
    engines = [new_engine() for _ in range(8)]
    await asyncio.gather(*map(migrate, engines))  # a second migration would fail because the tables exist
    async with engines[0].connect() as connection:
        assert list(await connection.scalars(text("SELECT version_num FROM alembic_version"))) == [NEWEST]


async def test_an_up_to_date_database_is_not_changed(new_engine: NewEngine) -> None:
    engine = new_engine()
    await migrate(engine)
    async with engine.begin() as connection:
        await connection.execute(text("INSERT INTO idempotency_keys VALUES (1, 'r', 'k', '', gen_random_uuid(), false, now())"))
    await migrate(engine)
    async with engine.connect() as connection:
        assert await connection.scalar(text("SELECT count(*) FROM idempotency_keys")) == 1


async def test_the_migrations_create_the_tables_that_the_code_describes(new_engine: NewEngine) -> None:
    engine = new_engine()
    await migrate(engine)

    def differences(connection: Connection) -> list[object]:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        return list(compare_metadata(context, metadata))

    async with engine.connect() as connection:
        assert await connection.run_sync(differences) == []


async def test_a_failed_migration_changes_nothing_and_releases_the_lock(new_engine: NewEngine) -> None:
    engine = new_engine()
    async with engine.begin() as connection:
        await connection.execute(text("CREATE TABLE outbox (id integer)"))
    with pytest.raises(ProgrammingError, match="already exists"):
        await migrate(engine)
    assert await tables(engine) == {"outbox"}
    assert await lock_is_free(new_engine())


async def test_the_wait_for_another_process_is_bounded(new_engine: NewEngine) -> None:
    async with new_engine().connect() as other:
        await other.execute(text(f"SELECT pg_advisory_lock({MIGRATION_LOCK})"))
        with pytest.raises(TimeoutError):
            await migrate(new_engine(), wait_seconds=0.3)


async def test_a_waiting_process_continues_when_the_other_has_migrated(new_engine: NewEngine) -> None:
    waiting: Awaitable[None]
    async with new_engine().connect() as other:
        await other.execute(text(f"SELECT pg_advisory_lock({MIGRATION_LOCK})"))
        engine = new_engine()
        waiting = asyncio.create_task(migrate(engine))
        _, pending = await asyncio.wait([waiting], timeout=0.15)
        assert pending
        await other.execute(text(f"SELECT pg_advisory_unlock({MIGRATION_LOCK})"))
        await waiting
    assert await tables(engine) == {*metadata.tables, "alembic_version"}


async def test_the_command_migrates_and_exits(new_engine: NewEngine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    engine = new_engine()
    (tmp_path / "url").write_text(engine.url.render_as_string(hide_password=False))
    monkeypatch.setenv("DATABASE_URL_FILE", str(tmp_path / "url"))
    assert await asyncio.to_thread(migrating.main) == 0
    assert await tables(engine) == {*metadata.tables, "alembic_version"}


async def test_the_command_reports_a_database_that_cannot_be_reached(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql+asyncpg://agentmesh:secret@127.0.0.1:1/agentmesh")
    assert await asyncio.to_thread(migrating.main) == 1
    assert "migrate: the database of DATABASE_URL cannot be reached" in capsys.readouterr().err


async def test_the_schema_of_a_later_release_stays_as_it_is(new_engine: NewEngine) -> None:
    engine = new_engine()
    await migrate(engine)
    async with engine.begin() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    await migrate(engine)
    async with engine.connect() as connection:
        assert list(await connection.scalars(text("SELECT version_num FROM alembic_version"))) == ["9999"]


async def test_libpq_variables_decide_whether_the_connection_is_encrypted(new_engine: NewEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test's server has no TLS, so a connection that demands it fails."""
    monkeypatch.setenv("PGSSLMODE", "require")
    with pytest.raises(ConnectionError, match="SSL"):
        await migrate(new_engine())
