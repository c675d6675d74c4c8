"""The interceptors of a service in their order: admission, authentication, limits, permission, validation."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid5

import grpc
import pytest
from agentmesh.execution.v1 import execution_service_pb2 as pb
from agentmesh.execution.v1.execution_service_pb2_grpc import (
    ExecutionServiceServicer,
    ExecutionServiceStub,
    add_ExecutionServiceServicer_to_server,
)
from agentmesh.health.v1 import health_service_pb2 as health
from agentmesh.health.v1.health_service_pb2_grpc import (
    HealthServiceServicer,
    HealthServiceStub,
    add_HealthServiceServicer_to_server,
)
from agentmesh.identity.v1 import identity_service_pb2 as identity
from agentmesh.identity.v1.identity_service_pb2_grpc import AuthServiceServicer, AuthServiceStub, add_AuthServiceServicer_to_server
from grpc_health.v1.health_pb2 import HealthCheckRequest
from grpc_health.v1.health_pb2_grpc import HealthStub
from prometheus_client import REGISTRY

from mesh.errors import MeshError, RemoteError, ServiceUnavailable
from mesh.limits.admission import Admission, Slot
from mesh.limits.limiter import Charge, Verdict
from mesh.rpc.channel import CHANNEL_OPTIONS
from mesh.rpc.interceptors.admission import AdmissionControl
from mesh.rpc.interceptors.authentication import Authentication
from mesh.rpc.interceptors.chain import chain as chain_of
from mesh.rpc.interceptors.failed_credentials import FailedCredentials
from mesh.rpc.interceptors.limits import Allowances, Limits
from mesh.rpc.interceptors.permission import Permission
from mesh.rpc.peer import CLIENT_KEY, GATEWAY_KEY, Peers
from mesh.rpc.serving.server import Health, build_server
from mesh.rpc.status import error_of
from mesh.security.caller import Caller, Scope
from mesh.security.errors import InvalidCredentials, ScopeMissing, TokenExpired
from orchestrator.adapters.limits.local import LocalLimits
from tests.support.clock import SetClock

AGENT = "marketing_seo_strategist_agent_1_1"
WORK = pb.ExecuteAgentRequest(agent_id=AGENT, input="x")
INVALID = pb.ExecuteAgentRequest()
ALLOWANCES = Allowances(
    agent_calls=6, agent_calls_of_key=4, agent_calls_in_flight=2, other_calls=3, open_calls_of_address=3, logins=2, logins_of_address=4
)
FAILURES = 5
NAMES = {"bob": 7, "eve": 8}
SPACE = UUID(int=0)


class Names:
    """Accepts a user name as a credential, and `name+label` as an API key of that user. A key with `only` in its label may only read."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def authenticate(self, credential: str) -> Caller:
        self.asked.append(credential)
        name, _, label = credential.partition("+")
        if name == "expired":
            raise TokenExpired("the token has expired")
        if name == "lost":
            raise ServiceUnavailable("the accounts cannot be read")
        if name not in NAMES:
            raise InvalidCredentials("no user has this name")
        scopes = frozenset({Scope.READ}) if "only" in label else frozenset(Scope)
        return Caller(NAMES[name], name, scopes=scopes, api_key_id=uuid5(SPACE, label) if label else None)


class ByScope:
    """Allows what the scopes of the credential allow."""

    async def permit(self, who: Caller, scope: Scope, method: str) -> None:
        if scope not in who.scopes:
            raise ScopeMissing.of(scope)


class InProcess:
    """The buckets of one process."""

    def __init__(self) -> None:
        self._buckets = LocalLimits()

    async def take(self, charges: Sequence[Charge], watch: Sequence[str] = ()) -> Verdict:
        return self._buckets.take(charges)


class NoSessions:
    """No user has a session."""

    def watched(self, session_id: UUID) -> Sequence[str]:
        return ()

    async def is_revoked(self, session_id: UUID, present: Sequence[bool] | None) -> bool:
        return False


