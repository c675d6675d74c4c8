"""The gateway in front of an overloaded orchestrator."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import httpx
import pytest
from agentmesh.registry.v1 import registry_service_pb2 as registry
from agentmesh.registry.v1.registry_service_pb2_grpc import RegistryServiceStub

from deploy.local.supervision.waiting import holds_within
from mesh import correlation
from mesh.errors import ServiceUnavailable
from mesh.rpc.interceptors.admission import OVERLOADED, OVERLOADED_KNOWN
from mesh.rpc.interceptors.authentication import ACCEPTED_KEY, ASK_KEY
from mesh.rpc.interceptors.behaviour import metadata_value
from mesh.rpc.interceptors.errors import TRANSCODED_KEY
from mesh.rpc.refusal import StandingRefusal
from mesh.rpc.status import error_of as error_of_status
from tests.contract.gateway.backend import Backend
from tests.contract.gateway.relay import Relay
from tests.contract.gateway.running import Gateway, running_gateway
from tests.contract.gateway.wire import error_of

REFUSAL = StandingRefusal(ServiceUnavailable("too much", component="orchestrator", cause="overloaded"), OVERLOADED_KNOWN)
CALLS = 300
CREDENTIAL = {"authorization": "Bearer good"}


async def refuse(_: Any, context: Any) -> Any:
    transcoded = metadata_value(context, TRANSCODED_KEY) is not None
    await context.abort(REFUSAL.code, REFUSAL.message, trailing_metadata=REFUSAL.trailers(correlation.current(), transcoded=transcoded))


async def many(gateway: Gateway, calls: int = CALLS) -> list[httpx.Response]:
    """The responses to `calls` calls, ten at a time."""
    return [
        answer
        for _ in range(calls // 10)
        for answer in await asyncio.gather(*(gateway.http.get("/api/v1/agents", headers=CREDENTIAL) for _ in range(10)))
    ]


async def accept(_: Any, context: Any) -> Any:
    await context.send_initial_metadata(((ACCEPTED_KEY, metadata_value(context, ASK_KEY)),))
    return registry.ListAgentsResponse()


@pytest.fixture
async def fresh(upstream: tuple[Backend, Relay], backend: Backend, tmp_path: Any) -> AsyncIterator[Gateway]:
    """A gateway that has forwarded only one call, of a caller that it now knows."""
    async with running_gateway(tmp_path, upstream[1].port) as gateway:
        backend.script.answer = accept
        await gateway.http.get("/api/v1/agents", headers=CREDENTIAL)
        backend.reset()
        yield gateway


async def test_most_refusals_are_made_at_the_gateway_and_look_like_the_orchestrators(fresh: Gateway, backend: Backend) -> None:
    backend.script.answer = refuse
    for response in await many(fresh):
        error = error_of(response, 503, "SERVICE_UNAVAILABLE")
        assert error["details"] == {"component": "orchestrator", "cause": "overloaded", "retryable": True, "retry_after_seconds": 1}
        assert response.headers["retry-after"] == "1"
        assert OVERLOADED[0] not in response.headers
    assert len(backend.script.requests) < CALLS / 3


async def test_native_callers_get_the_same_refusal(fresh: Gateway, backend: Backend) -> None:
    backend.script.answer = refuse
    stub = RegistryServiceStub(fresh.channel)
    for _ in range(CALLS):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.ListAgents(registry.ListAgentsRequest(), metadata=tuple(CREDENTIAL.items()), timeout=10)
        known = error_of_status(refused.value)
        assert known is not None
        assert (known.reason, known.retry_after_seconds) == ("SERVICE_UNAVAILABLE", 1.0)
        assert known.details == {"component": "orchestrator", "cause": "overloaded"}
        metadata = [*(refused.value.initial_metadata() or ()), *(refused.value.trailing_metadata() or ())]
        assert OVERLOADED[0] not in [key for key, _ in metadata]
    assert len(backend.script.requests) < CALLS / 3


async def test_probes_pass_and_calls_pass_again_when_they_are_accepted(fresh: Gateway, backend: Backend) -> None:
    backend.script.answer = refuse
    await many(fresh)
    for path in ("/health", "/ready", "/", "/openapi.json"):
        assert (await fresh.http.get(path)).status_code == 200
    backend.script.answer = None

    async def recovered() -> bool:
        return all(response.status_code == 200 for response in await many(fresh, 50))

    assert await holds_within(20, recovered)


async def test_other_errors_shed_no_calls(fresh: Gateway, backend: Backend) -> None:
    async def failing(_: Any, context: Any) -> Any:
        raise ServiceUnavailable("the database cannot be reached", component="postgresql")

    backend.script.answer = failing
    await many(fresh)
    assert len(backend.script.requests) == CALLS
