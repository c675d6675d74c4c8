import asyncio
from typing import Any

import pytest

from mesh.rpc.convert import struct
from tests.rpc.orchestrator.running import Call, documented_error, failure_of, read
from tests.support.waiting import eventually


@pytest.fixture
def key(call: Call) -> dict[str, Any]:
    """A request field with a key that is unique to this call."""
    return {"idempotency_key": f"key-{call.name}"}


async def test_the_same_key_and_body_return_the_same_result_and_buy_once(call: Call, key: dict[str, Any]) -> None:
    first, second = await call.execute(**key), await call.execute(**key)
    assert first == second
    assert len(await call.purchases()) == 1
    assert (await call.settled())["status"] == "completed"


async def test_the_key_may_be_metadata(call: Call, key: dict[str, Any]) -> None:
    header = (("idempotency-key", key["idempotency_key"]),)
    answers = [await call.execute(metadata=header), await call.execute(**key), await call.execute(metadata=header, **key)]
    assert len({answer.execution_id for answer in answers}) == 1


async def test_the_order_of_the_contexts_keys_does_not_matter(call: Call, key: dict[str, Any]) -> None:
    first = await call.execute(context=struct({"a": 1, "b": {"c": 2, "d": 3}}), **key)
    second = await call.execute(context=struct({"b": {"d": 3, "c": 2}, "a": 1}), **key)
    assert first == second


@pytest.mark.parametrize("other", [{"input": "something else"}, {"context": struct({"a": 1})}, {"agent_id": "own_helper_agent_1_7"}])
async def test_another_body_is_a_conflict_and_buys_nothing(call: Call, key: dict[str, Any], other: dict[str, Any]) -> None:
    await call.execute(**key)
    error = await failure_of(call.execute(**{**key, **other}))
    assert (error.reason, error.details) == ("IDEMPOTENCY_CONFLICT", key)
    await call.settled()


async def test_another_body_is_a_conflict_while_the_first_call_is_in_progress(call: Call, key: dict[str, Any]) -> None:
    await call.fault("delay", 800)
    first = call.execute(**key)
    await eventually(call.asked)
    assert (await failure_of(call.execute(input="something else", **key))).reason == "IDEMPOTENCY_CONFLICT"
    await first


async def test_duplicates_of_a_call_in_progress_wait_for_it(call: Call, key: dict[str, Any]) -> None:
    await call.fault("delay", 600)
    answers = await asyncio.gather(*(call.execute(**key) for _ in range(12)))
    assert len({answer.SerializeToString(deterministic=True) for answer in answers}) == 1
    assert len(await call.purchases()) == 1


async def test_a_duplicate_that_times_out_does_not_stop_the_first_call(call: Call, key: dict[str, Any]) -> None:
    await call.fault("delay", 1500)
    first = call.execute(**key)
    await eventually(call.asked)
    error = await failure_of(call.execute(timeout=0.8, **key))
    assert error.reason == "UPSTREAM_TIMEOUT"
    assert "same key" in error.message
    answer = await first
    assert (await call.execute(**key)) == answer


async def test_a_permanently_failed_call_returns_the_same_error_again(call: Call, key: dict[str, Any]) -> None:
    """The definition's schema refuses the context, so a retry would fail in the same way."""
    checked = {"agent_id": "own_helper_agent_1_20", "context": struct({"year": 1999}), **key}
    first, second = await failure_of(call.execute(**checked)), await failure_of(call.execute(**checked))
    assert first.reason == second.reason == "VALIDATION_ERROR"
    assert first.message == second.message
    assert (await call.settled())["status"] == "failed"


async def test_a_call_that_failed_with_a_retryable_error_is_repeated_under_the_same_key(call: Call, key: dict[str, Any]) -> None:
    await call.fault("500", count=2)  # the agent itself retries once
    assert (await failure_of(call.execute(**key))).reason == "LLM_API_ERROR"
    answer = await call.execute(**key)
    assert [row["status"] for row in await call.rows()] == ["failed", "completed"]
    assert (await call.execute(**key)) == answer


async def test_a_duplicate_takes_over_when_the_first_caller_disconnects(call: Call, key: dict[str, Any]) -> None:
    await call.fault("hang", count=1)
    first = call.execute(**key)
    await eventually(call.asked)
    second = call.execute(**key)
    first.cancel()
    assert (await second).result
    assert [row["status"] for row in await call.rows()] == ["cancelled", "completed"]


async def test_two_different_keys_in_one_request_are_refused(call: Call, key: dict[str, Any]) -> None:
    error = await failure_of(call.execute(metadata=(("idempotency-key", "another"),), **key))
    assert (error.reason, error.violations[0].field) == ("VALIDATION_ERROR", "idempotency_key")
    assert await call.rows() == []


@pytest.mark.parametrize("given", ["two words", "k" * 201])
async def test_an_invalid_key_is_refused_in_field_and_metadata(call: Call, given: str) -> None:
    for refused in (call.execute(idempotency_key=given), call.execute(metadata=(("idempotency-key", given),))):
        assert (await failure_of(refused)).reason == "VALIDATION_ERROR"
    assert await call.rows() == []


async def test_a_repeated_stream_replays_the_recorded_answer_and_buys_once(call: Call, key: dict[str, Any]) -> None:
    first, second = await read(call.stream(**key)), await read(call.stream(**key))
    assert first.kinds == second.kinds == ["started", "delta", "usage", "done"]
    assert second.text == first.text
    assert second.events[-1].done == first.events[-1].done
    assert second.events[-2].usage == first.events[-2].usage
    assert [event.WhichOneof("event") for event in second.events].count("delta") == 1
    assert len(await call.purchases()) == 1


async def test_the_key_of_a_stream_may_be_metadata(call: Call, key: dict[str, Any]) -> None:
    header = (("idempotency-key", key["idempotency_key"]),)
    streams = [await read(call.stream(metadata=header)), await read(call.stream(**key))]
    assert len({stream.events[0].started.execution_id for stream in streams}) == 1
    assert len(await call.purchases()) == 1


async def test_a_stream_and_a_call_share_their_keys(call: Call, key: dict[str, Any]) -> None:
    streamed = await read(call.stream(**key))
    answer = await call.execute(**key)
    assert (answer.execution_id, answer.result) == (streamed.events[0].started.execution_id, streamed.text)
    assert len(await call.purchases()) == 1


async def test_a_stream_with_the_key_of_another_body_is_a_conflict(call: Call, key: dict[str, Any]) -> None:
    await read(call.stream(**key))
    refused = await read(call.stream(input="something else", **key))
    assert (refused.events, documented_error(refused.failure).reason) == ([], "IDEMPOTENCY_CONFLICT")
    await call.settled()


async def test_a_repeated_stream_waits_for_the_one_in_progress(call: Call, key: dict[str, Any]) -> None:
    await call.fault("delay", 600)
    streams = await asyncio.gather(*(read(call.stream(**key)) for _ in range(5)))
    assert {tuple(stream.kinds) for stream in streams} == {("started", "delta", "usage", "done")}
    assert len({stream.events[-1].done.execution_id for stream in streams}) == 1
    assert len(await call.purchases()) == 1


async def test_a_repeated_stream_of_a_permanently_failed_call_fails_in_the_same_way(call: Call, key: dict[str, Any]) -> None:
    checked = {"agent_id": "own_helper_agent_1_20", "context": struct({"year": 1999}), **key}
    first, second = await read(call.stream(**checked)), await read(call.stream(**checked))
    assert documented_error(first.failure).reason == documented_error(second.failure).reason == "VALIDATION_ERROR"
    assert (await call.settled())["status"] == "failed"
