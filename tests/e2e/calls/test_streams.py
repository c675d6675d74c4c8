"""Streams through the whole platform: they start early, report failures, and stop when the client disconnects."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import grpc
import pytest
from agentmesh.execution.v1 import execution_service_pb2 as execution
from agentmesh.execution.v1.execution_service_pb2_grpc import ExecutionServiceStub

from mesh.rpc.status import TABLE
from mesh.rpc.status import error_of as error_of_status
from tests.contract.gateway.wire import error_of, events_of
from tests.e2e.definitions import AGENT
from tests.e2e.platform import Platform, question
from tests.e2e.provocations import SECONDS, failure, stopped
from tests.support.waiting import eventually

STREAM = f"/api/v1/agents/{AGENT}/stream"
AT_ONCE_SECONDS = 1.0
"""The time within which the provider's work must end after the client has disconnected."""


@contextlib.asynccontextmanager
async def _listening(platform: Platform, text: str) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
    """The events of a stream over REST as they arrive; leaving the block closes the connection."""

    async def events() -> AsyncGenerator[dict[str, Any], None]:
        async for line in response.aiter_lines():
            for event in events_of(line):
                yield event

    async with platform.http.stream("POST", STREAM, json={"input": text}) as response, contextlib.aclosing(events()) as coming:
        yield coming


def _streaming(channel: grpc.aio.Channel, text: str, seconds: float = SECONDS) -> Any:
    return ExecutionServiceStub(channel).StreamAgent(execution.StreamAgentRequest(agent_id=AGENT, input=text), timeout=seconds)


async def test_the_first_piece_reaches_the_client_while_the_provider_is_still_answering(platform: Platform) -> None:
    text = question()
    await platform.provider.fault("trickle", text, argument=100)
    async with _listening(platform, text) as events:
        execution_id = (await anext(events))["started"]["execution_id"]
        assert "delta" in await anext(events)
        outcomes = [line["outcome"] for line in platform.provider.entries() if line["execution_id"] == execution_id]
        assert (outcomes, await platform.provider.active()) == (["started"], 1)
        rest = [event async for event in events]
    assert "done" in rest[-1]
    assert len([event for event in rest if "delta" in event]) > 5  # the rest arrived in pieces


async def test_a_client_that_disconnects_ends_the_providers_work_and_pays_for_what_was_done(platform: Platform) -> None:
    text = question()
    await platform.provider.fault("trickle", text, argument=100)
    async with _listening(platform, text) as events:
        started, delta = await anext(events), await anext(events)
    await eventually(platform.provider.idle, AT_ONCE_SECONDS)
    await _cancelled_with_its_cost(platform, started["started"]["execution_id"], delta["delta"]["text"])


async def test_a_native_client_that_cancels_ends_the_providers_work_and_pays_for_what_was_done(platform: Platform) -> None:
    text = question()
    await platform.provider.fault("trickle", text, argument=100)
    call = _streaming(platform.gateway, text)
    started, delta = await call.read(), await call.read()
    call.cancel()
    await eventually(platform.provider.idle, AT_ONCE_SECONDS)
    await _cancelled_with_its_cost(platform, started.started.execution_id, delta.delta.text)


async def _cancelled_with_its_cost(platform: Platform, execution_id: str, beginning: str) -> None:
    spent = await platform.provider.ended(execution_id)
    assert spent["outcome"] == "client_gone"
    execution = await platform.settled(execution_id)
    assert (execution["status"], execution["failure"]["code"]) == ("EXECUTION_STATUS_CANCELLED", "CANCELLED")
    assert execution["result"].startswith(beginning)
    usage = execution["usage"]
    assert usage["estimated"]
    billed = spent["input_tokens"] + spent["cache_read_input_tokens"] + spent["cache_creation_input_tokens"]
    assert usage["input_tokens"] + usage["cache_read_tokens"] + usage["cache_write_tokens"] >= billed > 0
    assert usage["output_tokens"] >= 1
    assert int(usage["cost_micro_usd"]) > 0


