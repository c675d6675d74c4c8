"""Calls in progress: Cancel ends them with the usage so far, and every ending is counted."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar

import pytest
from prometheus_client import REGISTRY

from agent_server.hosting.calls import CallsInProgress
from agent_server.model.errors import AgentExecutionFailed, AnswerIncomplete, ModelApiError
from agent_server.model.ports import Answer, Meter, Prompt
from agent_server.turn.agent import Agent
from agent_server.turn.turn import Result, Turn
from mesh.errors import CallCancelled, MeshError
from mesh.usage import TokenUsage
from tests.unit.agent_server.conftest import closing, define

R = TypeVar("R")
USED = TokenUsage("claude-sonnet-5-5", 11, 22)
ANSWER = Answer("Hello world", "claude-sonnet-5-5", "end_turn")


def unconverted(frame: R) -> R:
    """Stands in for the conversion to a response."""
    return frame


class ScriptedModel:
    """A model that returns the answer or failure that the test sets, when the test allows it."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.may_answer = asyncio.Event()
        self.ended = asyncio.Event()
        self.failure: Exception | None = None
        self.answer = ANSWER

    async def complete(self, prompt: Prompt, meter: Meter, timeout: float) -> Answer:
        return await anext(item async for item in self.stream(prompt, meter, timeout) if isinstance(item, Answer))

    async def stream(self, prompt: Prompt, meter: Meter, timeout: float) -> AsyncIterator[str | Answer]:
        try:
            meter.reported(USED)
            self.asked.set()
            yield "Hello "
            await self.may_answer.wait()
            if self.failure:
                raise self.failure
            yield "world"
            yield self.answer
        finally:
            self.ended.set()


@pytest.fixture
def model() -> ScriptedModel:
    return ScriptedModel()


@pytest.fixture
def turn(model: ScriptedModel, request: pytest.FixtureRequest) -> Callable[[], Turn]:
    """Builds turns of an agent that is named after the test, so that no other test counts in its metrics."""
    agent = Agent(define(name=request.node.name), "claude-sonnet-5-5")
    return lambda: Turn(agent, model, "simulator", text="x", context=None, execution_id="e")


async def whole(calls: CallsInProgress, turn: Turn) -> Any:
    return await calls.whole("e", turn, 10, unconverted)


async def streamed(calls: CallsInProgress, turn: Turn) -> Any:
    return [frame async for frame in calls.frames("e", turn, 10, unconverted)]


both = pytest.mark.parametrize("way", [whole, streamed])


def counted(request: pytest.FixtureRequest) -> dict[str, float]:
    samples = [sample for metric in REGISTRY.collect() for sample in metric.samples if sample.name == "agent_requests_total"]
    return {sample.labels["status"]: sample.value for sample in samples if sample.labels["agent_name"] == request.node.name}


@both
async def test_an_answer_carries_its_usage_and_is_counted(
    way: Any, model: ScriptedModel, turn: Callable[[], Turn], request: pytest.FixtureRequest
) -> None:
    model.may_answer.set()
    answered = await way(CallsInProgress(), turn())
    result = answered[-1] if isinstance(answered, list) else answered
    assert isinstance(result, Result)
    assert (result.text, result.usage) == ("Hello world", USED)
    assert result.metadata == {
        "provider": "simulator",
        "model": "claude-sonnet-5-5",
        "stop_reason": "end_turn",
        "agent_revision": "000000000001",
    }
    assert counted(request) == {"success": 1}


@both
async def test_cancel_ends_a_call_with_cancelled_and_the_usage_so_far(
    way: Any, model: ScriptedModel, turn: Callable[[], Turn], request: pytest.FixtureRequest
) -> None:
    calls = CallsInProgress()
    call = asyncio.create_task(way(calls, turn()))
    await model.asked.wait()
    assert calls.cancel("e")
    with pytest.raises(CallCancelled) as cancelled:
        await call
    assert TokenUsage.from_details(cancelled.value.details) == USED
    assert model.ended.is_set()
    assert counted(request) == {"cancelled": 1}
    assert not calls.cancel("e")


