"""Fixtures for the real servers, each started once per test process, and the hooks that distribute the tests and print their figures."""

import os
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings
from xdist.remote import Producer

from deploy.local.errors import LaunchError
from deploy.local.servers.postgres import PostgresServer
from deploy.local.servers.redis import RedisServer
from deploy.local.tools import debian_tools, go_tools, java_tools
from tests.support.ports import any_free_port
from tests.support.sharing import Sharing, rank

if TYPE_CHECKING:
    from deploy.local.servers.kafka import KafkaServer

CreateDatabase = Callable[[str], Awaitable[str]]
ReportFigures = Callable[[str], None]
FIGURES = "figures"

settings.register_profile("fast", max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])  # for `make fast`


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Sharing:
    return Sharing(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: rank(item.nodeid))


@pytest.fixture
def report_figures(request: pytest.FixtureRequest) -> ReportFigures:
    """Report a line of figures, which pytest prints at the end of the run, also when it runs several processes."""

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
    """The embedded PostgreSQL, started as `make up` starts it but without fsync: the test databases do not have to survive a crash."""
    server = PostgresServer(tmp_path_factory.mktemp("postgres"), any_free_port(), settings={"fsync": "off"})
    await server.start()
    yield server
    await server.stop()
    server.erase()


@pytest.fixture(scope="session")
def create_database(postgres_server: PostgresServer) -> CreateDatabase:
    """Create an empty database with the given name, unless it exists, and return its URL."""
    return postgres_server.create_database


@pytest.fixture(scope="session")
async def database_url(create_database: CreateDatabase) -> str:
    """An empty database for this test process; tests that need tables run the migrations."""
    return await create_database(f"test_{secrets.token_hex(4)}")


@pytest.fixture(scope="session")
async def redis_server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RedisServer]:
    """The embedded Redis, started as `make up` starts it."""
    server = RedisServer(tmp_path_factory.mktemp("redis"), any_free_port())
    await server.start()
    yield server
    await server.stop()


@pytest.fixture(scope="session")
def redis_url(redis_server: RedisServer) -> str:
    """Database 0 of this process's Redis."""
    return redis_server.url()


@pytest.fixture(scope="session")
def kafka_jars() -> Path:
    """The jars of a real Kafka, which `make test` starts to download before anything else. Skips the test if Java or Maven is missing."""
    try:
        return java_tools.kafka()
    except java_tools.NoJava as problem:
        pytest.skip(str(problem))
    except LaunchError as problem:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(problem))


@pytest.fixture(scope="session")
async def kafka_server(kafka_jars: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator["KafkaServer"]:
    """A real broker. A test that stops it must start it again."""
    from deploy.local.servers.kafka import KafkaServer  # its client takes half a second to import

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


@pytest.fixture(scope="session")
def promtool() -> Path:
    """promtool, which `make test` starts to download before anything else. Skips the test if this is not root on Debian."""
    try:
        return debian_tools.promtool()
    except debian_tools.NoPromtool as problem:
        pytest.skip(str(problem))
    except LaunchError as problem:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(problem))


def _built(tool: go_tools.GoTool) -> Path:
    """The program, which `make test` starts to build before anything else. Skips the test if Go is not installed."""
    try:
        return tool.program()
    except go_tools.NoGo as problem:
        pytest.skip(str(problem))
    except LaunchError as problem:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(problem))
