import time
from dataclasses import replace

import grpc
import pytest

from tests.contract.gateway.relay import Relay
from tests.rpc.orchestrator.running import Call, Mesh, anonymous_channel, documented_error, failure_of, read
from tests.support.waiting import eventually


async def over_at_provider(call: Call) -> bool:
    """Whether the provider has stopped working on the call."""
    return all(entry["outcome"] != "started" for entry in await call.purchases())


async def over_within(call: Call, seconds: float) -> None:
    async def over() -> bool:
        return await over_at_provider(call)

    await eventually(over, within=seconds)


async def test_a_deadline_that_leaves_no_time_buys_nothing(call: Call) -> None:
    error = await failure_of(call.execute(timeout=0.24))
    assert error.reason == "UPSTREAM_TIMEOUT"
    assert "0.5 s" in error.message
    assert await call.rows() == []


async def test_a_deadline_that_has_passed_buys_nothing(call: Call) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as late:
        await call.execute(timeout=0)
    assert late.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert await call.rows() == []


async def test_a_provider_slower_than_the_deadline_is_reported_before_the_deadline_passes(call: Call) -> None:
    await call.fault("hang")
    began = time.monotonic()
    error = await failure_of(call.execute(timeout=1.5))
    assert error.reason == "LLM_API_TIMEOUT"
    assert time.monotonic() - began < 1.5
    await over_within(call, 1)


async def test_the_books_have_the_possible_cost_of_a_call_that_timed_out(call: Call) -> None:
    await call.fault("hang")
    await failure_of(call.execute(timeout=1.2))
    row, (purchase,) = await call.settled(), await call.purchases()
    assert (row["status"], row["usage_estimated"]) == ("failed", True)
    assert row["input_tokens"] >= purchase["input_tokens"]
    assert row["output_tokens"] == 4096


async def test_a_stream_slower_than_the_deadline_ends_with_the_event_and_the_status(call: Call) -> None:
    await call.fault("trickle", 200)
    streamed = await read(call.stream(timeout=1.5))
    assert streamed.kinds == ["started", "delta", "error"]
    assert streamed.events[-1].error.code == documented_error(streamed.failure).reason == "LLM_API_TIMEOUT"
    assert (await call.settled())["result"] == streamed.text
    await over_within(call, 1)


async def test_a_call_without_a_deadline_is_answered(call: Call) -> None:
    assert (await call.execute(timeout=None)).result
    await call.settled()


async def test_a_client_that_cancels_a_stream_ends_the_provider_request_and_pays_the_usage(call: Call) -> None:
    await call.fault("trickle", 50)
    stream = call.stream()
    for _ in range(4):
        await stream.read()
    stream.cancel()
    await over_within(call, 1)
    row, (purchase,) = await call.settled(), await call.purchases()
    assert (row["status"], purchase["outcome"]) == ("cancelled", "client_gone")
    assert row["result"]
    assert (row["input_tokens"], row["usage_estimated"]) == (purchase["input_tokens"], True)
    assert purchase["output_tokens"] <= row["output_tokens"] < 4096


async def test_a_client_that_cancels_a_call_ends_the_provider_request_and_pays_the_worst_case(call: Call) -> None:
    await call.fault("hang")
    execute = call.execute()
    await eventually(call.asked)
    execute.cancel()
    await over_within(call, 1)
    row, (purchase,) = await call.settled(), await call.purchases()
    assert (row["status"], row["usage_estimated"], row["output_tokens"]) == ("cancelled", True, 4096)
    assert row["input_tokens"] >= purchase["input_tokens"]


@pytest.mark.parametrize("kind", ["execute", "stream"])
async def test_a_broken_connection_is_a_cancellation(mesh: Mesh, kind: str) -> None:
    relay = Relay()
    relay.target = mesh.orchestrator.port
    await relay.accept()
    behind = replace(mesh.orchestrator, port=relay.port, anonymous=anonymous_channel(relay.port))
    call = replace(mesh, orchestrator=behind).call()
    await call.fault("hang")
    lost = getattr(call, kind)()
    await eventually(call.asked)
    await relay.refuse()
    await over_within(call, 1)
    assert (await call.settled())["status"] == "cancelled"
    assert await lost.code() is grpc.StatusCode.UNAVAILABLE


async def test_a_client_that_cancels_at_once_leaves_no_intent_open(call: Call) -> None:
    """Wherever the cancellation interrupts the calls, each intent is settled; the fixture looks for open ones."""
    for turn in range(30):
        execute = call.execute()
        if turn % 3:
            await execute.wait_for_connection()
        execute.cancel()

    async def all_settled() -> bool:
        return all(row["status"] != "running" for row in await call.rows())

    await eventually(all_settled)
    assert await over_at_provider(call)
