"""A way to every row of the error table that this platform can reach: over REST, and over gRPC where the answer is ours.

Each provocation returns what both doors said. What it takes from the platform it gives back.
"""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import grpc
import httpx
import pytest
from agentmesh.agent.v1 import agent_service_pb2 as agent
from agentmesh.agent.v1.agent_service_pb2_grpc import AgentServiceStub
from agentmesh.execution.v1 import execution_service_pb2 as execution
from agentmesh.execution.v1.execution_service_pb2_grpc import ExecutionServiceStub
from agentmesh.identity.v1 import identity_service_pb2 as identity
from agentmesh.identity.v1.identity_service_pb2_grpc import AuthServiceStub
from agentmesh.registry.v1 import registry_service_pb2 as registry
from agentmesh.registry.v1.registry_service_pb2_grpc import RegistryServiceStub

from tests.contract.gateway.wire import exchange
from tests.e2e.definitions import AGENT
from tests.e2e.doors import second_gateway
from tests.e2e.people import login, new_key, new_person, register
from tests.e2e.platform import Platform, question
from tests.support.credentials import authorized, bearer
from tests.support.waiting import eventually

SECONDS = 30
NOBODY = "nobody_agent_1_999999"
MOST_GUESSES = 30
NO_USER = 2**31 - 1
NO_EXECUTION = "01900000-0000-7000-8000-000000000000"


@dataclass(frozen=True)
class Said:
    """What the doors said; `native` is None where gRPC itself, or nobody, answers a native client."""

    rest: httpx.Response
    native: grpc.aio.AioRpcError | None = None
    by_gateway: bool = False
    """Envoy itself answered: its native answers name the request in the trailers, not in the details."""


Provocation = Callable[[Platform], Awaitable[Said]]
PROVOCATIONS: list[tuple[str, Provocation]] = []


def provokes(reason: str) -> Callable[[Provocation], Provocation]:
    """Enters a provocation of that reason."""

    def enter(provocation: Provocation) -> Provocation:
        PROVOCATIONS.append((reason, provocation))
        return provocation

    return enter


