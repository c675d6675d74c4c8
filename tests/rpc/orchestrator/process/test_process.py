"""Start and stop of the process."""

import asyncio
import os
import secrets
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import grpc
import pytest
from agentmesh.identity.v1.identity_service_pb2 import RegisterRequest
from agentmesh.identity.v1.identity_service_pb2_grpc import AuthServiceStub
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from sqlalchemy import make_url

from tests.conftest import CreateDatabase
from tests.rpc.orchestrator.running import JWT_SECRET, Mesh, Orchestrator, documented_error, read, running_orchestrator, start_orchestrator
from tests.support.call_tokens import PRIVATE_KEY
from tests.support.ports import any_free_port
from tests.support.waiting import eventually

Start = Callable[..., Awaitable[Mesh]]


@pytest.fixture
async def start(mesh: Mesh, tmp_path: Path, books_url: str, redis_url: str) -> AsyncIterator[Start]:
    """Starts a second orchestrator with the same agents and books."""
    async with AsyncExitStack() as stack:

        async def begin(**settings: str) -> Mesh:
            orchestrator = await start_orchestrator(tmp_path, **standard(mesh, books_url, redis_url), **settings)
            stack.push_async_callback(orchestrator.channel.close)
            stack.push_async_callback(orchestrator.stop)
            return replace(mesh, orchestrator=orchestrator)

        yield begin


def standard(mesh: Mesh, database_url: str, redis_url: str) -> dict[str, str]:
    definitions = str(mesh.host.log.parent / "definitions")
    servers = {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "JWT_SECRET": JWT_SECRET}
    return {**servers, "DEFINITIONS_PATH": definitions, "PORT_OFFSET": str(mesh.host.offset)}


def terminate(mesh: Mesh) -> None:
    mesh.orchestrator.process.send_signal(signal.SIGTERM)


async def ended_well(orchestrator: Orchestrator) -> bool:
    """Whether it exited with 0 and logged no unexpected error."""
    async with asyncio.timeout(20):
        code = await orchestrator.process.wait()
    return code == 0 and "Traceback" not in orchestrator.log.read_text()


async def test_calls_in_progress_are_answered_and_settled_on_sigterm(start: Start) -> None:
    mesh = await start()
    calls = [mesh.call() for _ in range(3)]
    for call in calls:
        await call.fault("delay", 800)
    unary = [call.execute() for call in calls[:2]]
    streamed = asyncio.create_task(read(calls[2].stream()))
    for call in calls:
        await eventually(call.asked)
    terminate(mesh)
    assert all([(await answer).result for answer in unary])
    assert (await streamed).kinds == ["started", "delta", "usage", "done"]
    assert await ended_well(mesh.orchestrator)
    assert [(await call.settled())["status"] for call in calls] == ["completed"] * 3


async def test_a_call_that_exceeds_the_grace_period_is_aborted_and_settled(start: Start) -> None:
    mesh = await start(DRAIN_GRACE_SECONDS="0.5")
    call = mesh.call()
    await call.fault("hang")
    execute = call.execute()
    await eventually(call.asked)
    terminate(mesh)
    assert await execute.code() in (grpc.StatusCode.CANCELLED, grpc.StatusCode.UNAVAILABLE)
    assert await ended_well(mesh.orchestrator)
    row, (purchase,) = await call.settled(), await call.purchases()
    assert (row["status"], purchase["outcome"]) == ("cancelled", "client_gone")


async def test_health_watchers_see_not_serving_before_calls_are_refused(start: Start) -> None:
    mesh = await start(DRAIN_NOTICE_SECONDS="0.6")
    watch = HealthStub(mesh.orchestrator.channel).Watch(HealthCheckRequest())
    assert (await watch.read()).status == HealthCheckResponse.SERVING
    terminate(mesh)
    assert (await watch.read()).status == HealthCheckResponse.NOT_SERVING
    assert (await mesh.call().execute()).result
    assert await ended_well(mesh.orchestrator)


async def test_sigint_stops_the_process(start: Start) -> None:
    mesh = await start()
    mesh.orchestrator.process.send_signal(signal.SIGINT)
    assert await ended_well(mesh.orchestrator)


async def test_two_processes_that_start_on_an_empty_database_both_serve(
    mesh: Mesh, create_database: CreateDatabase, redis_url: str, tmp_path: Path
) -> None:
    settings = standard(mesh, await create_database(f"fresh_{secrets.token_hex(4)}"), redis_url)
    folders = [tmp_path / name for name in ("one", "two")]
    for folder in folders:
        folder.mkdir()

    @asynccontextmanager
    async def both() -> AsyncIterator[list[Orchestrator]]:
        async with AsyncExitStack() as stack:
            yield await asyncio.gather(*(stack.enter_async_context(running_orchestrator(folder, **settings)) for folder in folders))

    async with both() as orchestrators:
        for orchestrator in orchestrators:
            assert (await replace(mesh, orchestrator=orchestrator).call().execute()).result


