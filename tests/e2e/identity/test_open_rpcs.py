"""Without a credential, only the rpcs that the contract declares open can be called."""

import re
from typing import Any

import grpc
import httpx
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest
from grpc_health.v1.health_pb2_grpc import HealthStub
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from tests.contract.gateway.wire import error_of
from tests.e2e.definitions import AGENT
from tests.e2e.identity.contract_rpcs import ContractRpc, every_rpc
from tests.e2e.platform import Platform

RPCS = every_rpc()
CLOSED = [rpc for rpc in RPCS if not rpc.open]
OPEN = {
    "AuthService.Register",
    "AuthService.Login",
    "AuthService.RefreshToken",
    "HealthService.GetHealth",
    "HealthService.GetReadiness",
}


def test_exactly_these_rpcs_are_open() -> None:
    assert {rpc.name for rpc in RPCS if rpc.open} == OPEN


@pytest.mark.parametrize("rpc", CLOSED, ids=[rpc.name for rpc in CLOSED])
async def test_an_rpc_without_a_credential_is_refused_at_every_entry_point(platform: Platform, rpc: ContractRpc) -> None:
    """The request is empty: an unauthenticated caller must not learn whether it would have been valid."""
    refusals = [await rpc.reason(channel, rpc.request()) for channel in platform.anonymous_channels.values()]
    for binding in rpc.rest.bindings:
        path = re.sub(r"\{[^}]*}", "x", binding.template.replace("{agent_id}", AGENT).replace("{user_id}", "1"))
        rest = await platform.anonymous.request(binding.method, path, json={} if binding.method == "POST" else None)
        error_of(rest, 401, "AUTH_INVALID_CREDENTIALS")
        assert rest.headers["www-authenticate"] == 'Bearer realm="agentmesh"'
    assert refusals == ["AUTH_INVALID_CREDENTIALS"] * 2


async def test_undecodable_bytes_without_a_credential_are_unauthenticated(platform: Platform) -> None:
    for channel in platform.anonymous_channels.values():
        rpc: Any = channel.unary_unary("/agentmesh.execution.v1.ExecutionService/ExecuteAgent")
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await rpc(b"\xff\xff\xff")
        assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_health_and_reflection_are_open(platform: Platform) -> None:
    for channel in platform.anonymous_channels.values():
        assert (await HealthStub(channel).Check(HealthCheckRequest())).status == 1
        request = reflection_pb2.ServerReflectionRequest(list_services="")
        answers = [answer async for answer in reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(iter([request]))]
        assert len(answers) == 1


@pytest.mark.parametrize("path", ["/health", "/ready", "/openapi.json", "/"])
async def test_the_health_endpoints_and_the_openapi_document_are_open(platform: Platform, path: str) -> None:
    assert (await platform.anonymous.get(path)).status_code == 200


async def test_an_open_rpc_ignores_an_invalid_credential(platform: Platform) -> None:
    """A client with an expired token must be able to log in."""
    answer: httpx.Response = await platform.anonymous.get("/health", headers={"authorization": "Bearer nonsense"})
    assert answer.status_code == 200


async def test_a_header_that_names_a_user_is_ignored(platform: Platform) -> None:
    headers = {"x-user-id": "1", "x-user-role": "admin", "x-forwarded-user": "admin", "x-mesh-caller": "1"}
    error_of(await platform.anonymous.get("/api/v1/auth/me", headers=headers), 401, "AUTH_INVALID_CREDENTIALS")
