"""One orchestrator, one agent host and one provider for most of these tests, with the real PostgreSQL and Redis."""

import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from tests.adapters.agent_host.running import ALONE, CHECKED, FIRST, SCHEMA, SECOND, Host, running_host, write_agent
from tests.adapters.simulator.conftest import Simulator, running_simulator
from tests.conftest import CreateDatabase
from tests.rpc.orchestrator.running import Call, Mesh, Orchestrator, running_orchestrator
from tests.support.waiting import eventually


@pytest.fixture(scope="session")
async def provider(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Simulator]:
    async with running_simulator(tmp_path_factory.mktemp("provider")) as simulator:
        yield simulator


def write_definitions(folder: Path) -> Path:
    folder.mkdir()
    for number in (ALONE, FIRST, SECOND):
        write_agent(folder, number)
    write_agent(folder, CHECKED, extra=SCHEMA)
    return folder


@pytest.fixture(scope="session")
async def shared_host(tmp_path_factory: pytest.TempPathFactory, provider: Simulator) -> AsyncIterator[Host]:
    folder = tmp_path_factory.mktemp("agent_host")
    definitions = write_definitions(folder / "definitions")
    async with running_host(folder, definitions, provider.url, (ALONE, FIRST, CHECKED)) as host:
        yield host


@pytest.fixture(scope="session")
async def books_url(create_database: CreateDatabase) -> str:
    return await create_database(f"rpc_{secrets.token_hex(4)}")


@pytest.fixture(scope="session")
async def shared_orchestrator(
    tmp_path_factory: pytest.TempPathFactory, shared_host: Host, books_url: str, redis_url: str
) -> AsyncIterator[Orchestrator]:
    settings = {
        "DATABASE_URL": books_url,
        "REDIS_URL": redis_url,
        "DEFINITIONS_PATH": str(shared_host.log.parent / "definitions"),
        "PORT_OFFSET": str(shared_host.offset),
    }
    async with running_orchestrator(tmp_path_factory.mktemp("orchestrator"), **settings) as orchestrator:
        yield orchestrator


@pytest.fixture
async def mesh(shared_orchestrator: Orchestrator, shared_host: Host, provider: Simulator, books_url: str) -> AsyncIterator[Mesh]:
    """The mesh, without the provider faults of earlier tests. Afterwards, no intent may be open in the books."""
    db = await asyncpg.connect(books_url.replace("+asyncpg", ""))
    yield Mesh(shared_orchestrator, shared_host, provider, db)
    await provider.control("DELETE", "faults")

    async def all_settled() -> bool:
        return bool(await db.fetchval("SELECT count(*) = 0 FROM executions WHERE status = 'running'"))

    await eventually(all_settled, within=3)
    await db.close()


@pytest.fixture
def call(mesh: Mesh) -> Call:
    return mesh.call()
