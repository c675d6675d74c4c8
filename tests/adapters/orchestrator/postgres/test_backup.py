"""A dump that is made while the platform writes restores into a database with the same books."""

import asyncio
import secrets
from pathlib import Path

import asyncpg

from deploy.local.servers.postgres import PostgresServer
from orchestrator.adapters.executions.recorder import PostgresRecorder
from orchestrator.adapters.executions.sweeper import Sweeper
from orchestrator.adapters.postgres.engine import create_engine, dsn_of
from orchestrator.adapters.postgres.migration import migrate
from tests.adapters.orchestrator import looking
from tests.adapters.orchestrator.looking import Connection
from tests.unit.orchestrator.making import completed, intent

BOOKS = "SELECT execution_id, status, cost_micro_usd, result FROM executions ORDER BY execution_id"
EVENTS = "SELECT event_id, event_type, data FROM outbox ORDER BY event_id"


async def run(program: Path, *arguments: str) -> None:
    process = await asyncio.create_subprocess_exec(program, *arguments, stderr=asyncio.subprocess.PIPE)
    _, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()


async def test_a_restored_dump_has_the_same_books(
    books_url: str, db: Connection, recorder: PostgresRecorder, postgres_server: PostgresServer, tmp_path: Path
) -> None:
    done, under_way = [intent() for _ in range(5)], intent()
    await asyncio.gather(*map(recorder.record, (*done, under_way)))
    await asyncio.gather(*(recorder.settle(completed(one)) for one in done))
    programs = postgres_server.placement.programs
    await run(programs / "pg_dump", "--format=custom", f"--file={tmp_path / 'dump'}", dsn_of(books_url))
    expected = [await db.fetch(statement) for statement in (BOOKS, EVENTS)]

    restored_url = await postgres_server.create_database(f"restored_{secrets.token_hex(4)}")
    await run(programs / "pg_restore", "--exit-on-error", "--no-owner", f"--dbname={dsn_of(restored_url)}", str(tmp_path / "dump"))
    engine = create_engine(restored_url, 1, 0)
    await migrate(engine)  # as the first process does that starts on it
    await engine.dispose()
    restored = await asyncpg.connect(dsn_of(restored_url))
    try:
        assert [await restored.fetch(statement) for statement in (BOOKS, EVENTS)] == expected
        assert len(expected[0]) == 6
        await looking.expire(restored, under_way.execution_id)
        assert await Sweeper(restored_url, every_seconds=1).sweep() == 1
        assert await looking.state(restored, under_way) == "outcome_unknown"
    finally:
        await restored.close()
