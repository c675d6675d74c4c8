"""The real servers that tests stand on, each started once by every process of the run; how those share the tests, and their figures."""

import os
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from xdist.remote import Producer

from deploy.local.errors import LaunchError
from deploy.local.servers.kafka import KafkaServer
from deploy.local.servers.postgres import PostgresServer
from deploy.local.servers.redis import RedisServer
from deploy.local.tools import go_tools, java_tools
from tests.support.ports import any_free_port
from tests.support.sharing import Sharing, rank

CreateDatabase = Callable[[str], Awaitable[str]]
Tell = Callable[[str], None]
FIGURES = "figures"

settings.register_profile("fast", max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])  # for make fast


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Sharing:
    return Sharing(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: rank(item.nodeid))


@pytest.fixture
def tell(request: pytest.FixtureRequest) -> Tell:
    """Keeps a line of figures for the end of the run, whichever process makes it."""

    def keep(line: str) -> None:
        request.node.user_properties.append((FIGURES, line))

    return keep


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = [report for kind in terminalreporter.stats.values() for report in kind if isinstance(report, pytest.TestReport)]
    lines = [line for report in reports if report.when == "call" for name, line in report.user_properties if name == FIGURES]
    if lines:
        terminalreporter.section(FIGURES)
        for line in lines:
            terminalreporter.write_line(str(line))


@pytest.fixture(scope="session")
async def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[PostgresServer]:
    """The embedded PostgreSQL, as `make up` runs it, but for fsync: these databases need to survive nothing."""
    server = PostgresServer(tmp_path_factory.mktemp("postgres"), any_free_port(), settings={"fsync": "off"})
    await server.start()
    yield server
    await server.stop()
    server.erase()


@pytest.fixture(scope="session")
def create_database(postgres_server: PostgresServer) -> CreateDatabase:
    """Makes an empty database of that name, unless it exists, and returns its URL."""
    return postgres_server.create_database


@pytest.fixture(scope="session")
async def database_url(create_database: CreateDatabase) -> str:
    """An empty database of this run's own; whoever needs tables migrates it."""
    return await create_database(f"test_{secrets.token_hex(4)}")


@pytest.fixture(scope="session")
async def redis_server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RedisServer]:
    """The embedded Redis, as `make up` runs it."""
    server = RedisServer(tmp_path_factory.mktemp("redis"), any_free_port())
    await server.start()
    yield server
    await server.stop()


@pytest.fixture(scope="session")
def redis_url(redis_server: RedisServer) -> str:
    """The first database of this run's own Redis."""
    return redis_server.url()


@pytest.fixture(scope="session")
def kafka_jars() -> Path:
    """The real Kafka, which `make test` began to fetch before anything else. Skips where there is no Java or no Maven."""
    try:
        return java_tools.kafka()
    except java_tools.NoJava as problem:
        pytest.skip(str(problem))
    except LaunchError as problem:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(problem))


@pytest.fixture(scope="session")
async def kafka_server(kafka_jars: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[KafkaServer]:
    """A real broker. Whoever kills it starts it again."""
    server = KafkaServer(tmp_path_factory.mktemp("kafka"), any_free_port(), any_free_port())
    await server.start()
    yield server
    await server.stop()


@pytest.fixture(scope="session")
def grpcurl() -> Path:
    return _built(go_tools.GRPCURL)


@pytest.fixture(scope="session")
def opa() -> Path:
    return _built(go_tools.OPA)


def _built(tool: go_tools.GoTool) -> Path:
    """The program, which `make test` began to build before anything else. Skips where there is no Go to build it with."""
    try:
        return tool.program()
    except go_tools.NoGo as problem:
        pytest.skip(str(problem))
    except LaunchError as problem:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(problem))