async def test_a_client_that_abandons_a_unary_call_ends_the_providers_work(platform: Platform) -> None:
    text = question()
    await platform.provider.fault("hang", text)
    call = asyncio.create_task(platform.execute(text))
    execution_id = (await platform.provider.asked(text))["execution_id"]
    call.cancel()
    await eventually(platform.provider.idle, AT_ONCE_SECONDS)
    execution = await platform.settled(execution_id)
    assert execution["status"] == "EXECUTION_STATUS_CANCELLED"
    assert execution["usage"]["input_tokens"] >= (await platform.provider.ended(execution_id))["input_tokens"] > 0


@pytest.mark.parametrize("fault", ["cut", "stream-error", "malformed"])
async def test_a_stream_that_fails_midway_ends_with_the_error(platform: Platform, fault: str) -> None:
    text = question()
    await platform.provider.fault(fault, text)
    response = await platform.http.post(STREAM, json={"input": text})
    assert response.status_code == 200  # it had begun
    started, *deltas, last = events_of(response.text)
    assert sorted(last["error"]) == ["code", "details", "message", "request_id", "timestamp"]
    assert last["error"]["code"] == "LLM_API_ERROR"
    assert last["error"]["request_id"] == response.headers["x-request-id"]
    assert last["sequence"] == len(deltas) + 2
    execution = await platform.execution(started["started"]["execution_id"])
    assert (execution["status"], execution["failure"]["code"]) == ("EXECUTION_STATUS_FAILED", "LLM_API_ERROR")
    assert execution["failure"]["message"] == last["error"]["message"]
    assert execution["result"] == "".join(event["delta"]["text"] for event in deltas) != ""
    assert int(execution["usage"]["cost_micro_usd"]) > 0
    assert len(platform.provider.purchases(text)) == 1


async def test_a_native_stream_that_fails_ends_with_the_error_and_the_same_status(platform: Platform) -> None:
    text = question()
    await platform.provider.fault("cut", text)
    events: list[execution.StreamAgentResponse] = []

    async def listen() -> None:
        async for event in _streaming(platform.gateway, text):
            events.append(event)

    ended = await failure(listen())
    problem = error_of_status(ended)
    assert problem is not None
    last = events[-1].error
    assert (problem.reason, problem.message) == (last.code, last.message)
    assert ended.code() is TABLE[last.code].code


@pytest.mark.parametrize("fault", ["529", "500", "empty"])
async def test_a_stream_that_fails_before_its_first_piece_is_an_ordinary_error(platform: Platform, fault: str) -> None:
    text = question()
    await platform.provider.fault(fault, text)
    error_of(await platform.http.post(STREAM, json={"input": text}), 502, "LLM_API_ERROR")


async def test_a_stream_of_an_unavailable_agent_is_an_ordinary_error(platform: Platform) -> None:
    async with stopped(platform, "agents-0"):
        error_of(await platform.http.post(STREAM, json={"input": question()}), 503, "AGENT_UNAVAILABLE")


async def test_a_stream_whose_agent_dies_midway_reports_it_and_costs_its_worst_case(platform: Platform) -> None:
    text = question()
    await platform.provider.fault("trickle", text, argument=100)
    async with _listening(platform, text) as events:
        started, _ = await anext(events), await anext(events)
        platform.stack.process("agents-0").kill()
        rest = [event async for event in events]
    assert rest[-1]["error"]["code"] == "AGENT_EXECUTION_FAILED"
    execution = await platform.settled(started["started"]["execution_id"])
    assert execution["status"] == "EXECUTION_STATUS_OUTCOME_UNKNOWN"
    assert execution["usage"]["estimated"]
    await platform.recovered()


async def test_concurrent_streams_do_not_mix(platform: Platform) -> None:
    texts = [question() for _ in range(20)]
    responses = await asyncio.gather(*(platform.http.post(STREAM, json={"input": text}) for text in texts))
    for text, response in zip(texts, responses, strict=True):
        started, *_, done = events_of(response.text)
        assert (await platform.execution(done["done"]["execution_id"]))["input"] == text
        assert started["started"]["execution_id"] == done["done"]["execution_id"]
