"""A provider failure keeps its reason through agent and orchestrator, and its cost is recorded in the books."""

import json
from dataclasses import dataclass

import grpc
import pytest

from tests.rpc.orchestrator.running import Call, documented_error, failure_of, read


@dataclass(frozen=True)
class Outcome:
    """The caller's error for a fault; `bought` says whether the provider bills for it."""

    fault: str
    reason: str
    code: grpc.StatusCode
    retryable: bool
    bought: bool
    details: tuple[tuple[str, str], ...] = ()


INTERNAL = grpc.StatusCode.INTERNAL
OUTCOMES = (
    Outcome("429", "LLM_API_ERROR", INTERNAL, True, False, (("provider_status", "429"), ("provider_error", "rate_limit_error"))),
    Outcome("529", "LLM_API_ERROR", INTERNAL, True, False, (("provider_status", "529"), ("provider_error", "overloaded_error"))),
    Outcome("500", "LLM_API_ERROR", INTERNAL, True, False, (("provider_status", "500"), ("provider_error", "api_error"))),
    Outcome("malformed", "LLM_API_ERROR", INTERNAL, True, True),
    Outcome("cut", "LLM_API_ERROR", INTERNAL, True, True),
    Outcome("empty", "LLM_API_ERROR", INTERNAL, True, True),
)


@pytest.mark.parametrize("outcome", OUTCOMES, ids=lambda outcome: outcome.fault)
async def test_a_provider_failure_keeps_its_reason(call: Call, outcome: Outcome) -> None:
    await call.fault(outcome.fault, 60 if outcome.fault == "429" else None)
    execute = call.execute()
    error = await failure_of(execute)
    assert (error.reason, await execute.code(), error.retryable) == (outcome.reason, outcome.code, outcome.retryable)
    assert set(outcome.details) <= set(error.details.items())
    assert error.retry_after_seconds == (60 if outcome.fault == "429" else None)


@pytest.mark.parametrize("outcome", OUTCOMES, ids=lambda outcome: outcome.fault)
async def test_a_provider_failure_is_recorded_with_its_cost(call: Call, outcome: Outcome) -> None:
    await call.fault(outcome.fault, 60 if outcome.fault == "429" else None)
    error = await failure_of(call.execute())
    row, (purchase,) = await call.settled(), await call.purchases()
    assert purchase["billed"] is outcome.bought
    assert row["status"] == "failed"
    assert (row["model"] is not None) is outcome.bought
    if outcome.bought:
        assert row["input_tokens"] >= purchase["input_tokens"]
        assert row["output_tokens"] >= purchase["output_tokens"]
        assert row["cost_micro_usd"] > 0
    failure = json.loads(row["failure"])
    assert (failure["reason"], failure["message"], failure["retryable"]) == (error.reason, error.message, outcome.retryable)


@pytest.mark.parametrize("outcome", OUTCOMES, ids=lambda outcome: outcome.fault)
async def test_a_stream_keeps_the_reason_of_a_provider_failure(call: Call, outcome: Outcome) -> None:
    await call.fault(outcome.fault, 60 if outcome.fault == "429" else None)
    streamed = await read(call.stream())
    assert documented_error(streamed.failure).reason == outcome.reason
    row = await call.settled()
    assert (row["status"], row["streamed"], (row["model"] is not None)) == ("failed", True, outcome.bought)


async def test_a_failure_that_cost_nothing_is_retried_once_and_then_answered(call: Call) -> None:
    await call.fault("529", count=1)
    assert (await call.execute()).result
    row = await call.settled()
    entries = await call.mesh.provider.entries(str(row["execution_id"]))
    assert [(entry["outcome"], entry["status"]) for entry in entries if entry["outcome"] != "started"] == [
        ("fault:529", 529),
        ("completed", 200),
    ]
    assert (row["status"], row["input_tokens"]) == ("completed", entries[-1]["input_tokens"])


async def test_a_model_that_the_provider_does_not_know_is_not_retryable(call: Call) -> None:
    await call.mesh.provider.fault("429", 600, input_contains=call.name)
    error = await failure_of(call.execute())
    assert (error.reason, error.retry_after_seconds) == ("LLM_API_ERROR", 600)
    assert len(await call.mesh.provider.entries(str((await call.settled())["execution_id"]))) == 2
