"""Timeouts and limits, with settings small enough to reach them."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from agentmesh.execution.v1 import execution_service_pb2 as execution
from agentmesh.execution.v1.execution_service_pb2_grpc import ExecutionServiceStub
from agentmesh.identity.v1 import identity_service_pb2 as identity
from agentmesh.identity.v1.identity_service_pb2_grpc import AuthServiceStub
from agentmesh.registry.v1 import registry_service_pb2 as registry
from agentmesh.registry.v1.registry_service_pb2_grpc import RegistryServiceStub

from mesh.rpc.status import error_of as error_of_status
from tests.contract.gateway.backend import AGENT_ID, Backend
from tests.contract.gateway.relay import Relay
from tests.contract.gateway.running import Gateway, running_gateway
from tests.contract.gateway.wire import error_of, events_of, exchange

AGENT = f"/api/v1/agents/{AGENT_ID}"
ASK = {"input": "x"}


@pytest.fixture(scope="module")
async def impatient_gateway(upstream: tuple[Backend, Relay], tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    """A gateway with short timeouts."""
    waits: dict[str, Any] = {"headers_timeout_seconds": 0.3, "request_timeout_seconds": 0.6, "call_timeout_seconds": 0.5}
    async with running_gateway(
        tmp_path_factory.mktemp("impatient"), upstream[1].port, agent_timeout_seconds=1.5, stream_idle_seconds=1, **waits
    ) as gateway:
        yield gateway


@pytest.fixture
def impatient(impatient_gateway: Gateway, backend: Backend) -> Gateway:
    """The same, with an orchestrator that never answers."""

    async def never(request: Any, context: Any) -> Any:
        await asyncio.sleep(30)

    backend.script.answer = never
    return impatient_gateway


async def _seconds(call: Any) -> tuple[Any, float]:
    began = asyncio.get_running_loop().time()
    result = (await asyncio.gather(call, return_exceptions=True))[0]
    return result, asyncio.get_running_loop().time() - began


async def test_a_slow_read_is_an_upstream_timeout(impatient: Gateway) -> None:
    response, seconds = await _seconds(impatient.http.get(AGENT))
    error_of(response, 504, "UPSTREAM_TIMEOUT")
    assert 0.4 < seconds < 1.4


async def test_an_execute_call_may_take_longer_than_other_calls_and_than_an_idle_stream(impatient: Gateway) -> None:
    response, seconds = await _seconds(impatient.http.post(f"{AGENT}/execute", json=ASK))
    error_of(response, 504, "UPSTREAM_TIMEOUT")
    assert 1.4 < seconds < 3


async def test_a_slow_native_call_is_deadline_exceeded_with_details(impatient: Gateway) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await RegistryServiceStub(impatient.channel).GetAgent(registry.GetAgentRequest(agent_id=AGENT_ID), timeout=10)
    assert failure.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    error = error_of_status(failure.value)
    assert error is not None
    assert error.reason == "UPSTREAM_TIMEOUT"


async def test_an_expired_deadline_of_the_caller_is_an_upstream_timeout(gateway: Gateway, backend: Backend) -> None:
    async def never(request: Any, context: Any) -> Any:
        await asyncio.sleep(30)

    backend.script.answer = never
    error_of(await gateway.http.get(AGENT, headers={"grpc-timeout": "300m"}), 504, "UPSTREAM_TIMEOUT")


async def test_a_stream_with_events_may_outlast_every_timeout(impatient: Gateway, backend: Backend) -> None:
    async def beats(request: Any, context: Any) -> AsyncIterator[Any]:
        for sequence in range(1, 8):
            yield execution.StreamAgentResponse(sequence=sequence, heartbeat=execution.Heartbeat())
            await asyncio.sleep(0.35)

    backend.script.events = beats
    response, seconds = await _seconds(impatient.http.post(f"{AGENT}/stream", json=ASK))
    assert len(events_of(response.text)) == 7
    assert seconds > 2


async def test_an_idle_stream_is_reset_and_does_not_look_complete(impatient: Gateway, backend: Backend) -> None:
    stopped = asyncio.Event()

    async def falls_silent(request: Any, context: Any) -> AsyncIterator[Any]:
        yield execution.StreamAgentResponse(sequence=1, heartbeat=execution.Heartbeat())
        try:
            await asyncio.sleep(30)
        finally:
            stopped.set()

    backend.script.events = falls_silent
    failure, seconds = await _seconds(impatient.http.post(f"{AGENT}/stream", json=ASK))
    assert isinstance(failure, httpx.RemoteProtocolError)
    assert 0.9 < seconds < 3
    async with asyncio.timeout(1):
        await stopped.wait()


async def test_a_stream_that_never_begins_is_an_upstream_timeout(impatient: Gateway, backend: Backend) -> None:
    async def never(request: Any, context: Any) -> AsyncIterator[Any]:
        await asyncio.sleep(30)
        yield

    backend.script.events = never
    response, _ = await _seconds(impatient.http.post(f"{AGENT}/stream", json=ASK))
    error_of(response, 504, "UPSTREAM_TIMEOUT")
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await (
            ExecutionServiceStub(impatient.channel)
            .StreamAgent(execution.StreamAgentRequest(agent_id=AGENT_ID, input="x"), timeout=10)
            .read()
        )
    assert failure.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_headers_that_never_arrive_are_a_bad_request(impatient: Gateway) -> None:
    error = error_of(await exchange(impatient.port, b"GET / HTTP/1.1\r\nHost: x\r\n"), 400, "BAD_REQUEST")
    assert error["details"]["cause"] == "request_header_timeout"


async def test_a_body_that_never_arrives_is_a_bad_request(impatient: Gateway) -> None:
    head = f"POST {AGENT}/execute HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 20\r\n\r\n{{"
    error = error_of(await exchange(impatient.port, head.encode()), 400, "BAD_REQUEST")
    assert error["details"]["cause"] == "request_overall_timeout"


@pytest.fixture(scope="module")
async def narrow_gateway(upstream: tuple[Backend, Relay], tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    """A gateway that accepts bursts of ten requests from an address, and two a second on average."""
    async with running_gateway(tmp_path_factory.mktemp("narrow"), upstream[1].port, per_ip_rate=2, per_ip_burst=10) as gateway:
        yield gateway


@pytest.fixture
def narrow(narrow_gateway: Gateway, backend: Backend) -> Gateway:
    """The same, with a backend that has been reset."""
    return narrow_gateway


async def test_an_address_over_its_limit_gets_retry_after_and_others_are_not_affected(narrow: Gateway) -> None:
    responses = [await narrow.http.get("/api/v1/agents") for _ in range(15)]
    refused = [response for response in responses if response.status_code != 200]
    assert len(refused) >= 3
    error = error_of(refused[-1], 429, "RATE_LIMIT_EXCEEDED")
    assert error["details"] == {"retryable": True, "retry_after_seconds": 1}
    elsewhere = httpx.AsyncHTTPTransport(local_address="127.0.0.2")
    async with httpx.AsyncClient(transport=elsewhere, base_url=narrow.http.base_url) as other:
        assert (await other.get("/api/v1/agents")).status_code == 200
    calls = (RegistryServiceStub(narrow.channel).ListAgents(registry.ListAgentsRequest(), timeout=5) for _ in range(15))
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await asyncio.gather(*calls)
    assert failure.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    reason = error_of_status(failure.value)
    assert reason is not None
    assert (reason.reason, reason.retry_after_seconds) == ("RATE_LIMIT_EXCEEDED", 1)


async def test_a_forged_forwarded_address_does_not_raise_the_limit(narrow: Gateway) -> None:
    responses = [await narrow.http.get("/api/v1/agents", headers={"x-forwarded-for": f"192.0.2.{n}"}) for n in range(15)]
    assert responses[-1].status_code == 429


async def test_an_address_that_waits_for_retry_after_is_accepted(narrow: Gateway) -> None:
    while (response := await narrow.http.get("/api/v1/agents")).status_code == 200:
        pass
    await asyncio.sleep(int(response.headers["retry-after"]))  # the test checks the announced wait
    assert (await narrow.http.get("/api/v1/agents")).status_code == 200


async def test_logins_have_their_own_bucket_for_each_address(upstream: tuple[Backend, Relay], tmp_path: Path) -> None:
    login = identity.LoginRequest(username="ada", password="correct horse")
    async with running_gateway(tmp_path, upstream[1].port, per_ip_login_rate=1, per_ip_login_burst=3) as gateway:
        paths = [f"/api/v1/auth/{name}" for name in ("login", "register", "refresh")]
        answers = [await gateway.http.post(path, json={}) for path in (*paths, *paths)]
        error_of(answers[-1], 429, "RATE_LIMIT_EXCEEDED")
        assert [answer.status_code for answer in answers[:3]] == [501] * 3  # this backend does not serve them
        refused = (await asyncio.gather(*(_login(gateway, login) for _ in range(20))))[-1]
        known = error_of_status(refused)
        assert known is not None
        assert known.reason == "RATE_LIMIT_EXCEEDED"
        assert (await gateway.http.get("/api/v1/agents")).status_code == 200


@pytest.mark.parametrize("path", ["/ready", "/health"])
async def test_probes_have_their_own_bucket_for_each_address(upstream: tuple[Backend, Relay], tmp_path: Path, path: str) -> None:
    async with running_gateway(tmp_path, upstream[1].port, per_ip_probe_rate=1, per_ip_probe_burst=20) as gateway:
        answers = await asyncio.gather(*(gateway.http.get(path) for _ in range(40)))
        refused = [answer for answer in answers if answer.status_code == 429]
        assert len(refused) >= 15
        assert "health and readiness: 1)" in error_of(refused[0], 429, "RATE_LIMIT_EXCEEDED")["message"]
        assert (await gateway.http.get("/api/v1/agents")).status_code == 200
        elsewhere = httpx.AsyncHTTPTransport(local_address="127.0.0.3")
        async with httpx.AsyncClient(transport=elsewhere, base_url=gateway.http.base_url) as probe:
            assert (await probe.get(path)).status_code != 429


async def _login(gateway: Gateway, request: identity.LoginRequest) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await AuthServiceStub(gateway.channel).Login(request, timeout=10)
    return failed.value


async def test_an_idle_connection_is_closed(upstream: tuple[Backend, Relay], tmp_path: Path) -> None:
    async with running_gateway(tmp_path, upstream[1].port, connection_idle_seconds=0.5) as gateway, asyncio.timeout(10):
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        assert await reader.read() == b""
        writer.close()
        assert await gateway.answers()
