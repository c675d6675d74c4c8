"""The log, in which the provider records every request."""

import hashlib
import json
import uuid
from typing import Any

import pytest
from anthropic import APIError, AsyncAnthropic

from tests.adapters.simulator.conftest import Simulator

INPUT = "Please plan the migration of 40 services. Where do we begin?"


def question(execution: str, model: str = "claude-sonnet-5-5") -> dict[str, Any]:
    return {
        "model": model,
        "max_tokens": 1024,
        "messages": [{"role": "user", "content": INPUT}],
        "extra_headers": {"x-agentmesh-execution-id": execution},
    }


async def test_an_answer_has_two_entries_that_agree_with_its_usage(simulator: Simulator, client: AsyncAnthropic) -> None:
    execution = str(uuid.uuid4())
    message = await client.messages.create(**question(execution))
    await simulator.ended(execution)
    started, ended = await simulator.entries(execution)
    assert (started["outcome"], ended["outcome"]) == ("started", "completed")
    assert started["request_id"] == ended["request_id"] == message._request_id
    assert (started["output_tokens"], started["billed"]) == (0, True)
    assert (ended["input_tokens"], ended["output_tokens"]) == (message.usage.input_tokens, message.usage.output_tokens)
    assert ended["input_sha256"] == hashlib.sha256(INPUT.encode()).hexdigest()
    assert (ended["model"], ended["stream"], ended["status"], ended["billed"], ended["fault"]) == (
        "claude-sonnet-5-5",
        False,
        200,
        True,
        None,
    )
    assert ended["n"] > started["n"]


async def test_the_first_entry_is_in_the_file_before_the_first_byte_of_the_answer(simulator: Simulator, client: AsyncAnthropic) -> None:
    execution = str(uuid.uuid4())
    stream = await client.messages.create(**question(execution, "sim-trickle-20"), stream=True)
    async for _ in stream:
        entries = await simulator.entries(execution)
        break
    assert [entry["outcome"] for entry in entries] == ["started"]
    assert entries[0]["stream"] is True
    await stream.close()


@pytest.mark.parametrize(
    ("model", "stream", "outcome", "status", "billed"),
    [
        ("sim-429-0", False, "fault:429", 429, False),
        ("sim-529", True, "fault:529", 529, False),
        ("sim-500", False, "fault:500", 500, False),
        ("sim-malformed", False, "fault:malformed", 200, True),
        ("sim-malformed", True, "fault:malformed", 200, True),
        ("sim-stream-error", True, "fault:stream-error", 200, True),
        ("sim-cut", True, "cut", 200, True),
        ("sim-cut", False, "cut", 200, True),
        ("sim-refusal", False, "completed", 200, True),
        ("sim-empty", True, "completed", 200, True),
    ],
)
async def test_a_fault_has_its_outcome_in_the_log(
    simulator: Simulator, client: AsyncAnthropic, model: str, stream: bool, outcome: str, status: int, billed: bool
) -> None:
    execution = str(uuid.uuid4())
    await provoke(client, execution, model, stream)
    ended = await simulator.ended(execution)
    assert (ended["outcome"], ended["status"], ended["billed"]) == (outcome, status, billed)
    assert ended["fault"] == model.removeprefix("sim-").removesuffix("-0")
    assert (ended["input_tokens"] > 0, ended["output_tokens"] > 0) == (billed, billed)


async def provoke(client: AsyncAnthropic, execution: str, model: str, stream: bool) -> None:
    try:
        answer = await client.messages.create(**question(execution, model), stream=stream)
        if stream:
            _ = [event async for event in answer]  # type: ignore[union-attr]
    except (APIError, json.JSONDecodeError):
        return


async def test_an_interrupted_stream_is_charged_for_what_was_produced(simulator: Simulator, client: AsyncAnthropic) -> None:
    whole, cut = str(uuid.uuid4()), str(uuid.uuid4())
    await provoke(client, whole, "claude-sonnet-5-5", stream=True)
    await simulator.fault("cut", count=1)
    await provoke(client, cut, "claude-sonnet-5-5", stream=True)
    produced = (await simulator.ended(cut))["output_tokens"]
    assert 0 < produced < (await simulator.ended(whole))["output_tokens"]


async def test_the_log_endpoint_returns_the_entries_after_a_number(simulator: Simulator, client: AsyncAnthropic) -> None:
    before = (await simulator.control("GET", "log"))["last"]
    execution = str(uuid.uuid4())
    await client.messages.create(**question(execution))
    await simulator.ended(execution)
    listed = await simulator.control("GET", f"log?after={before}")
    assert listed["entries"] == await simulator.entries(execution)
    assert listed["last"] == before + 2
    assert listed["oldest"] == 1
    assert (await simulator.control("GET", f"log?after={listed['last']}"))["entries"] == []


async def test_counting_tokens_is_free_and_not_logged(simulator: Simulator, client: AsyncAnthropic) -> None:
    before = (await simulator.control("GET", "log"))["last"]
    await client.messages.count_tokens(model="claude-sonnet-5-5", messages=[{"role": "user", "content": INPUT}])
    assert (await simulator.control("GET", "log"))["last"] == before
