"""A user's error when the model provider fails, and the cost recorded in the books."""

from typing import Any

import pytest

from mesh.rpc.status import error_of as error_of_status
from tests.contract.gateway.wire import error_of
from tests.e2e.definitions import AGENT, UNKNOWN_MODEL
from tests.e2e.platform import Platform, question
from tests.e2e.provocations import executing, failure


async def _books_of(platform: Platform, request_id: str) -> dict[str, Any]:
    rows = await platform.sql("SELECT execution_id FROM executions WHERE request_id = $1", request_id)
    assert len(rows) == 1
    return await platform.settled(str(rows[0]["execution_id"]))


@pytest.mark.parametrize("fault", ["429", "529", "500"])
async def test_a_refused_request_is_retried_once_and_then_fails_at_no_cost(platform: Platform, fault: str) -> None:
    text = question()
    await platform.provider.fault(fault, text)
    response = await platform.execute(text)
    assert response.status_code == 502
    error = response.json()["error"]
    if fault == "429":  # the response passes on the provider's retry-after
        assert (response.headers["retry-after"], error["details"]["retry_after_seconds"]) == ("1", 1)
    assert error["details"]["provider_status"] == fault
    assert error["details"]["retryable"] is True
    assert len(platform.provider.purchases(text)) == 2
    execution = await _books_of(platform, error["request_id"])
    assert (execution["status"], execution["failure"]["code"]) == ("EXECUTION_STATUS_FAILED", "LLM_API_ERROR")
    assert "usage" not in execution
    problem = error_of_status(await failure(executing(platform.gateway, text)))
    assert problem is not None
    assert (problem.reason, problem.retryable, problem.details["provider_status"]) == ("LLM_API_ERROR", True, fault)


@pytest.mark.parametrize("fault", ["429", "529", "500"])
async def test_a_transient_refusal_is_hidden_by_the_retry(platform: Platform, fault: str) -> None:
    text = question()
    await platform.provider.fault(fault, text, count=1)
    response = await platform.execute(text)
    assert response.status_code == 200, response.text
    statuses = [line["status"] for line in platform.provider.entries() if line["execution_id"] == response.json()["execution_id"]]
    assert statuses == [int(fault), int(fault), 200, 200]  # the log has two entries for each request


@pytest.mark.parametrize("fault", ["malformed", "cut", "empty"])
async def test_an_unusable_answer_is_an_error_recorded_with_its_cost(platform: Platform, fault: str) -> None:
    text = question()
    await platform.provider.fault(fault, text)
    error = error_of(await platform.execute(text), 502, "LLM_API_ERROR")
    assert error["details"]["retryable"] is True
    assert len(platform.provider.purchases(text)) == 1  # it was bought, so it must not be bought again
    execution = await _books_of(platform, error["request_id"])
    assert (execution["status"], execution["failure"]["code"]) == ("EXECUTION_STATUS_FAILED", "LLM_API_ERROR")
    spent = await platform.provider.ended(execution["execution_id"])
    assert spent["billed"]
    assert execution["usage"]["input_tokens"] >= spent["input_tokens"]
    assert execution["usage"]["output_tokens"] >= spent["output_tokens"]
    assert int(execution["usage"]["cost_micro_usd"]) > 0


async def test_a_model_that_the_provider_does_not_have_is_not_retryable(platform: Platform) -> None:
    text = question()
    error = error_of(await platform.execute(text, agent_id=UNKNOWN_MODEL), 502, "LLM_API_ERROR")
    assert error["details"]["retryable"] is False
    assert error["details"]["provider_status"] == "404"
    assert len(platform.provider.purchases(text)) == 1


async def test_an_unreachable_provider_is_an_error_that_costs_nothing(platform: Platform) -> None:
    await platform.stack.process("simulator").stop()
    try:
        error = error_of(await platform.execute(question()), 502, "LLM_API_ERROR")
    finally:
        await platform.stack.process("simulator").start()
    assert error["details"]["retryable"] is True
    assert "usage" not in await _books_of(platform, error["request_id"])
    assert (await platform.execute(question())).status_code == 200


async def test_a_provider_that_is_too_slow_is_a_timeout_at_its_worst_case(platform: Platform) -> None:
    text = question()
    await platform.provider.fault("hang", text)
    error = error_of(await platform.execute(text, headers={"grpc-timeout": "1500m"}), 504, "LLM_API_TIMEOUT")
    execution = await _books_of(platform, error["request_id"])
    assert execution["failure"]["code"] == "LLM_API_TIMEOUT"
    agent = (await platform.http.get(f"/api/v1/agents/{AGENT}")).json()["agent"]
    assert (execution["usage"]["estimated"], execution["usage"]["output_tokens"]) == (True, agent["max_tokens"])
    assert (await platform.provider.ended(execution["execution_id"]))["outcome"] == "client_gone"


async def test_secrets_in_an_answer_are_redacted(platform: Platform) -> None:
    text = question()
    await platform.provider.fault("secret", text)
    answer = (await platform.execute(text)).json()
    assert "[redacted: " in answer["result"]
    assert answer["metadata"]["guardrails"]["redacted"]
    assert (await platform.execution(answer["execution_id"]))["result"] == answer["result"]


async def test_a_refusal_of_the_model_is_an_answer(platform: Platform) -> None:
    text = question()
    await platform.provider.fault("refusal", text)
    answer = (await platform.execute(text)).json()
    assert (answer["result"], answer["metadata"]["stop_reason"]) == ("", "refusal")


async def test_a_very_long_answer_arrives_complete(platform: Platform) -> None:
    text = question()
    await platform.provider.fault("big", text, argument=1_000_000)
    answer = (await platform.execute(text)).json()
    assert len(answer["result"]) >= 1_000_000
