"""A new rpc is counted by the limit for the kind that its contract declares."""

from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from agentmesh.health.v1.health_service_pb2 import GetHealthRequest, GetHealthResponse

from mesh.limits.admission import Admission
from mesh.rpc.access import RpcKind, access_of
from mesh.rpc.interceptors.admission import AdmissionControl
from mesh.rpc.interceptors.authentication import Authentication
from mesh.rpc.interceptors.chain import chain
from mesh.rpc.interceptors.failed_credentials import FailedCredentials
from mesh.rpc.interceptors.limits import Limits
from mesh.rpc.interceptors.permission import Permission
from mesh.rpc.peer import Peers
from mesh.rpc.serving.server import build_server
from orchestrator.adapters.limits.local import LocalLimits
from tests.rpc.mesh.test_interceptors import ALLOWANCES, FAILURES, ByScope, InProcess, Names, NoSessions, error
from tests.support import made_up

BOB = (("authorization", "Bearer bob"),)


async def _answer(request: Any, context: Any) -> GetHealthResponse:
    return GetHealthResponse(status="ok")


@pytest.fixture
async def served() -> AsyncIterator[grpc.aio.Channel]:
    """A server of the made-up service with the interceptors."""
    made_up.register()
    peers = Peers([])
    checks = (
        Authentication(Names(), FailedCredentials(LocalLimits(), FAILURES), peers),
        Limits(InProcess(), NoSessions(), ALLOWANCES, peers),
        Permission(ByScope()),
    )
    server = build_server(chain(*checks, admission=AdmissionControl(Admission(), "orchestrator")))
    handler = grpc.unary_unary_rpc_method_handler(
        _answer, request_deserializer=GetHealthRequest.FromString, response_serializer=GetHealthResponse.SerializeToString
    )
    names = (path.rpartition("/")[2] for path in (made_up.PAID, made_up.LOGIN, made_up.PROBE, made_up.PLAIN))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(made_up.SERVICE, dict.fromkeys(names, handler)),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield channel
    await server.stop(None)


@pytest.mark.parametrize(
    ("path", "limit", "allowed", "metadata"),
    [
        (made_up.PAID, "agent_calls", ALLOWANCES.agent_calls, BOB),
        (made_up.PLAIN, "calls_of_address", ALLOWANCES.open_calls_of_address, ()),
        (made_up.LOGIN, "logins_of_address", ALLOWANCES.logins_of_address, ()),
    ],
)
async def test_the_kind_decides_the_limit(served: grpc.aio.Channel, path: str, limit: str, allowed: int, metadata: Any) -> None:
    rpc: Any = served.unary_unary(path)
    for _ in range(allowed):
        await rpc(b"", metadata=metadata, timeout=10)
    refused = await error(rpc(b"", metadata=metadata, timeout=10))
    assert (refused.reason, refused.details["limit"]) == ("RATE_LIMIT_EXCEEDED", limit)


async def test_a_probe_is_never_limited(served: grpc.aio.Channel) -> None:
    rpc: Any = served.unary_unary(made_up.PROBE)
    for _ in range(50):
        await rpc(b"", timeout=10)


async def test_a_paid_call_needs_a_credential(served: grpc.aio.Channel) -> None:
    rpc: Any = served.unary_unary(made_up.PAID)
    assert (await error(rpc(b"", timeout=10))).reason == "AUTH_INVALID_CREDENTIALS"


@pytest.mark.parametrize("path", ["/agentmesh.made_up.v1.Oracle/Nothing", "/grpc.health.v1.Health/Check"])
def test_an_rpc_without_a_declaration_has_no_access(path: str) -> None:
    made_up.register()
    with pytest.raises(LookupError):
        access_of(path)


def test_describe_is_open_and_internal() -> None:
    described = access_of("/agentmesh.agent.v1.AgentService/Describe")
    assert (described.open, described.internal, described.kind) == (True, True, RpcKind.STANDARD)
