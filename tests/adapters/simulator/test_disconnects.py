"""A client that disconnects: the simulator notices at once, and logs what was produced until then."""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from anthropic import AsyncAnthropic, DefaultAioHttpClient, DefaultAsyncHttpxClient

from tests.adapters.simulator.conftest import Simulator
from tests.support.waiting import eventually

NOTICED_WITHIN_SECONDS = 0.1


@pytest.fixture(params=[DefaultAioHttpClient, DefaultAsyncHttpxClient], ids=["aiohttp", "httpx"])
async def leaving(request: pytest.FixtureRequest, simulator: Simulator) -> AsyncIterator[AsyncAnthropic]:
    """The SDK with each of its transports."""
    async with AsyncAnthropic(base_url=simulator.url, api_key="any", max_retries=0, http_client=request.param()) as client:
        yield client


def question(execution: str, model: str) -> dict[str, Any]:
    return {
        "model": model,
        "max_tokens": 1024,
        "messages": [{"role": "user", "content": "Please plan the migration of 40 services."}],
        "extra_headers": {"x-agentmesh-execution-id": execution},
    }


async def noticed(simulator: Simulator, execution: str) -> dict[str, Any]:
    """The log entry of the client that has disconnected; its timestamp shows whether it was noticed soon enough."""
    left = datetime.now(UTC)
    ended = await simulator.ended(execution)
    assert (datetime.fromisoformat(ended["at"]) - left).total_seconds() < NOTICED_WITHIN_SECONDS
    await eventually(simulator.idle, within=1)
    return ended


@pytest.mark.parametrize("model", ["sim-hang", "sim-delay-60000"])
@pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
async def test_a_client_that_cancels_while_it_waits_is_noticed(
    simulator: Simulator, leaving: AsyncAnthropic, model: str, stream: bool
) -> None:
    execution = str(uuid.uuid4())
    call = asyncio.create_task(leaving.messages.create(**question(execution, model), stream=stream))
    await eventually(simulator.active)
    await eventually(lambda: simulator.entries(execution))
    call.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await call
    ended = await noticed(simulator, execution)
    assert (ended["outcome"], ended["output_tokens"], ended["billed"]) == ("client_gone", 0, True)
    assert ended["input_tokens"] > 0


async def test_a_client_that_closes_a_stream_is_charged_for_what_was_sent(simulator: Simulator, leaving: AsyncAnthropic) -> None:
    execution = str(uuid.uuid4())
    stream = await leaving.messages.create(**question(execution, "sim-trickle-30"), stream=True)
    received = 0
    async for event in stream:
        if event.type == "content_block_delta":
            received += 1
        if received == 3:
            break
    await stream.close()
    ended = await noticed(simulator, execution)
    assert ended["outcome"] == "client_gone"
    assert 0 < ended["output_tokens"] < 200
    assert ended["billed"] is True


async def test_the_simulator_keeps_running_after_many_clients_disconnected(simulator: Simulator, leaving: AsyncAnthropic) -> None:
    calls = [asyncio.create_task(leaving.messages.create(**question(str(uuid.uuid4()), "sim-hang"))) for _ in range(50)]

    async def all_there() -> bool:
        return await simulator.active() == 50

    await eventually(all_there)
    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)
    await eventually(simulator.idle, within=1)
    assert (await leaving.messages.create(**question(str(uuid.uuid4()), "claude-sonnet-5-5"))).stop_reason == "end_turn"
