"""The parts of the platform fail one after the other and return, in a mesh of this module's own."""

import asyncio
import json
import signal
import time
from collections.abc import AsyncIterator

import asyncpg
import grpc
import pytest
from agentmesh.execution.v1 import execution_service_pb2 as pb
from agentmesh.health.v1 import health_service_pb2
from agentmesh.registry.v1 import registry_pb2, registry_service_pb2

from mesh.errors import MeshError, RemoteError
from tests.adapters.agent_host.running import agent_id
from tests.rpc.orchestrator.fragile import FragileMesh, fragile_mesh
from tests.rpc.orchestrator.running import Call, documented_error, failure_of, read
from tests.support.waiting import eventually


@pytest.fixture(scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[FragileMesh]:
    async with fragile_mesh(tmp_path_factory.mktemp("fragile")) as mesh:
        yield mesh


@pytest.fixture
async def mesh(shared: FragileMesh) -> AsyncIterator[FragileMesh]:
    """Every part is running before and after each test, and no intent is open in the books afterwards."""
    await shared.restore()
    yield shared
    await shared.restore()

    async def all_settled() -> bool:
        return bool(await shared.db.fetchval("SELECT count(*) = 0 FROM executions WHERE status = 'running'"))

    await eventually(all_settled)


async def readiness(mesh: FragileMesh) -> health_service_pb2.GetReadinessResponse:
    return await mesh.orchestrator.health.GetReadiness(health_service_pb2.GetReadinessRequest())


async def unready(mesh: FragileMesh) -> MeshError:
    return await failure_of(mesh.orchestrator.health.GetReadiness(health_service_pb2.GetReadinessRequest()))


def assert_worst_case(row: asyncpg.Record) -> None:
    """The books have the worst case of the call."""
    assert (row["status"], row["usage_estimated"], row["output_tokens"]) == ("outcome_unknown", True, 4096)
    assert row["cost_micro_usd"] == row["input_tokens"] * 2 + 4096 * 10
    assert json.loads(row["failure"])["reason"] == "AGENT_EXECUTION_FAILED"


async def stream_failure(call: Call) -> RemoteError:
    """The error of a stream that fails before its first event."""
    streamed = await read(call.stream())
    assert streamed.events == []
    return documented_error(streamed.failure)


async def test_a_killed_agent_host_is_unavailable_at_once_and_buys_nothing(mesh: FragileMesh) -> None:
    await mesh.call(1).execute()  # one agent has been called before and the other has not
    await mesh.kill_host()
    for call in (mesh.call(1), mesh.call(20)):
        for failure in (failure_of(call.execute()), stream_failure(call)):
            began = time.monotonic()
            error = await failure
            assert time.monotonic() - began < 1
            assert (error.reason, error.retryable, error.retry_after_seconds) == ("AGENT_UNAVAILABLE", True, 1)
        recorded = [(row["status"], row["model"], row["cost_micro_usd"], row["finished_at"] is None) for row in await call.rows()]
        assert recorded == [("failed", None, 0, False)] * 2
        assert await call.purchases() == []


async def test_calls_fail_without_agent_hosts_and_succeed_within_two_seconds_of_their_return(mesh: FragileMesh) -> None:
    await mesh.kill_host()
    request = registry_service_pb2.CheckAgentHealthRequest(agent_id=agent_id(1))
    health = (await mesh.orchestrator.registry.CheckAgentHealth(request)).health
    assert (health.status, health.latency_seconds) == (registry_pb2.AGENT_HEALTH_STATUS_UNREACHABLE, 0)
    error = await unready(mesh)
    assert (error.reason, error.details) == ("SERVICE_UNAVAILABLE", {"component": "agent_hosts"})
    assert (await failure_of(mesh.call().execute())).reason == "AGENT_UNAVAILABLE"
    await mesh.start_host()
    began = time.monotonic()

    async def answered() -> bool:
        code = await mesh.call().execute().code()
        assert code in (grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE)
        return bool(code is grpc.StatusCode.OK)

    await eventually(answered)
    assert time.monotonic() - began < 2
    assert (await readiness(mesh)).status == "ready"


async def test_a_call_whose_agent_host_is_killed_midway_is_recorded_at_its_worst_case(mesh: FragileMesh) -> None:
    call = mesh.call()
    await call.fault("hang")
    execute = call.execute(idempotency_key=call.name)
    await eventually(call.asked)
    began = time.monotonic()
    await mesh.kill_host()
    error = await failure_of(execute)
    assert time.monotonic() - began < 1
    assert (error.reason, error.retryable) == ("AGENT_EXECUTION_FAILED", True)
    assert_worst_case(await call.settled())
    assert await mesh.db.fetchval("SELECT free FROM idempotency_keys WHERE key = $1", call.name)


async def test_a_stream_whose_agent_host_is_killed_midway_reports_it_and_keeps_the_text_sent(mesh: FragileMesh) -> None:
    call = mesh.call()
    await call.fault("trickle", 50)
    reading = asyncio.create_task(read(call.stream()))

    async def begun() -> bool:
        return any(entry["outcome"] == "started" for entry in await call.purchases())

    await eventually(begun)
    await asyncio.wait([reading], timeout=0.3)  # some pieces
    await mesh.kill_host()
    streamed = await reading
    assert streamed.kinds == ["started", "delta", "error"]
    assert streamed.events[-1].error.code == documented_error(streamed.failure).reason == "AGENT_EXECUTION_FAILED"
    row = await call.settled()
    assert_worst_case(row)
    assert row["result"] == streamed.text


async def test_an_agent_host_stopped_midway_is_waited_for_until_the_callers_deadline(mesh: FragileMesh) -> None:
    call = mesh.call()
    await call.fault("hang")
    execute = call.execute(timeout=1.5)
    await eventually(call.asked)
    mesh.host.process.send_signal(signal.SIGSTOP)
    error = await failure_of(execute)
    assert error.reason == "UPSTREAM_TIMEOUT"
    row = await call.settled()
    assert (row["status"], row["usage_estimated"], row["output_tokens"]) == ("outcome_unknown", True, 4096)


async def test_without_postgresql_a_call_is_refused_before_anything_is_bought(mesh: FragileMesh) -> None:
    await mesh.kill_postgres()
    bought = mesh.provider.log_file.read_text()
    call = mesh.call()
    refused = [failure_of(call.execute()), failure_of(call.execute(idempotency_key=call.name)), stream_failure(call)]
    for error in await asyncio.gather(*refused):
        assert (error.reason, error.retryable, error.retry_after_seconds) == ("SERVICE_UNAVAILABLE", True, 1)
        assert error.details == {"component": "postgresql"}
    assert mesh.provider.log_file.read_text() == bought


async def test_without_postgresql_reads_and_logins_fail_and_probes_answer(mesh: FragileMesh) -> None:
    await mesh.kill_postgres()
    executions = mesh.orchestrator.executions
    for asked in (
        executions.ListExecutions(pb.ListExecutionsRequest()),
        executions.GetExecution(pb.GetExecutionRequest(execution_id="0192f0c1-0000-7000-8000-000000000000")),
    ):
        assert (await failure_of(asked)).reason == "SERVICE_UNAVAILABLE"
    assert (await unready(mesh)).details == {"component": "postgresql"}
    assert (await mesh.orchestrator.health.GetHealth(health_service_pb2.GetHealthRequest())).status == "healthy"

    async def refused() -> bool:
        """An authenticated caller is remembered for a second."""
        try:
            await mesh.orchestrator.registry.ListAgents(registry_service_pb2.ListAgentsRequest())
        except grpc.aio.AioRpcError as failure:
            return documented_error(failure).reason == "SERVICE_UNAVAILABLE"
        return False

    await eventually(refused)


async def test_a_call_in_progress_while_postgresql_is_killed_is_answered_and_settled_after_its_return(mesh: FragileMesh) -> None:
    calls = [mesh.call() for _ in range(8)]
    for call in calls:
        await call.fault("delay", 600)
    under_way = [call.execute() for call in calls]
    for call in calls:
        await eventually(call.asked)
    await mesh.kill_postgres()
    assert (await failure_of(mesh.call().execute())).reason == "SERVICE_UNAVAILABLE"
    done, _ = await asyncio.wait([asyncio.ensure_future(under_way[0])], timeout=1)
    assert not done  # answered by the agent, but not yet settled
    await mesh.start_postgres()
    answers = [await execute for execute in under_way]
    assert [(await call.settled())["result"] for call in calls] == [answer.result for answer in answers]
    assert (await mesh.call().execute()).result


async def test_without_redis_calls_succeed_and_the_platform_is_degraded(mesh: FragileMesh) -> None:
    await mesh.redis.stop()
    degraded = await readiness(mesh)
    assert degraded.status == "degraded"
    assert [part.name for part in degraded.components if not part.available] == ["redis"]
    call = mesh.call()
    assert (await call.execute()).result
    assert (await read(mesh.call().stream())).failure is None
    await mesh.redis.start()

    async def ready() -> bool:
        return (await readiness(mesh)).status == "ready"

    await eventually(ready)


async def test_a_call_cancelled_while_postgresql_is_down_is_settled(mesh: FragileMesh) -> None:
    call = Call(mesh)
    await call.fault("hang")
    execute = call.execute()
    await eventually(call.asked)
    await mesh.kill_postgres()
    execute.cancel()

    async def over() -> bool:
        return await mesh.provider.idle()

    await eventually(over, within=2)
    await mesh.start_postgres()
    assert (await call.settled())["status"] == "cancelled"
