"""Behind a real pgbouncer: session pooling works, and transaction and statement pooling are refused with one sentence."""

import os
import secrets
from pathlib import Path

import pytest

from deploy.local.errors import LaunchError
from mesh.errors import CannotStart
from mesh.tasks import BackgroundTasks
from orchestrator.adapters.executions.recorder import PostgresRecorder
from orchestrator.adapters.health.probes import PostgresProbe
from orchestrator.adapters.postgres.engine import create_engine
from orchestrator.adapters.postgres.pooling import pools_transactions
from orchestrator.composition.database import prepare_database
from orchestrator.executions.model import Settlement, State
from tests.conftest import CreateDatabase
from tests.support.pgbouncer import PgbouncerUnavailable, pgbouncer, through_pgbouncer
from tests.unit.orchestrator.making import BILL, keyed


@pytest.fixture(scope="session")
def program() -> Path:
    try:
        return pgbouncer()
    except PgbouncerUnavailable as problem:
        pytest.skip(str(problem))
    except LaunchError as problem:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(problem))


@pytest.fixture
async def url(create_database: CreateDatabase) -> str:
    return await create_database(f"pooled_{secrets.token_hex(4)}")


async def test_session_pooling_works_and_is_ready(program: Path, url: str, tmp_path: Path) -> None:
    async with through_pgbouncer(program, tmp_path, url, "session") as through:
        engine = create_engine(through, 2, 0)
        await prepare_database(engine)
        probe = PostgresProbe(engine, through)
        assert (await probe.check()).available
        async with PostgresRecorder(through, 30, BackgroundTasks()) as recorder:
            intent = keyed("")
            assert await recorder.record(intent) is None
            assert await recorder.settle(Settlement(intent, State.COMPLETED, bill=BILL))
        await probe.close()
        await engine.dispose()


@pytest.mark.parametrize("mode", ["transaction", "statement"])
async def test_other_pool_modes_are_refused_with_one_sentence(mode: str, program: Path, url: str, tmp_path: Path) -> None:
    async with through_pgbouncer(program, tmp_path, url, mode) as through:
        engine = create_engine(through, 2, 0)
        with pytest.raises(CannotStart, match=r"^DATABASE_URL leads to a pooler in transaction .* set pool_mode = session"):
            await prepare_database(engine)
        await engine.dispose()


async def test_postgresql_itself_is_not_taken_for_a_pooler(url: str) -> None:
    assert not await pools_transactions(url)