class Services(ExecutionServiceServicer, AuthServiceServicer, HealthServiceServicer):
    """Returns once `go` is set."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.go.set()
        self.under_way = 0

    async def ExecuteAgent(self, request: pb.ExecuteAgentRequest, context: Any) -> pb.ExecuteAgentResponse:
        self.under_way += 1
        try:
            await self.go.wait()
        finally:
            self.under_way -= 1
        return pb.ExecuteAgentResponse(result="fine")

    async def StreamAgent(self, request: pb.StreamAgentRequest, context: Any) -> AsyncIterator[pb.StreamAgentResponse]:
        yield pb.StreamAgentResponse(sequence=1, heartbeat=pb.Heartbeat())
        await self.go.wait()

    async def ListExecutions(self, request: pb.ListExecutionsRequest, context: Any) -> pb.ListExecutionsResponse:
        return pb.ListExecutionsResponse()

    async def Login(self, request: identity.LoginRequest, context: Any) -> identity.LoginResponse:
        return identity.LoginResponse(access_token="token")

    async def GetReadiness(self, request: health.GetReadinessRequest, context: Any) -> health.GetReadinessResponse:
        return health.GetReadinessResponse()


GATEWAY_SECRET = "a secret of the gateway's"


def _through_gateway(address: str) -> tuple[tuple[str, str], ...]:
    return (CLIENT_KEY, address), (GATEWAY_KEY, GATEWAY_SECRET)


@dataclass
class Chain:
    """A server with the chain of interceptors, and its clients."""

    channel: grpc.aio.Channel
    services: Services
    control: Admission
    names: Names
    executions: Any = field(init=False)
    auth: Any = field(init=False)

    def __post_init__(self) -> None:
        self.executions = ExecutionServiceStub(self.channel)
        self.auth = AuthServiceStub(self.channel)

    def execute(self, who: str = "bob", request: pb.ExecuteAgentRequest = WORK, *more: tuple[str, str]) -> Any:
        return self.executions.ExecuteAgent(request, metadata=(("authorization", f"Bearer {who}"), *more), timeout=10)

    def show(self, credential: str, address: str = "192.0.2.1") -> Any:
        """Lists executions, as a caller with this address."""
        metadata = (("authorization", f"Bearer {credential}"), *_through_gateway(address))
        return self.executions.ListExecutions(pb.ListExecutionsRequest(), metadata=metadata, timeout=10)

    def new_key(self, who: str) -> Any:
        """Requests an API key without a name."""
        return self.auth.CreateApiKey(identity.CreateApiKeyRequest(), metadata=(("authorization", f"Bearer {who}"),), timeout=10)

    def list(self, who: str = "bob") -> Any:
        return self.executions.ListExecutions(pb.ListExecutionsRequest(), metadata=(("authorization", f"Bearer {who}"),), timeout=10)

    def login(self, name: str, address: str = "192.0.2.1") -> Any:
        request = identity.LoginRequest(username=name, password="correct horse")
        return self.auth.Login(request, metadata=_through_gateway(address), timeout=10)

    async def busy(self, calls: int) -> None:
        """Returns once this many calls are in progress."""
        async with asyncio.timeout(10):
            while self.services.under_way != calls:  # noqa: ASYNC110
                await asyncio.sleep(0.005)


@pytest.fixture
async def chain() -> AsyncIterator[Chain]:
    names = Names()
    services, control = Services(), Admission(clock=SetClock())  # type: ignore[abstract]  # most rpcs are left unwritten on purpose
    peers = Peers([GATEWAY_SECRET])
    checks = (
        Authentication(names, FailedCredentials(LocalLimits(), FAILURES), peers),
        Limits(InProcess(), NoSessions(), ALLOWANCES, peers),
        Permission(ByScope()),
    )
    server = build_server(chain_of(*checks, admission=AdmissionControl(control, "orchestrator")))
    add_ExecutionServiceServicer_to_server(services, server)
    add_AuthServiceServicer_to_server(services, server)
    add_HealthServiceServicer_to_server(services, server)
    await Health(server).set("", serving=True)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=CHANNEL_OPTIONS) as channel:
        yield Chain(channel, services, control, names)
    await server.stop(None)


async def error(call: Any) -> RemoteError:
    """The error of a failed call."""
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await call
    known = error_of(failed.value)
    assert known is not None, failed.value
    return known


async def reason(call: Any) -> str:
    return (await error(call)).reason


def overload(control: Admission) -> list[Slot]:
    """Takes every place of the admission control."""
    slots = []
    while control.admits():
        slots.append(control.enter())
    return slots


async def test_the_interceptors_run_in_order(chain: Chain) -> None:
    places = overload(chain.control)
    assert await reason(chain.execute("nobody", INVALID)) == "SERVICE_UNAVAILABLE"
    for place in places:
        place.begun()
    assert await reason(chain.execute("nobody", INVALID)) == "AUTH_INVALID_CREDENTIALS"
    assert await reason(chain.new_key("eve+only-reads")) == "POLICY_DENIED"
    assert await reason(chain.new_key("eve")) == "VALIDATION_ERROR"
    assert await reason(chain.new_key("eve+only-reads")) == "POLICY_DENIED"
    assert await reason(chain.new_key("eve+only-reads")) == "RATE_LIMIT_EXCEEDED"


async def test_the_service_asks_the_policy_about_an_agent(chain: Chain) -> None:
    """The interceptor does not know the agent."""
    assert (await chain.execute("eve+only-reads")).result == "fine"


async def test_an_overload_is_reported_as_the_contract_promises(chain: Chain) -> None:
    overload(chain.control)
    request_id, original = ("x-request-id", "req_mine"), ("x-envoy-original-path", "/api/v1/agents/x/execute")
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await chain.execute("bob", WORK, request_id, original)
    known = error_of(failed.value)
    assert isinstance(known, MeshError)
    assert (known.reason, known.retry_after_seconds, known.retryable) == ("SERVICE_UNAVAILABLE", 1.0, True)
    assert known.details == {"component": "orchestrator", "cause": "overloaded"}
    trailers = {key: str(value) for key, value in failed.value.trailing_metadata() or () if not key.endswith("-bin")}
    assert (trailers["x-request-id"], trailers["x-mesh-status"], trailers["retry-after"]) == ("req_mine", "503", "1")
    error_body = json.loads(trailers["x-mesh-envelope"])["error"]
    assert error_body.pop("timestamp").endswith("Z")
    assert error_body == {
        "code": "SERVICE_UNAVAILABLE",
        "message": known.message,
        "details": {"component": "orchestrator", "cause": "overloaded", "retryable": True, "retry_after_seconds": 1},
        "request_id": "req_mine",
    }


async def test_a_native_caller_receives_no_envelope(chain: Chain) -> None:
    overload(chain.control)
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await chain.execute()
    assert not {"x-mesh-envelope", "x-mesh-status"} & {key for key, _ in failed.value.trailing_metadata() or ()}


async def test_an_overloaded_process_answers_its_probes(chain: Chain) -> None:
    overload(chain.control)
    await HealthStub(chain.channel).Check(HealthCheckRequest(), timeout=10)
    await HealthServiceStub(chain.channel).GetReadiness(health.GetReadinessRequest(), timeout=10)


async def test_calls_are_admitted_again_when_others_have_begun(chain: Chain) -> None:
    places = overload(chain.control)
    places[0].begun()
    assert (await chain.execute()).result == "fine"


async def test_a_failed_call_frees_its_place(chain: Chain) -> None:
    overload(chain.control)[0].begun()
    for _ in range(3):
        assert await reason(chain.execute("nobody")) == "AUTH_INVALID_CREDENTIALS"


def refused_by(limit: str, caller: str) -> float:
    return REGISTRY.get_sample_value("rate_limit_refused_total", {"limit": limit, "caller": caller}) or 0.0


async def test_calls_of_a_user_are_counted_across_credentials(chain: Chain) -> None:
    for credential in ("bob", "bob+one", "bob+two", "bob+two", "bob", "bob"):
        await chain.execute(credential)
    refused = await error(chain.execute("bob+three"))
    assert (refused.reason, refused.details["limit"], refused.retry_after_seconds) == ("RATE_LIMIT_EXCEEDED", "agent_calls", 10.0)
    assert refused.message == "limit agent_calls reached: at most 6 a minute per user; try again in 10 s"
    await chain.execute("eve")


async def test_an_api_key_has_a_limit_of_its_own(chain: Chain) -> None:
    for _ in range(4):
        await chain.execute("bob+one")
    before = refused_by("agent_calls_of_key", "api_key")
    assert (await error(chain.execute("bob+one"))).details["limit"] == "agent_calls_of_key"
    assert refused_by("agent_calls_of_key", "api_key") == before + 1
    await chain.execute("bob")


async def test_other_calls_have_their_own_bucket(chain: Chain) -> None:
    for _ in range(3):
        await chain.list()
    assert (await error(chain.list())).details["limit"] == "calls"
    await chain.execute()


async def test_calls_in_flight_of_a_user_are_limited(chain: Chain) -> None:
    chain.services.go.clear()
    calls = [asyncio.ensure_future(chain.execute()) for _ in range(2)]
    await chain.busy(2)
    refused = await error(chain.execute())
    assert (refused.reason, refused.details["limit"]) == ("RATE_LIMIT_EXCEEDED", "agent_calls_in_flight")
    stream = chain.executions.StreamAgent(pb.StreamAgentRequest(agent_id=AGENT, input="x"), metadata=(("authorization", "Bearer bob"),))
    assert await reason(stream.read()) == "RATE_LIMIT_EXCEEDED"
    other = asyncio.ensure_future(chain.execute("eve"))
    await chain.busy(3)
    chain.services.go.set()
    await asyncio.gather(*calls, other)
    await chain.execute()


async def test_a_cancelled_call_is_no_longer_in_flight(chain: Chain) -> None:
    chain.services.go.clear()
    calls = [chain.execute() for _ in range(2)]
    await chain.busy(2)
    for call in calls:
        call.cancel()
    await chain.busy(0)
    chain.services.go.set()
    await chain.execute()


async def test_logins_are_limited_by_name_and_address(chain: Chain) -> None:
    for name in ("ada", " Ada"):
        await chain.login(name)
    refused = await error(chain.login("ADA"))
    assert (refused.reason, refused.details["limit"], refused.retry_after_seconds) == ("RATE_LIMIT_EXCEEDED", "logins", 30.0)
    await chain.login("ada", address="192.0.2.2")


async def test_logins_under_many_names_are_limited_by_address(chain: Chain) -> None:
    for name in ("a", "b", "c", "d"):
        await chain.login(name, address="2001:db8::1")
    assert (await error(chain.login("e", address="2001:db8::2"))).details["limit"] == "logins_of_address"
    await chain.login("e", address="2001:db8:0:1::1")


@pytest.mark.parametrize("kind", ["unknown", "expired"])
async def test_failed_credentials_are_limited_by_address_before_they_are_looked_up(chain: Chain, kind: str) -> None:
    for guess in range(FAILURES):
        assert (await reason(chain.show(f"{kind}+{guess}"))).startswith("AUTH_")
    refused = await error(chain.show(f"{kind}+more"))
    assert (refused.reason, refused.details["limit"], refused.retry_after_seconds) == (
        *("RATE_LIMIT_EXCEEDED", "failed_credentials_of_address"),
        12.0,
    )
    assert refused.message == "limit failed_credentials_of_address reached: at most 5 a minute per address; try again in 12 s"
    assert len(chain.names.asked) == FAILURES
    assert await reason(chain.show(f"{kind}+more", address="192.0.2.2")) == "AUTH_INVALID_CREDENTIALS" or kind == "expired"


async def test_concurrent_guesses_do_not_exceed_the_limit(chain: Chain) -> None:
    reasons = await asyncio.gather(*(reason(chain.show(f"guess+{n}", address=f"2001:db8::{n + 1:x}")) for n in range(40)))
    assert (reasons.count("AUTH_INVALID_CREDENTIALS"), len(chain.names.asked)) == (FAILURES, FAILURES)


async def test_a_recently_valid_credential_is_accepted_from_a_limited_address(chain: Chain) -> None:
    await chain.show("bob")
    for guess in range(FAILURES + 1):
        await reason(chain.show(f"guess+{guess}"))
    await chain.show("bob")
    assert await reason(chain.show("eve")) == "RATE_LIMIT_EXCEEDED"
    await chain.show("eve", address="192.0.2.2")


async def test_valid_and_unverifiable_credentials_do_not_count_as_failures(chain: Chain) -> None:
    for number in range(FAILURES + 1):
        await chain.execute(f"bob+{number}")
        assert await reason(chain.show("lost", address="127.0.0.1")) == "SERVICE_UNAVAILABLE"
    assert await reason(chain.execute("guess")) == "AUTH_INVALID_CREDENTIALS"
