"""A way to provoke every row of the error table that this platform can reach, over REST and over gRPC.

Each provocation returns both responses, and restores what it changed in the platform.
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
from tests.e2e.platform import Platform, question
from tests.e2e.second_gateway import second_gateway
from tests.e2e.users import login, new_key, new_user, register
from tests.support.credentials import authorized, bearer
from tests.support.waiting import eventually

SECONDS = 30
UNDEFINED_AGENT = "nobody_agent_1_999999"
MOST_GUESSES = 30
NO_USER = 2**31 - 1
NO_EXECUTION = "01900000-0000-7000-8000-000000000000"


@dataclass(frozen=True)
class Responses:
    """The responses; `native` is None if gRPC itself, or nothing, answers a native client."""

    rest: httpx.Response
    native: grpc.aio.AioRpcError | None = None
    by_gateway: bool = False
    """Envoy itself answered: its native errors have the request id in the trailers and not in the details."""


Provocation = Callable[[Platform], Awaitable[Responses]]
PROVOCATIONS: list[tuple[str, Provocation]] = []


def provokes(reason: str) -> Callable[[Provocation], Provocation]:
    """Registers a provocation of this reason."""

    def register_it(provocation: Provocation) -> Provocation:
        PROVOCATIONS.append((reason, provocation))
        return provocation

    return register_it


async def failure(call: Awaitable[Any]) -> grpc.aio.AioRpcError:
    """The status of a native call, which must fail."""
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
async def undefined_agent(platform: Platform) -> Responses:
    native = RegistryServiceStub(platform.gateway).GetAgent(registry.GetAgentRequest(agent_id=UNDEFINED_AGENT), timeout=SECONDS)
    return Responses(await platform.http.get(f"/api/v1/agents/{UNDEFINED_AGENT}"), await failure(native))


@provokes("AGENT_NOT_FOUND")
async def call_of_an_undefined_agent(platform: Platform) -> Responses:
    request = execution.StreamAgentRequest(agent_id=UNDEFINED_AGENT, input=question())
    native = ExecutionServiceStub(platform.gateway).StreamAgent(request, timeout=SECONDS)
    return Responses(await platform.execute(question(), agent_id=UNDEFINED_AGENT), await failure(native.read()))


@provokes("AGENT_UNAVAILABLE")
async def stopped_agent_host(platform: Platform) -> Responses:
    async with stopped(platform, "agents-0"):
        text = question()
        responses = Responses(await platform.execute(text), await failure(executing(platform.gateway, text)))
    assert platform.provider.purchases(text) == []
    return responses


@provokes("AGENT_EXECUTION_FAILED")
async def agent_host_killed_during_the_call(platform: Platform) -> Responses:
    texts = question(), question()
    for text in texts:
        await platform.provider.fault("hang", text)
    rest = asyncio.create_task(platform.execute(texts[0]))
    native = asyncio.create_task(failure(executing(platform.gateway, texts[1])))
    for text in texts:
        await platform.provider.asked(text)
    platform.stack.process("agents-0").kill()
    responses = Responses(await rest, await native)
    await platform.recovered()
    return responses


@provokes("VALIDATION_ERROR")
async def empty_input(platform: Platform) -> Responses:
    return Responses(await platform.execute(""), await failure(executing(platform.gateway, "")))


@provokes("RATE_LIMIT_EXCEEDED")
async def too_many_requests_from_one_address(platform: Platform) -> Responses:
    async with second_gateway(platform, platform.stack.ports.orchestrator, per_ip_rate=1, per_ip_burst=1) as gateway:

        async def refused() -> httpx.Response | None:
            answers = await asyncio.gather(*(gateway.http.get("/health") for _ in range(20)))
            return next((answer for answer in answers if answer.status_code != 200), None)

        rest = await eventually(refused)
        assert rest is not None
        # A token may have been added in the meantime, and then one call is let through.
        calls = [RegistryServiceStub(gateway.channel).ListCategories(registry.ListCategoriesRequest(), timeout=SECONDS) for _ in range(20)]
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        native = next(outcome for outcome in outcomes if isinstance(outcome, grpc.aio.AioRpcError))
    return Responses(rest, native, by_gateway=True)


@provokes("RATE_LIMIT_EXCEEDED")
async def too_many_logins_under_one_name(platform: Platform) -> Responses:
    guess = {"username": f"guess-{secrets.token_hex(6)}", "password": "correct horse"}
    # On a slow machine a token is added in the meantime: a guess takes a quarter of a second or more.
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
    return Responses(rest, native)


@provokes("POLICY_DENIED")
async def api_key_without_the_scope(platform: Platform) -> Responses:
    made = await platform.http.post("/api/v1/auth/api-keys", json={"name": "only looks", "scopes": ["ACCESS_SCOPE_READ"]})
    credential = bearer(made.json()["secret"])
    assert (await platform.http.get("/api/v1/agents", headers=credential)).status_code == 200
    rest = await platform.execute(question(), headers=credential)
    assert rest.json()["error"]["details"] == {"rule": "missing_scope", "scope": "execute"}
    request = execution.ExecuteAgentRequest(agent_id=AGENT, input=question())
    native = ExecutionServiceStub(platform.gateway).ExecuteAgent(request, timeout=SECONDS, metadata=tuple(credential.items()))
    return Responses(rest, await failure(native))


@provokes("LLM_API_ERROR")
async def overloaded_provider(platform: Platform) -> Responses:
    text = question()
    await platform.provider.fault("529", text)
    return Responses(await platform.execute(text), await failure(executing(platform.gateway, text)))


@provokes("LLM_API_TIMEOUT")
async def provider_slower_than_the_deadline(platform: Platform) -> Responses:
    text = question()
    await platform.provider.fault("hang", text)
    rest, native = await asyncio.gather(
        platform.execute(text, headers={"grpc-timeout": "1500m"}), failure(executing(platform.gateway, text, seconds=1.5))
    )
    return Responses(rest, native)


@provokes("EXECUTION_NOT_FOUND")
async def unknown_execution(platform: Platform) -> Responses:
    request = execution.GetExecutionRequest(execution_id=NO_EXECUTION)
    native = ExecutionServiceStub(platform.gateway).GetExecution(request, timeout=SECONDS)
    return Responses(await platform.http.get(f"/api/v1/executions/{NO_EXECUTION}"), await failure(native))


@provokes("ROUTE_NOT_FOUND")
async def unknown_path(platform: Platform) -> Responses:
    native = raw_call(platform.gateway, "/agentmesh.registry.v1.RegistryService/Nonsense", b"")
    return Responses(await platform.http.get("/api/v1/nonsense"), await failure(native), by_gateway=True)


@provokes("METHOD_NOT_ALLOWED")
async def unsupported_method(platform: Platform) -> Responses:
    return Responses(await platform.http.delete(f"/api/v1/agents/{AGENT}"))


@provokes("BAD_REQUEST")
async def invalid_http(platform: Platform) -> Responses:
    return Responses(await exchange(platform.stack.ports.gateway, b"HELLO AGENTS\r\n\r\n"))


@provokes("PAYLOAD_TOO_LARGE")
async def body_over_four_mebibytes(platform: Platform) -> Responses:
    body = b'{"input": "' + b"x" * (4 * 1024 * 1024) + b'"}'
    return Responses(await platform.http.post(f"/api/v1/agents/{AGENT}/execute", content=body))


@provokes("PAYLOAD_TOO_LARGE")
async def body_over_what_its_path_allows(platform: Platform) -> Responses:
    body = b'{"refresh_token": "' + b"x" * 50_000 + b'"}'
    return Responses(await platform.http.post("/api/v1/auth/refresh", content=body))


@provokes("UNSUPPORTED_MEDIA_TYPE")
async def compressed_body(platform: Platform) -> Responses:
    headers = {"content-encoding": "gzip", "content-type": "application/json"}
    return Responses(await platform.http.post(f"/api/v1/agents/{AGENT}/execute", content=b"x", headers=headers))


@provokes("ANSWER_INCOMPLETE")
async def thinking_that_spends_every_token(platform: Platform) -> Responses:
    texts = question(), question()
    for text in texts:
        await platform.provider.fault("thinking", text)
    return Responses(await platform.execute(texts[0]), await failure(executing(platform.gateway, texts[1])))


@provokes("IDEMPOTENCY_CONFLICT")
async def idempotency_key_with_another_body(platform: Platform) -> Responses:
    text = question()
    key = f"key-{secrets.token_hex(6)}"
    assert (await platform.execute(text, idempotency_key=key)).status_code == 200
    rest = await platform.execute(question(), idempotency_key=key)
    return Responses(rest, await failure(executing(platform.gateway, question(), key=key)))


@provokes("SERVICE_UNAVAILABLE")
async def stopped_database(platform: Platform) -> Responses:
    text = question()
    async with stopped(platform, "postgres"):
        ready, books = [await platform.http.get(path) for path in ("/ready", "/api/v1/executions")]
        assert {answer.json()["error"]["details"]["component"] for answer in (ready, books)} == {"postgresql"}
        responses = Responses(await platform.execute(text), await failure(executing(platform.gateway, text)))
    assert platform.provider.purchases(text) == []
    return responses


@provokes("SERVICE_UNAVAILABLE")
async def stopped_orchestrator(platform: Platform) -> Responses:
    text = question()
    async with stopped(platform, "orchestrator"):
        responses = Responses(await platform.execute(text), await failure(executing(platform.gateway, text)), by_gateway=True)
    assert platform.provider.purchases(text) == []
    return responses


@provokes("UPSTREAM_TIMEOUT")
async def deadline_that_leaves_no_time(platform: Platform) -> Responses:
    text = question()

    async def refused_in_time() -> grpc.aio.AioRpcError | None:
        refusal = await failure(executing(platform.gateway, text, seconds=0.24))
        return refusal if refusal.trailing_metadata() else None  # None if the client's own clock was faster

    rest = await platform.execute(text, headers={"grpc-timeout": "200m"})
    native = await eventually(refused_in_time)
    assert platform.provider.purchases(text) == []
    return Responses(rest, native)


@provokes("CANCELLED")
async def call_cancelled_at_the_agent(platform: Platform) -> Responses:
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
    return Responses(await rest, await native)


@provokes("NOT_IMPLEMENTED")
async def gateway_without_an_orchestrator(platform: Platform) -> Responses:
    async with second_gateway(platform, platform.stack.ports.agents.start + 1) as gateway:
        return Responses(await gateway.http.get("/api/v1/agents"))


@provokes("AUTH_INVALID_CREDENTIALS")
async def call_without_a_credential(platform: Platform) -> Responses:
    native = RegistryServiceStub(platform.anonymous_channels["gateway"]).ListCategories(registry.ListCategoriesRequest(), timeout=SECONDS)
    return Responses(await platform.anonymous.get("/api/v1/categories"), await failure(native))


@provokes("AUTH_INVALID_CREDENTIALS")
async def login_with_a_wrong_password(platform: Platform) -> Responses:
    native = AuthServiceStub(platform.anonymous_channels["gateway"]).Login(
        identity.LoginRequest(username="admin", password="a guess"), timeout=SECONDS
    )
    return Responses(await login(platform, "admin", "a guess"), await failure(native))


@provokes("AUTH_TOKEN_EXPIRED")
async def expired_api_key(platform: Platform) -> Responses:
    key_id, secret = await new_key(platform, await new_user(platform))
    await platform.sql("UPDATE api_keys SET expires_at = now() WHERE api_key_id = $1", key_id)
    return await shown(platform, secret)


@provokes("AUTH_TOKEN_BLACKLISTED")
async def access_token_after_logout(platform: Platform) -> Responses:
    user = await new_user(platform)
    (await platform.anonymous.post("/api/v1/auth/logout", headers=user.headers)).raise_for_status()
    return await shown(platform, user.access_token)


@provokes("POLICY_DENIED")
async def read_only_api_key(platform: Platform) -> Responses:
    _, secret = await new_key(platform, await new_user(platform), "read")
    text = question()
    native = executing(authorized(platform.anonymous_channels["gateway"], secret), text)
    responses = Responses(await platform.execute(text, headers=bearer(secret)), await failure(native))
    assert platform.provider.purchases(text) == []
    return responses


@provokes("USERNAME_TAKEN")
async def taken_username(platform: Platform) -> Responses:
    native = AuthServiceStub(platform.anonymous_channels["gateway"]).Register(
        identity.RegisterRequest(username="ADMIN", password="long enough"), timeout=SECONDS
    )
    return Responses(await register(platform, username="Admin", password="long enough"), await failure(native))


@provokes("API_KEY_NOT_FOUND")
async def unknown_api_key(platform: Platform) -> Responses:
    native = AuthServiceStub(platform.gateway).RevokeApiKey(identity.RevokeApiKeyRequest(api_key_id=NO_EXECUTION), timeout=SECONDS)
    return Responses(await platform.http.delete(f"/api/v1/auth/api-keys/{NO_EXECUTION}"), await failure(native))


@provokes("SESSION_NOT_FOUND")
async def unknown_session(platform: Platform) -> Responses:
    native = AuthServiceStub(platform.gateway).RevokeSession(identity.RevokeSessionRequest(session_id=NO_EXECUTION), timeout=SECONDS)
    return Responses(await platform.http.delete(f"/api/v1/auth/sessions/{NO_EXECUTION}"), await failure(native))


@provokes("USER_NOT_FOUND")
async def unknown_user(platform: Platform) -> Responses:
    native = AuthServiceStub(platform.gateway).ListApiKeys(identity.ListApiKeysRequest(user_id=NO_USER), timeout=SECONDS)
    return Responses(await platform.http.get(f"/api/v1/users/{NO_USER}/api-keys"), await failure(native))


async def shown(platform: Platform, credential: str) -> Responses:
    """The responses to calls with a credential."""
    native = RegistryServiceStub(authorized(platform.anonymous_channels["gateway"], credential)).ListCategories(
        registry.ListCategoriesRequest()
    )
    return Responses(await platform.anonymous.get("/api/v1/categories", headers=bearer(credential)), await failure(native))


@provokes("INTERNAL")
async def unexpected_error(platform: Platform) -> Responses:
    request = execution.ListExecutionsRequest()
    await platform.sql("ALTER TABLE executions RENAME COLUMN seconds TO mislaid")
    try:
        native = ExecutionServiceStub(platform.gateway).ListExecutions(request, timeout=SECONDS)
        responses = Responses(await platform.http.get("/api/v1/executions"), await failure(native))
    finally:
        await platform.sql("ALTER TABLE executions RENAME COLUMN mislaid TO seconds")
    assert "mislaid" not in responses.rest.text + str(responses.native)
    assert "seconds" not in responses.rest.text + str(responses.native)
    return responses
