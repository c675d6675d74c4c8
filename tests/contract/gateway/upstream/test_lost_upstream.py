"""The orchestrator is down, or is lost during a call: UNAVAILABLE means that nothing was bought (decision 4)."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from agentmesh.execution.v1 import execution_service_pb2 as execution
from agentmesh.execution.v1.execution_service_pb2_grpc import ExecutionServiceStub
from agentmesh.registry.v1 import registry_service_pb2 as registry
from agentmesh.registry.v1.registry_service_pb2_grpc import RegistryServiceStub
from google.rpc import error_details_pb2, status_pb2

from deploy.local.supervision.waiting import holds_within
from mesh.rpc.status import find
from tests.contract.gateway.backend import AGENT_ID, Backend
from tests.contract.gateway.relay import Relay
from tests.contract.gateway.running import Gateway, lone_gateway, running_gateway
from tests.contract.gateway.wire import error_of, frame

AGENT = f"/api/v1/agents/{AGENT_ID}"
WORK = execution.ExecuteAgentRequest(agent_id=AGENT_ID, input="x")
STREAM = execution.StreamAgentRequest(agent_id=AGENT_ID, input="x")
READ = registry.GetAgentRequest(agent_id=AGENT_ID)
Lose = Callable[[], Awaitable[None]]


@pytest.fixture
async def relay(upstream: tuple[Backend, Relay], gateway: Gateway) -> AsyncIterator[Relay]:
    """The network between gateway and orchestrator, repaired afterwards."""
    backend, relay = upstream
    yield relay
    if not await gateway.answers():
        await relay.refuse()
        await backend.stop()
        await backend.start()
        relay.target = backend.port
        await relay.accept()
        assert await holds_within(5, gateway.answers)


@pytest.fixture(params=["the connection breaks", "the server stops"])
def lose(request: pytest.FixtureRequest, relay: Relay, backend: Backend) -> Lose:
    """Two ways to lose a call in flight."""

    async def lose() -> None:
        if request.param == "the server stops":
            await backend.stop()
            await relay.refuse()
        relay.cut()

    return lose


async def _while_under_way(backend: Backend, call: Awaitable[Any], lose: Lose) -> Any:
    """Makes the call, breaks it while the orchestrator works on it, and returns its outcome."""
    begun = asyncio.Event()

    async def work(request: Any, context: Any) -> Any:
        begun.set()
        await asyncio.sleep(30)

    async def stream(request: Any, context: Any) -> AsyncIterator[Any]:
        await work(request, context)
        yield

    backend.script.answer, backend.script.events = work, stream
    task = asyncio.ensure_future(call)
    async with asyncio.timeout(5):
        await begun.wait()
    await lose()
    async with asyncio.timeout(5):
        return (await asyncio.gather(task, return_exceptions=True))[0]


def _reason(failure: Any, code: grpc.StatusCode) -> str:
    assert isinstance(failure, grpc.aio.AioRpcError), failure
    assert failure.code() is code, failure
    raw = dict(failure.trailing_metadata() or ())["grpc-status-details-bin"]
    assert isinstance(raw, bytes)
    status = status_pb2.Status.FromString(raw)
    assert (status.code, status.message) == (code.value[0], failure.details())
    info = find(status, error_details_pb2.ErrorInfo())
    assert info is not None
    assert (find(status, error_details_pb2.RetryInfo()) is not None) == (code is grpc.StatusCode.UNAVAILABLE)
    return str(info.reason)


@pytest.mark.parametrize("method", ["execute", "stream"])
async def test_a_rest_call_lost_in_flight_has_an_unknown_outcome(gateway: Gateway, backend: Backend, lose: Lose, method: str) -> None:
    call = gateway.http.post(f"{AGENT}/{method}", json={"input": "x"})
    error = error_of(await _while_under_way(backend, call, lose), 500, "AGENT_EXECUTION_FAILED")
    assert "/api/v1/executions" in error["message"]
    assert error["details"]["outcome"] == "unknown"


async def test_a_native_execute_lost_in_flight_is_never_unavailable(gateway: Gateway, backend: Backend, lose: Lose) -> None:
    failure = await _while_under_way(backend, ExecutionServiceStub(gateway.channel).ExecuteAgent(WORK, timeout=20), lose)
    assert _reason(failure, grpc.StatusCode.INTERNAL) == "AGENT_EXECUTION_FAILED"


async def test_a_native_stream_lost_before_its_first_event_is_never_unavailable(gateway: Gateway, backend: Backend, lose: Lose) -> None:
    call = ExecutionServiceStub(gateway.channel).StreamAgent(STREAM, timeout=20)
    failure = await _while_under_way(backend, asyncio.ensure_future(call.read()), lose)
    assert _reason(failure, grpc.StatusCode.INTERNAL) == "AGENT_EXECUTION_FAILED"


async def test_a_grpc_web_execute_lost_in_flight_is_never_unavailable(gateway: Gateway, backend: Backend, lose: Lose) -> None:
    headers = {"content-type": "application/grpc-web+proto"}
    path = "/agentmesh.execution.v1.ExecutionService/ExecuteAgent"
    call = gateway.http.post(path, content=frame(WORK.SerializeToString()), headers=headers)
    response = await _while_under_way(backend, call, lose)
    assert (response.status_code, response.headers["grpc-status"]) == (200, "13"), response.headers


async def test_a_read_whose_connection_breaks_is_retried(gateway: Gateway, backend: Backend, relay: Relay) -> None:
    begun = asyncio.Event()

    async def second_time(request: Any, context: Any) -> Any:
        if not begun.is_set():
            begun.set()
            await asyncio.sleep(30)
        return registry.GetAgentResponse()

    backend.script.answer = second_time
    call = asyncio.create_task(gateway.http.get(AGENT))
    async with asyncio.timeout(5):
        await begun.wait()
        relay.cut()
        assert (await call).status_code == 200


async def test_a_read_whose_server_stops_may_be_repeated(gateway: Gateway, backend: Backend, relay: Relay) -> None:
    error = error_of(await _while_under_way(backend, gateway.http.get(AGENT), backend.stop), 503, "SERVICE_UNAVAILABLE")
    assert error["details"]["retryable"] is True
    await relay.refuse()


async def test_a_native_read_whose_server_stops_may_be_repeated(gateway: Gateway, backend: Backend, relay: Relay) -> None:
    failure = await _while_under_way(backend, RegistryServiceStub(gateway.channel).GetAgent(READ, timeout=20), backend.stop)
    assert _reason(failure, grpc.StatusCode.UNAVAILABLE) == "SERVICE_UNAVAILABLE"
    await relay.refuse()


async def test_a_rest_stream_lost_after_its_first_event_does_not_look_complete(gateway: Gateway, backend: Backend, relay: Relay) -> None:
    async def one_event(request: Any, context: Any) -> AsyncIterator[Any]:
        yield execution.StreamAgentResponse(sequence=1, delta=execution.Delta(text="half"))
        await asyncio.sleep(30)

    backend.script.events = one_event
    async with gateway.http.stream("POST", f"{AGENT}/stream", json={"input": "x"}) as response:
        lines = response.aiter_lines()
        assert await anext(lines) == "id: 1"
        assert "half" in await anext(lines)
        relay.cut()
        with pytest.raises(httpx.RemoteProtocolError):
            [line async for line in lines]


@pytest.mark.parametrize("method", ["execute", "stream"])
async def test_without_an_orchestrator_rest_calls_are_unavailable(gateway: Gateway, relay: Relay, method: str) -> None:
    await relay.refuse()
    error = error_of(await gateway.http.post(f"{AGENT}/{method}", json={"input": "x"}), 503, "SERVICE_UNAVAILABLE")
    assert error["details"] == {"component": "orchestrator", "retryable": True, "retry_after_seconds": 1}


async def test_without_an_orchestrator_native_calls_are_unavailable(gateway: Gateway, relay: Relay) -> None:
    await relay.refuse()
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await ExecutionServiceStub(gateway.channel).ExecuteAgent(WORK, timeout=5)
    assert _reason(failure.value, grpc.StatusCode.UNAVAILABLE) == "SERVICE_UNAVAILABLE"


async def test_an_orchestrator_known_to_be_down_is_unavailable(gateway: Gateway, relay: Relay) -> None:
    await relay.refuse()

    async def given_up() -> bool:
        return "failed_active_hc" in await gateway.admin("/clusters")

    assert await holds_within(15, given_up)
    error_of(await gateway.http.post(f"{AGENT}/execute", json={"input": "x"}), 503, "SERVICE_UNAVAILABLE")
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await ExecutionServiceStub(gateway.channel).ExecuteAgent(WORK, timeout=5)
    assert _reason(failure.value, grpc.StatusCode.UNAVAILABLE) == "SERVICE_UNAVAILABLE"


async def test_an_orchestrator_that_returns_is_used_at_once(gateway: Gateway, relay: Relay) -> None:
    await relay.refuse()

    async def refused() -> bool:
        return not await gateway.answers()

    assert await holds_within(5, refused)
    await relay.accept()
    began = asyncio.get_running_loop().time()
    assert await holds_within(5, gateway.answers)
    assert asyncio.get_running_loop().time() - began < 1


async def test_an_orchestrator_started_after_the_gateway_is_used_without_a_request(backend: Backend, tmp_path: Path) -> None:
    relay = Relay()
    relay.target = backend.port
    await relay.accept()
    await relay.refuse()
    async with lone_gateway(tmp_path, relay.port) as gateway:
        assert "failed_active_hc" in await gateway.admin("/clusters")
        await relay.accept()
        assert await holds_within(1, lambda: _all_healthy(gateway, 1))
        assert await gateway.answers()
    await relay.refuse()


async def test_a_draining_orchestrator_finishes_its_calls_and_gets_no_new_ones(gateway: Gateway, backend: Backend, relay: Relay) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def work(request: Any, context: Any) -> Any:
        begun.set()
        await go_on.wait()
        return execution.ExecuteAgentResponse(result="done")

    async def refused() -> bool:
        return not await gateway.answers()

    backend.script.answer = work
    call = asyncio.create_task(gateway.http.post(f"{AGENT}/execute", json={"input": "x"}))
    async with asyncio.timeout(5):
        await begun.wait()
    await backend.health.set("", False)
    assert await holds_within(10, refused)
    go_on.set()
    assert (await call).json()["result"] == "done"
    await backend.health.set("", True)
    assert await holds_within(5, gateway.answers)


async def test_with_two_orchestrators_no_read_is_lost_when_one_stops(backend: Backend, tmp_path: Path) -> None:
    relays = [Relay(), Relay()]
    for relay in relays:
        relay.target = backend.port
        await relay.accept()
    async with running_gateway(tmp_path, *(relay.port for relay in relays)) as gateway:
        for relay in relays:
            await relay.refuse()
            statuses = [(await gateway.http.get(AGENT)).status_code for _ in range(50)]
            assert statuses == [200] * 50
            await relay.accept()
            assert await holds_within(5, lambda: _all_healthy(gateway, 2))
    for relay in relays:
        await relay.refuse()


async def _all_healthy(gateway: Gateway, hosts: int) -> bool:
    return (await gateway.admin("/clusters")).count("health_flags::healthy") == hosts