@both
async def test_cancel_before_the_first_step_of_the_call_ends_it(way: Any, turn: Callable[[], Turn]) -> None:
    calls = CallsInProgress()
    call = asyncio.create_task(way(calls, turn()))
    async with asyncio.timeout(2):
        while not calls.cancel("e"):  # noqa: ASYNC110 (the moment before the first step of the provider's task is meant)
            await asyncio.sleep(0)
        with pytest.raises(CallCancelled) as cancelled:
            await call
    assert TokenUsage.from_details(cancelled.value.details) is None


@both
async def test_a_disconnected_caller_ends_the_provider_call(
    way: Any, model: ScriptedModel, turn: Callable[[], Turn], request: pytest.FixtureRequest
) -> None:
    calls = CallsInProgress()
    call = asyncio.create_task(way(calls, turn()))
    await model.asked.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    async with asyncio.timeout(2):
        await model.ended.wait()
    assert counted(request) == {"cancelled": 1}
    assert not calls.cancel("e")


async def test_an_abandoned_stream_ends_the_provider_call(model: ScriptedModel, turn: Callable[[], Turn]) -> None:
    async with closing(CallsInProgress().frames("e", turn(), 10, unconverted)) as frames:
        assert await anext(frames) == "Hello "
    async with asyncio.timeout(2):
        await model.ended.wait()


@both
async def test_a_provider_failure_carries_the_usage_so_far(
    way: Any, model: ScriptedModel, turn: Callable[[], Turn], request: pytest.FixtureRequest
) -> None:
    model.failure = ModelApiError("it broke", retryable=True, provider_status="500")
    model.may_answer.set()
    with pytest.raises(ModelApiError) as failed:
        await way(CallsInProgress(), turn())
    assert failed.value.details["provider_status"] == "500"
    assert TokenUsage.from_details(failed.value.details) == USED
    assert counted(request) == {"llm_api_error": 1}


@both
async def test_an_internal_error_becomes_agent_execution_failed_with_the_usage_and_without_its_text(
    way: Any, model: ScriptedModel, turn: Callable[[], Turn], request: pytest.FixtureRequest
) -> None:
    model.failure = RuntimeError("a secret inside")
    model.may_answer.set()
    with pytest.raises(AgentExecutionFailed) as failed:
        await way(CallsInProgress(), turn())
    assert "secret" not in failed.value.message
    assert TokenUsage.from_details(failed.value.details) == USED
    assert counted(request) == {"agent_execution_failed": 1}


@both
async def test_an_empty_answer_is_a_failure_unless_it_is_a_refusal(way: Any, model: ScriptedModel, turn: Callable[[], Turn]) -> None:
    async def empty_stream(prompt: Prompt, meter: Meter, timeout: float) -> AsyncIterator[str | Answer]:
        meter.reported(USED)
        yield model.answer

    model.stream = empty_stream  # type: ignore[method-assign]
    model.answer = Answer("", "claude-sonnet-5-5", "end_turn")
    with pytest.raises(ModelApiError) as failed:
        await way(CallsInProgress(), turn())
    assert failed.value.retryable is True
    model.answer = Answer("", "claude-sonnet-5-5", "refusal")
    answered = await way(CallsInProgress(), turn())
    result = answered[-1] if isinstance(answered, list) else answered
    assert (result.text, result.metadata["stop_reason"]) == ("", "refusal")


INCOMPLETE = [
    (Answer("", "m", "max_tokens", thought=True), "spent all 1000 tokens (max_tokens) on thinking and wrote no text"),
    (Answer("", "m", "max_tokens"), "on output and wrote no text; raise max_tokens"),
    (Answer("", "m", "model_context_window_exceeded"), "shorten the input or the context"),
    (Answer("Let me", "m", "pause_turn"), "paused its turn (pause_turn)"),
    (Answer("", "m", "pause_turn"), "paused its turn (pause_turn)"),
    (Answer("Let me", "m", "tool_use"), "called a tool (tool_use)"),
]


