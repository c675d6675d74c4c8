import json

import grpc
import pytest
from agentmesh.execution.v1 import execution_pb2
from google.protobuf.json_format import MessageToDict

from tests.rpc.orchestrator.running import Call, documented_error, read


async def test_a_stream_has_the_order_of_the_contract(call: Call) -> None:
    streamed = await read(call.stream())
    assert streamed.failure is None
    assert streamed.kinds == ["started", "delta", "usage", "done"]


async def test_the_events_of_a_stream_agree_with_each_other_and_with_the_books(call: Call) -> None:
    streamed = await read(call.stream())
    started, usage, done = streamed.events[0].started, streamed.events[-2].usage, streamed.events[-1].done
    row, (purchase,) = await call.settled(), await call.purchases()
    assert started.execution_id == done.execution_id == str(row["execution_id"])
    assert (row["status"], row["streamed"], row["result"]) == ("completed", True, streamed.text)
    assert (usage.input_tokens, usage.output_tokens) == (purchase["input_tokens"], purchase["output_tokens"])
    assert (row["cost_micro_usd"], row["price_table"]) == (usage.cost_micro_usd, usage.price_table)
    assert (done.agent_name, MessageToDict(done.metadata)) == ("Helper 1", json.loads(row["metadata"]))
    assert done.execution_time > 0


async def test_the_first_piece_arrives_while_the_provider_is_still_answering(call: Call) -> None:
    await call.fault("trickle", 40)
    stream = call.stream()
    assert (await stream.read()).WhichOneof("event") == "started"
    assert (await stream.read()).delta.text
    assert [entry["outcome"] for entry in await call.purchases()] == ["started"]
    assert (await call.rows())[0]["status"] == "running"
    stream.cancel()
    await call.settled()


async def test_a_stream_in_many_pieces_is_complete(call: Call) -> None:
    await call.fault("big", 60_000)
    streamed = await read(call.stream())
    assert streamed.kinds == ["started", "delta", "usage", "done"]
    assert len(streamed.text) == 60_000
    assert (await call.settled())["result"] == streamed.text


async def test_a_failure_before_the_first_event_is_only_a_status(call: Call) -> None:
    await call.fault("500")
    streamed = await read(call.stream())
    assert streamed.events == []
    assert documented_error(streamed.failure).reason == "LLM_API_ERROR"
    assert (await call.settled())["status"] == "failed"


@pytest.mark.parametrize("fault", ["cut", "stream-error"])
async def test_a_failure_midway_is_an_event_and_then_the_status(call: Call, fault: str) -> None:
    await call.fault(fault)
    streamed = await read(call.stream())
    assert streamed.kinds == ["started", "delta", "error"]
    error, status = streamed.events[-1].error, documented_error(streamed.failure)
    assert streamed.failure is not None
    assert streamed.failure.code() is grpc.StatusCode.INTERNAL
    assert (error.code, error.message, error.request_id) == (status.reason, status.message, call.request_id)
    assert error.code == "LLM_API_ERROR"
    assert MessageToDict(error.details)["retryable"] is True


@pytest.mark.parametrize("fault", ["cut", "stream-error"])
async def test_the_text_sent_by_a_failed_stream_is_recorded_with_its_cost(call: Call, fault: str) -> None:
    await call.fault(fault)
    streamed = await read(call.stream())
    row, (purchase,) = await call.settled(), await call.purchases()
    assert (row["status"], row["result"]) == ("failed", streamed.text)
    assert row["input_tokens"] == purchase["input_tokens"]
    assert row["output_tokens"] >= purchase["output_tokens"]
    record = await call.record(str(row["execution_id"]))
    assert (record.status, record.failure.code) == (execution_pb2.EXECUTION_STATUS_FAILED, "LLM_API_ERROR")


async def test_a_refusal_is_an_answer_without_text(call: Call) -> None:
    await call.fault("refusal")
    streamed = await read(call.stream())
    assert streamed.kinds == ["started", "usage", "done"]
    assert MessageToDict(streamed.events[-1].done.metadata)["stop_reason"] == "refusal"


async def test_a_slow_reader_receives_the_whole_stream(call: Call) -> None:
    """The caller may read more slowly than the provider writes."""
    await call.fault("big", 400_000)
    stream = call.stream()
    await call.settled()
    streamed = await read(stream)
    assert streamed.kinds == ["started", "delta", "usage", "done"]
    assert len(streamed.text) == 400_000