async def failure(call: Awaitable[Any]) -> grpc.aio.AioRpcError:
    """The status that a native call ends with, which must not be OK."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value


def executing(channel: grpc.aio.Channel, text: str, *, seconds: float = SECONDS, key: str = "") -> Any:
    """A native call of ExecuteAgent."""
    request = execution.ExecuteAgentRequest(agent_id=AGENT, input=text, idempotency_key=key)
    return ExecutionServiceStub(channel).ExecuteAgent(request, timeout=seconds)


def raw_call(channel: grpc.aio.Channel, path: str, message: bytes) -> Awaitable[Any]:
    """A native call of any path with any bytes."""
    rpc: Any = channel.unary_unary(path)
    call: Awaitable[Any] = rpc(message, timeout=SECONDS)
    return call


@contextlib.asynccontextmanager
async def stopped(platform: Platform, process: str) -> AsyncIterator[None]:
    """The platform without one of its processes."""
    await platform.stack.process(process).stop()
    try:
        yield
    finally:
        await platform.stack.process(process).start()
        await platform.recovered()


@provokes("AGENT_NOT_FOUND")
async def an_agent_that_nobody_defined(platform: Platform) -> Said:
    native = RegistryServiceStub(platform.gateway).GetAgent(registry.GetAgentRequest(agent_id=NOBODY), timeout=SECONDS)
    return Said(await platform.http.get(f"/api/v1/agents/{NOBODY}"), await failure(native))


@provokes("AGENT_NOT_FOUND")
async def work_for_an_agent_that_nobody_defined(platform: Platform) -> Said:
    request = execution.StreamAgentRequest(agent_id=NOBODY, input=question())
    native = ExecutionServiceStub(platform.gateway).StreamAgent(request, timeout=SECONDS)
    return Said(await platform.execute(question(), agent_id=NOBODY), await failure(native.read()))


@provokes("AGENT_UNAVAILABLE")
async def an_agent_whose_host_is_stopped(platform: Platform) -> Said:
    async with stopped(platform, "agents-0"):
        text = question()
        said = Said(await platform.execute(text), await failure(executing(platform.gateway, text)))
    assert platform.provider.purchases(text) == []
    return said


@provokes("AGENT_EXECUTION_FAILED")
async def an_agent_whose_host_dies_in_the_middle_of_the_call(platform: Platform) -> Said:
    texts = question(), question()
    for text in texts:
        await platform.provider.fault("hang", text)
    rest = asyncio.create_task(platform.execute(texts[0]))
    native = asyncio.create_task(failure(executing(platform.gateway, texts[1])))
    for text in texts:
        await platform.provider.asked(text)
    platform.stack.process("agents-0").kill()
    said = Said(await rest, await native)
    await platform.recovered()
    return said


@provokes("VALIDATION_ERROR")
async def an_empty_input(platform: Platform) -> Said:
    return Said(await platform.execute(""), await failure(executing(platform.gateway, "")))


@provokes("RATE_LIMIT_EXCEEDED")
async def more_requests_than_one_address_may_send(platform: Platform) -> Said:
    async with second_gateway(platform, platform.stack.ports.orchestrator, per_ip_rate=1, per_ip_burst=1) as door:

        async def refused() -> httpx.Response | None:
            answers = await asyncio.gather(*(door.http.get("/health") for _ in range(20)))
            return next((answer for answer in answers if answer.status_code != 200), None)

        rest = await eventually(refused)
        assert rest is not None
        # A token may have come back in the meantime, and then one call is let through.
        calls = [RegistryServiceStub(door.channel).ListCategories(registry.ListCategoriesRequest(), timeout=SECONDS) for _ in range(20)]
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        native = next(outcome for outcome in outcomes if isinstance(outcome, grpc.aio.AioRpcError))
    return Said(rest, native, by_gateway=True)


@provokes("RATE_LIMIT_EXCEEDED")
async def more_logins_under_one_name_than_are_let_through(platform: Platform) -> Said:
    guess = {"username": f"guess-{secrets.token_hex(6)}", "password": "correct horse"}
    # On a slow machine a token comes back in the meantime: a guess takes a quarter of a second or more.
    for _ in range(MOST_GUESSES):
        if (rest := await platform.http.post("/api/v1/auth/login", json=guess)).status_code != 401:
            break
    assert rest.json()["error"]["details"]["limit"] == "logins"
    assert 1 <= int(rest.headers["retry-after"]) <= 6
    stub = AuthServiceStub(platform.gateway)
    for _ in range(MOST_GUESSES):
        native = await failure(stub.Login(identity.LoginRequest(**guess), timeout=SECONDS))
        if native.code() is not grpc.StatusCode.UNAUTHENTICATED:
            break
    return Said(rest, native)


@provokes("POLICY_DENIED")
async def an_api_key_that_was_made_for_less(platform: Platform) -> Said:
    made = await platform.http.post("/api/v1/auth/api-keys", json={"name": "only looks", "scopes": ["ACCESS_SCOPE_READ"]})
    credential = bearer(made.json()["secret"])
    assert (await platform.http.get("/api/v1/agents", headers=credential)).status_code == 200
    rest = await platform.execute(question(), headers=credential)
    assert rest.json()["error"]["details"] == {"rule": "missing_scope", "scope": "execute"}
    request = execution.ExecuteAgentRequest(agent_id=AGENT, input=question())
    native = ExecutionServiceStub(platform.gateway).ExecuteAgent(request, timeout=SECONDS, metadata=tuple(credential.items()))
    return Said(rest, await failure(native))


@provokes("LLM_API_ERROR")
async def a_provider_that_is_overloaded(platform: Platform) -> Said:
    text = question()
    await platform.provider.fault("529", text)
    return Said(await platform.execute(text), await failure(executing(platform.gateway, text)))


@provokes("LLM_API_TIMEOUT")
async def a_provider_that_does_not_answer_in_the_time_that_the_caller_allows(platform: Platform) -> Said:
    text = question()
    await platform.provider.fault("hang", text)
    rest, native = await asyncio.gather(
        platform.execute(text, headers={"grpc-timeout": "1500m"}), failure(executing(platform.gateway, text, seconds=1.5))
    )
    return Said(rest, native)


@provokes("EXECUTION_NOT_FOUND")
async def an_execution_that_never_was(platform: Platform) -> Said:
    request = execution.GetExecutionRequest(execution_id=NO_EXECUTION)
    native = ExecutionServiceStub(platform.gateway).GetExecution(request, timeout=SECONDS)
    return Said(await platform.http.get(f"/api/v1/executions/{NO_EXECUTION}"), await failure(native))


@provokes("ROUTE_NOT_FOUND")
async def a_path_that_leads_nowhere(platform: Platform) -> Said:
    native = raw_call(platform.gateway, "/agentmesh.registry.v1.RegistryService/Nonsense", b"")
    return Said(await platform.http.get("/api/v1/nonsense"), await failure(native), by_gateway=True)


@provokes("METHOD_NOT_ALLOWED")
async def a_method_that_the_path_does_not_take(platform: Platform) -> Said:
    return Said(await platform.http.delete(f"/api/v1/agents/{AGENT}"))


@provokes("BAD_REQUEST")
async def something_that_is_not_http(platform: Platform) -> Said:
    return Said(await exchange(platform.stack.ports.gateway, b"HELLO AGENTS\r\n\r\n"))


@provokes("PAYLOAD_TOO_LARGE")
async def a_body_of_more_than_four_mebibytes(platform: Platform) -> Said:
    body = b'{"input": "' + b"x" * (4 * 1024 * 1024) + b'"}'
    return Said(await platform.http.post(f"/api/v1/agents/{AGENT}/execute", content=body))


@provokes("IDEMPOTENCY_CONFLICT")
async def an_idempotency_key_used_for_another_body(platform: Platform) -> Said:
    text = question()
    key = f"key-{secrets.token_hex(6)}"
    assert (await platform.execute(text, idempotency_key=key)).status_code == 200
    rest = await platform.execute(question(), idempotency_key=key)
    return Said(rest, await failure(executing(platform.gateway, question(), key=key)))


@provokes("SERVICE_UNAVAILABLE")
async def a_platform_without_its_database(platform: Platform) -> Said:
    text = question()
    async with stopped(platform, "postgres"):
        ready, books = [await platform.http.get(path) for path in ("/ready", "/api/v1/executions")]
        assert {answer.json()["error"]["details"]["component"] for answer in (ready, books)} == {"postgresql"}
        said = Said(await platform.execute(text), await failure(executing(platform.gateway, text)))
    assert platform.provider.purchases(text) == []
    return said


@provokes("SERVICE_UNAVAILABLE")
async def a_platform_without_its_orchestrator(platform: Platform) -> Said:
    text = question()
    async with stopped(platform, "orchestrator"):
        said = Said(await platform.execute(text), await failure(executing(platform.gateway, text)), by_gateway=True)
    assert platform.provider.purchases(text) == []
    return said


@provokes("UPSTREAM_TIMEOUT")
async def a_deadline_that_leaves_no_time(platform: Platform) -> Said:
    text = question()

    async def refused_in_time() -> grpc.aio.AioRpcError | None:
        refusal = await failure(executing(platform.gateway, text, seconds=0.24))
        return refusal if refusal.trailing_metadata() else None  # without: the client's own clock was faster

    rest = await platform.execute(text, headers={"grpc-timeout": "200m"})
    native = await eventually(refused_in_time)
    assert platform.provider.purchases(text) == []
    return Said(rest, native)


@provokes("CANCELLED")
async def a_call_that_is_ended_at_the_agent(platform: Platform) -> Said:
    texts = question(), question()
    for text in texts:
        await platform.provider.fault("hang", text)
    rest = asyncio.create_task(platform.execute(texts[0]))
    native = asyncio.create_task(failure(executing(platform.gateway, texts[1])))
    async with grpc.aio.insecure_channel(f"localhost:{platform.stack.ports.agents.start + 1}") as channel:
        for text in texts:
            execution_id = (await platform.provider.asked(text))["execution_id"]
            request, token = agent.CancelRequest(execution_id=execution_id), platform.call_token(AGENT, execution_id)
            answer = await AgentServiceStub(channel).Cancel(request, timeout=SECONDS, metadata=token)
            assert answer.found
    return Said(await rest, await native)


@provokes("NOT_IMPLEMENTED")
async def a_gateway_before_something_that_is_no_orchestrator(platform: Platform) -> Said:
    async with second_gateway(platform, platform.stack.ports.agents.start + 1) as door:
        return Said(await door.http.get("/api/v1/agents"))


@provokes("AUTH_INVALID_CREDENTIALS")
async def a_call_that_does_not_say_who_calls(platform: Platform) -> Said:
    native = RegistryServiceStub(platform.doors["gateway"]).ListCategories(registry.ListCategoriesRequest(), timeout=SECONDS)
    return Said(await platform.anonymous.get("/api/v1/categories"), await failure(native))


@provokes("AUTH_INVALID_CREDENTIALS")
async def a_login_with_a_wrong_password(platform: Platform) -> Said:
    native = AuthServiceStub(platform.doors["gateway"]).Login(identity.LoginRequest(username="admin", password="a guess"), timeout=SECONDS)
    return Said(await login(platform, "admin", "a guess"), await failure(native))


@provokes("AUTH_TOKEN_EXPIRED")
async def an_api_key_whose_time_is_over(platform: Platform) -> Said:
    key_id, secret = await new_key(platform, await new_person(platform))
    await platform.sql("UPDATE api_keys SET expires_at = now() WHERE api_key_id = $1", key_id)
    return await shown(platform, secret)


@provokes("AUTH_TOKEN_BLACKLISTED")
async def an_access_token_after_the_logout(platform: Platform) -> Said:
    person = await new_person(platform)
    (await platform.anonymous.post("/api/v1/auth/logout", headers=person.headers)).raise_for_status()
    return await shown(platform, person.access_token)


@provokes("POLICY_DENIED")
async def an_api_key_that_may_only_read(platform: Platform) -> Said:
    _, secret = await new_key(platform, await new_person(platform), "read")
    text = question()
    native = executing(authorized(platform.doors["gateway"], secret), text)
    said = Said(await platform.execute(text, headers=bearer(secret)), await failure(native))
    assert platform.provider.purchases(text) == []
    return said


@provokes("USERNAME_TAKEN")
async def a_name_that_another_user_has(platform: Platform) -> Said:
    native = AuthServiceStub(platform.doors["gateway"]).Register(
        identity.RegisterRequest(username="ADMIN", password="long enough"), timeout=SECONDS
    )
    return Said(await register(platform, username="Admin", password="long enough"), await failure(native))


@provokes("API_KEY_NOT_FOUND")
async def an_api_key_that_never_was(platform: Platform) -> Said:
    native = AuthServiceStub(platform.gateway).RevokeApiKey(identity.RevokeApiKeyRequest(api_key_id=NO_EXECUTION), timeout=SECONDS)
    return Said(await platform.http.delete(f"/api/v1/auth/api-keys/{NO_EXECUTION}"), await failure(native))


@provokes("SESSION_NOT_FOUND")
async def a_session_that_never_was(platform: Platform) -> Said:
    native = AuthServiceStub(platform.gateway).RevokeSession(identity.RevokeSessionRequest(session_id=NO_EXECUTION), timeout=SECONDS)
    return Said(await platform.http.delete(f"/api/v1/auth/sessions/{NO_EXECUTION}"), await failure(native))


@provokes("USER_NOT_FOUND")
async def a_user_who_never_was(platform: Platform) -> Said:
    native = AuthServiceStub(platform.gateway).ListApiKeys(identity.ListApiKeysRequest(user_id=NO_USER), timeout=SECONDS)
    return Said(await platform.http.get(f"/api/v1/users/{NO_USER}/api-keys"), await failure(native))


async def shown(platform: Platform, credential: str) -> Said:
    """What becomes of calls with a credential."""
    native = RegistryServiceStub(authorized(platform.doors["gateway"], credential)).ListCategories(registry.ListCategoriesRequest())
    return Said(await platform.anonymous.get("/api/v1/categories", headers=bearer(credential)), await failure(native))


@provokes("INTERNAL")
async def a_fault_that_nobody_foresaw(platform: Platform) -> Said:
    request = execution.ListExecutionsRequest()
    await platform.sql("ALTER TABLE executions RENAME COLUMN seconds TO mislaid")
    try:
        native = ExecutionServiceStub(platform.gateway).ListExecutions(request, timeout=SECONDS)
        said = Said(await platform.http.get("/api/v1/executions"), await failure(native))
    finally:
        await platform.sql("ALTER TABLE executions RENAME COLUMN mislaid TO seconds")
    assert "mislaid" not in said.rest.text + str(said.native)
    assert "seconds" not in said.rest.text + str(said.native)
    return said