@both
@pytest.mark.parametrize(("answer", "message"), INCOMPLETE, ids=[f"{answer.stop_reason}-{answer.text}" for answer, _ in INCOMPLETE])
async def test_an_unfinished_answer_is_answer_incomplete_and_not_retryable(
    way: Any, model: ScriptedModel, turn: Callable[[], Turn], request: pytest.FixtureRequest, answer: Answer, message: str
) -> None:
    async def incomplete_stream(prompt: Prompt, meter: Meter, timeout: float) -> AsyncIterator[str | Answer]:
        meter.reported(USED)
        yield answer.text
        yield answer

    model.stream = incomplete_stream  # type: ignore[method-assign]
    with pytest.raises(AnswerIncomplete) as failed:
        await way(CallsInProgress(), turn())
    assert message in failed.value.message
    details = failed.value.details
    assert (failed.value.retryable, details["stop_reason"], details["execution_id"]) == (False, answer.stop_reason, "e")
    assert TokenUsage.from_details(failed.value.details) == USED
    assert counted(request) == {"answer_incomplete": 1}


@both
@pytest.mark.parametrize("reason", ["max_tokens", "model_context_window_exceeded", "refusal", "stop_sequence", "", "something_new"])
async def test_a_truncated_text_is_an_answer_with_its_stop_reason(
    way: Any, model: ScriptedModel, turn: Callable[[], Turn], reason: str
) -> None:
    model.may_answer.set()
    model.answer = Answer("Hello world", "m", reason, "why")
    answered = await way(CallsInProgress(), turn())
    result = answered[-1] if isinstance(answered, list) else answered
    assert (result.stop_reason, result.stop_detail, result.metadata["stop_reason"]) == (reason, "why", reason)


@both
async def test_a_response_that_cannot_be_built_is_counted_with_its_usage(
    way: Any, model: ScriptedModel, turn: Callable[[], Turn], request: pytest.FixtureRequest
) -> None:
    model.may_answer.set()
    calls = CallsInProgress()

    def fail(frame: object) -> object:
        if isinstance(frame, Result):
            raise ValueError("unpaired surrogate")
        return frame

    async def ask() -> None:
        if way is whole:
            await calls.whole("e", turn(), 10, fail)
        else:
            _ = [frame async for frame in calls.frames("e", turn(), 10, fail)]

    with pytest.raises(AgentExecutionFailed) as failed:
        await ask()
    assert TokenUsage.from_details(failed.value.details) == USED
    assert counted(request) == {"agent_execution_failed": 1}


async def test_a_stream_sends_heartbeats_while_the_provider_is_silent(model: ScriptedModel, turn: Callable[[], Turn]) -> None:
    async with closing(CallsInProgress(heartbeat_seconds=0.01).frames("e", turn(), 10, unconverted)) as frames:
        assert [await anext(frames) for _ in range(3)] == ["Hello ", None, None]


async def test_the_end_of_a_call_keeps_a_later_call_with_the_same_id_cancellable(model: ScriptedModel, turn: Callable[[], Turn]) -> None:
    calls = CallsInProgress()
    first = asyncio.create_task(whole(calls, turn()))
    await model.asked.wait()
    model.asked.clear()
    second = asyncio.create_task(whole(calls, turn()))
    await model.asked.wait()
    first.cancel()
    await asyncio.wait([first])
    assert calls.cancel("e")
    with pytest.raises(MeshError):
        await second


async def test_a_call_without_an_id_cannot_be_cancelled(model: ScriptedModel, turn: Callable[[], Turn]) -> None:
    calls = CallsInProgress()
    call = asyncio.create_task(calls.whole("", turn(), 10, unconverted))
    await model.asked.wait()
    assert not calls.cancel("")
    model.may_answer.set()
    assert (await call).text == "Hello world"
