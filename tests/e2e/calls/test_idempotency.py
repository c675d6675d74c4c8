"""One key, one purchase: a repeated request gets the first answer."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from agentmesh.execution.v1 import execution_service_pb2 as execution
from agentmesh.execution.v1.execution_service_pb2_grpc import ExecutionServiceStub

from mesh.rpc.status import error_of as error_of_status
from tests.contract.gateway.wire import error_of
from tests.e2e.definitions import AGENT, UNKNOWN_MODEL
from tests.e2e.platform import Platform, question
from tests.e2e.provocations import SECONDS, failure

Ask = Callable[[Platform, str, str], Awaitable[str]]


async def _by_header(platform: Platform, text: str, key: str) -> str:
    response = await platform.execute(text, headers={"Idempotency-Key": key})
    assert response.status_code == 200, response.text
    return str(response.json()["execution_id"])


async def _by_field(platform: Platform, text: str, key: str) -> str:
    request = execution.ExecuteAgentRequest(agent_id=AGENT, input=text, idempotency_key=key)
    return (await ExecutionServiceStub(platform.orchestrator).ExecuteAgent(request, timeout=SECONDS)).execution_id


async def _by_metadata(platform: Platform, text: str, key: str) -> str:
    request = execution.ExecuteAgentRequest(agent_id=AGENT, input=text)
    metadata = (("idempotency-key", key),)
    return (await ExecutionServiceStub(platform.gateway).ExecuteAgent(request, timeout=SECONDS, metadata=metadata)).execution_id


WAYS = [_by_header, _by_field, _by_metadata]


@pytest.fixture
def key() -> str:
    """An unused key."""
    return f"order-{secrets.token_hex(8)}"


@pytest.mark.parametrize("again", WAYS)
@pytest.mark.parametrize("first", WAYS)
async def test_a_repeated_request_with_the_same_key_buys_nothing(platform: Platform, key: str, first: Ask, again: Ask) -> None:
    text = question()
    assert await first(platform, text, key) == await again(platform, text, key)
    assert len(platform.provider.purchases(text)) == 1


async def test_the_repeated_answer_equals_the_first(platform: Platform, key: str) -> None:
    body: dict[str, Any] = {"context": {"site_type": "shop", "market": "UK"}, "idempotency_key": key}
    text = question()
    first = (await platform.execute(text, **body)).json()
    body["context"] = dict(reversed(body["context"].items()))  # the order of keys does not matter
    assert (await platform.execute(text, **body)).json() == first


async def test_another_input_under_the_same_key_is_a_conflict(platform: Platform, key: str) -> None:
    text, other = question(), question()
    await _by_header(platform, text, key)
    error = error_of(await platform.execute(other, headers={"Idempotency-Key": key}), 409, "IDEMPOTENCY_CONFLICT")
    assert error["details"]["idempotency_key"] == key
    problem = error_of_status(await failure(_by_field(platform, other, key)))
    assert problem is not None
    assert problem.reason == "IDEMPOTENCY_CONFLICT"
    assert platform.provider.purchases(other) == []
    assert len(platform.provider.purchases(text)) == 1


@pytest.mark.parametrize("difference", [{"context": {"site_type": "shop"}}, {"agent_id": "marketing_seo_strategist_agent_2_2"}])
async def test_another_context_or_agent_under_the_same_key_is_a_conflict(platform: Platform, key: str, difference: dict[str, Any]) -> None:
    text = question()
    await _by_header(platform, text, key)
    error_of(await platform.execute(text, headers={"Idempotency-Key": key}, **difference), 409, "IDEMPOTENCY_CONFLICT")


async def test_of_many_concurrent_duplicates_one_buys_and_all_get_its_answer(platform: Platform, key: str) -> None:
    text = question()
    await platform.provider.fault("delay", text, argument=500)
    ids = await asyncio.gather(*(way(platform, text, key) for way in WAYS * 3))
    assert len(set(ids)) == 1
    assert len(platform.provider.purchases(text)) == 1


async def test_a_duplicate_stops_waiting_at_its_own_deadline_while_the_first_continues(platform: Platform, key: str) -> None:
    text = question()
    await platform.provider.fault("delay", text, argument=3_000)
    first = asyncio.create_task(_by_header(platform, text, key))
    await platform.provider.asked(text)
    response = await platform.execute(text, headers={"Idempotency-Key": key, "grpc-timeout": "1S"})
    error_of(response, 504, "UPSTREAM_TIMEOUT")
    assert await first == await _by_header(platform, text, key)
    assert len(platform.provider.purchases(text)) == 1


async def test_the_key_of_a_retryable_failure_can_be_used_again(platform: Platform, key: str) -> None:
    text = question()
    await platform.provider.fault("malformed", text, count=1)
    error_of(await platform.execute(text, headers={"Idempotency-Key": key}), 502, "LLM_API_ERROR")
    execution_id = await _by_header(platform, text, key)
    assert await _by_header(platform, text, key) == execution_id
    assert len(platform.provider.purchases(text)) == 2  # both are in the books


async def test_the_key_of_a_permanent_failure_returns_the_same_failure(platform: Platform, key: str) -> None:
    body: dict[str, Any] = {"agent_id": UNKNOWN_MODEL, "idempotency_key": key}
    text = question()
    errors = [error_of(await platform.execute(text, **body), 502, "LLM_API_ERROR") for _ in range(2)]
    assert errors[0]["message"] == errors[1]["message"]
    assert errors[1]["details"]["retryable"] is False
    assert len(platform.provider.purchases(text)) == 1