async def test_reflection_lists_every_service(mesh: Mesh) -> None:
    stub = reflection_pb2_grpc.ServerReflectionStub(mesh.orchestrator.channel)
    answers = stub.ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest(list_services="")]))
    names = [service.name async for answer in answers for service in answer.list_services_response.service]
    assert sorted(names) == [
        "agentmesh.analytics.v1.AnalyticsService",
        "agentmesh.event.v1.EventService",
        "agentmesh.execution.v1.ExecutionService",
        "agentmesh.health.v1.HealthService",
        "agentmesh.identity.v1.AuthService",
        "agentmesh.registry.v1.RegistryService",
        "agentmesh.workflow.v1.WorkflowService",
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
    ]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"ORCHESTRATOR_PORT": "70000"}, "ORCHESTRATOR_PORT"),
        ({"DATABASE_URL": "postgresql://u:p@localhost/x"}, "DATABASE_URL: invalid URL; write it as postgresql+asyncpg://"),
        ({"DATABASE_URL": "localhost:5432"}, "DATABASE_URL: invalid URL; write it as postgresql+asyncpg://"),
        ({"FAILPOINTS": "execution.nowhere"}, "execution.nowhere"),
        ({"CALL_TOKEN_PRIVATE_KEY": ""}, "CALL_TOKEN_PRIVATE_KEY is not set"),
        ({"JWT_SECRET": "changeme-changeme-changeme-changeme-now"}, "JWT_SECRET"),
        ({"JWT_SECRET": "short"}, "JWT_SECRET"),
        ({"JWT_SECRET_PREVIOUS": "short"}, "JWT_SECRET_PREVIOUS"),
    ],
    ids=[
        "port",
        "other driver",
        "no URL",
        "failpoint",
        "no key for call tokens",
        "guessable secret",
        "short secret",
        "short previous secret",
    ],
)
async def test_invalid_settings_are_reported_on_one_line(wrong: dict[str, str], message: str) -> None:
    urls = {"DATABASE_URL": "postgresql+asyncpg://u:p@localhost/x", "REDIS_URL": "redis://localhost/0"}
    code, errors = await refusal({**urls, **wrong})
    assert code == 2
    assert errors.startswith("orchestrator: ")
    assert message in errors
    assert errors.count("\n") == 1


async def refusal(settings: dict[str, str]) -> tuple[int | None, str]:
    """The exit code and the output of a process that refuses to start."""
    environment = {**os.environ, "CALL_TOKEN_PRIVATE_KEY": PRIVATE_KEY, "JWT_SECRET": JWT_SECRET, **settings}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "orchestrator.processes.orchestrator", env=environment, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(30):
        _, errors = await process.communicate()
    return process.returncode, errors.decode()


async def test_an_unreachable_database_is_reported_at_start(mesh: Mesh, redis_url: str, tmp_path: Path) -> None:
    nowhere = f"postgresql+asyncpg://u:p@127.0.0.1:{any_free_port()}/x"
    environment = {**standard(mesh, nowhere, redis_url), "READY_FILE": str(tmp_path / "ready")}
    assert await refusal(environment) == (2, "orchestrator: the database of DATABASE_URL cannot be reached; start it, or correct the URL\n")
    assert not (tmp_path / "ready").exists()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"username": "nobody"}, 'password authentication failed for user "nobody"'),
        ({"database": "nowhere"}, 'database "nowhere" does not exist'),
    ],
)
async def test_a_refused_database_connection_is_explained_on_one_line(
    wrong: dict[str, str], message: str, mesh: Mesh, books_url: str, redis_url: str
) -> None:
    url = make_url(books_url).set(**wrong).render_as_string(hide_password=False)  # type: ignore[arg-type]
    code, errors = await refusal(standard(mesh, url, redis_url))
    assert (code, errors.count("\n")) == (2, 1)
    assert f"the database of DATABASE_URL refuses the connection: {message}; correct the user" in errors


async def test_missing_definitions_are_reported_at_start(mesh: Mesh, books_url: str, redis_url: str) -> None:
    code, errors = await refusal({**standard(mesh, books_url, redis_url), "DEFINITIONS_PATH": "/nowhere"})
    assert (code, errors.count("\n")) == (2, 1)
    assert "DEFINITIONS_PATH" in errors


@pytest.mark.parametrize("name", ["admin", "Admin", "ADMIN"])
async def test_the_first_administrators_name_cannot_be_registered(mesh: Mesh, name: str) -> None:
    """Not even before the account exists, as here: the launcher would otherwise present another user's account as the administrator's."""
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await AuthServiceStub(mesh.orchestrator.anonymous).Register(RegisterRequest(username=name, password="a long password"))
    error = documented_error(refused.value)
    assert (error.reason, error.message) == ("USERNAME_TAKEN", f"the name '{name}' is reserved; choose another one")
    assert await mesh.db.fetchval("SELECT count(*) FROM users WHERE lower(username) = 'admin'") == 0
