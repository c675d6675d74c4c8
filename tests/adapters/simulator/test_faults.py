"""Every fault as the SDK sees it, selected by model name and by rule."""

import asyncio
import itertools
import json
import time
from typing import Any

import httpx2
import pytest
from anthropic import (
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    AsyncAnthropic,
    DefaultAioHttpClient,
    InternalServerError,
    RateLimitError,
)

from deploy.simulator.answers.answer import MADE_UP_CREDENTIALS
from tests.adapters.simulator.conftest import Simulator
from tests.support.waiting import eventually

SONNET = "claude-sonnet-5-5"


def question(
    model: str = SONNET, text: str = "Please plan the migration of 40 services. Where do we begin?", **more: Any
) -> dict[str, Any]:
    return {"model": model, "max_tokens": 1024, "messages": [{"role": "user", "content": text}], **more}


async def events_of(client: AsyncAnthropic, model: str) -> list[Any]:
    return [event async for event in await client.messages.create(**question(model), stream=True)]


async def collect(client: AsyncAnthropic, model: str, into: list[Any]) -> None:
    async for event in await client.messages.create(**question(model), stream=True):
        into.append(event)


@pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
async def test_429_has_retry_after(client: AsyncAnthropic, stream: bool) -> None:
    with pytest.raises(RateLimitError) as refused:
        await client.messages.create(**question("sim-429-7"), stream=stream)
    assert refused.value.type == "rate_limit_error"
    assert refused.value.response.headers["retry-after"] == "7"


@pytest.mark.parametrize(("model", "status", "kind"), [("sim-529", 529, "overloaded_error"), ("sim-500", 500, "api_error")])
@pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
async def test_error_statuses_are_returned(client: AsyncAnthropic, model: str, status: int, kind: str, stream: bool) -> None:
    with pytest.raises(InternalServerError) as refused:
        await client.messages.create(**question(model), stream=stream)
    assert (refused.value.status_code, refused.value.type) == (status, kind)


async def test_a_client_with_retries_overcomes_a_short_fault(simulator: Simulator) -> None:
    await simulator.fault("429", argument=0, count=2)
    async with AsyncAnthropic(base_url=simulator.url, api_key="any", max_retries=2, http_client=DefaultAioHttpClient()) as client:
        assert (await client.messages.create(**question())).stop_reason == "end_turn"


async def test_a_delay_passes_before_the_answer(client: AsyncAnthropic) -> None:
    begun = time.monotonic()
    await client.messages.create(**question("sim-delay-200"))
    assert 0.2 <= time.monotonic() - begun < 2


async def test_a_hang_ends_only_when_the_client_gives_up(simulator: Simulator, client: AsyncAnthropic) -> None:
    with pytest.raises(APITimeoutError):
        await client.with_options(timeout=0.3).messages.create(**question("sim-hang"))
    await eventually(simulator.idle, within=1)


async def test_a_malformed_answer_is_a_json_error(client: AsyncAnthropic) -> None:
    with pytest.raises(json.JSONDecodeError):
        await client.messages.create(**question("sim-malformed"))


async def test_a_malformed_stream_breaks_midway(client: AsyncAnthropic) -> None:
    seen: list[Any] = []
    with pytest.raises(json.JSONDecodeError):
        await collect(client, "sim-malformed", seen)
    assert seen[-1].type == "content_block_delta"


async def test_a_truncated_stream_ends_without_message_stop_and_without_an_error(client: AsyncAnthropic) -> None:
    kinds = [event.type for event in await events_of(client, "sim-cut")]
    assert kinds[0] == "message_start"
    assert kinds[-1] == "content_block_delta"


async def test_a_truncated_json_answer_is_a_lost_connection(client: AsyncAnthropic) -> None:
    with pytest.raises((APIConnectionError, httpx2.HTTPError)):
        await client.messages.create(**question("sim-cut"))


async def test_an_error_event_ends_a_stream_after_some_deltas(client: AsyncAnthropic) -> None:
    seen: list[Any] = []
    with pytest.raises(APIStatusError) as broken:
        await collect(client, "sim-stream-error", seen)
    assert (broken.value.status_code, broken.value.type) == (200, "overloaded_error")
    assert seen[-1].type == "content_block_delta"


async def test_a_stream_error_on_a_unary_request_is_a_529(client: AsyncAnthropic) -> None:
    with pytest.raises(InternalServerError) as refused:
        await client.messages.create(**question("sim-stream-error"))
    assert refused.value.status_code == 529


async def test_a_trickle_sends_the_deltas_one_by_one(simulator: Simulator, client: AsyncAnthropic) -> None:
    stream = await client.messages.create(**question("sim-trickle-20"), stream=True)
    arrivals = [time.monotonic() async for _ in stream]
    assert arrivals[-1] - arrivals[0] > 0.02 * (len(arrivals) - 5)
    assert max(later - earlier for earlier, later in itertools.pairwise(arrivals)) < 0.5


async def test_an_empty_answer_has_no_content(client: AsyncAnthropic) -> None:
    message = await client.messages.create(**question("sim-empty"))
    assert (message.content, message.stop_reason) == ([], "end_turn")
    kinds = [event.type for event in await events_of(client, "sim-empty")]
    assert kinds == ["message_start", "message_delta", "message_stop"]


async def test_a_refusal_has_its_stop_reason(client: AsyncAnthropic) -> None:
    message = await client.messages.create(**question("sim-refusal"))
    assert (message.content, message.stop_reason) == ([], "refusal")
    assert message.stop_details is not None
    async with client.messages.stream(**question("sim-refusal")) as stream:
        assert (await stream.get_final_message()).stop_reason == "refusal"


async def test_a_late_refusal_follows_some_text(client: AsyncAnthropic) -> None:
    message = await client.messages.create(**question("sim-late-refusal"))
    assert (bool(message.content[0].text), message.stop_reason) == (True, "refusal")


async def test_a_truncated_answer_has_the_requested_number_of_tokens(client: AsyncAnthropic) -> None:
    message = await client.messages.create(**question("sim-max-tokens-7"))
    assert (message.usage.output_tokens, message.stop_reason) == (7, "max_tokens")
    async with client.messages.stream(**question("sim-max-tokens")) as stream:
        final = await stream.get_final_message()
    assert (final.usage.output_tokens, final.stop_reason) == (20, "max_tokens")


async def test_thinking_uses_all_tokens_and_leaves_no_text(client: AsyncAnthropic) -> None:
    message = await client.messages.create(**question("sim-thinking"))
    assert ([block.type for block in message.content], message.stop_reason) == (["thinking"], "max_tokens")
    assert message.usage.output_tokens == 1024
    async with client.messages.stream(**question("sim-thinking")) as stream:
        final = await stream.get_final_message()
    assert final.content[0].model_dump()["thinking"] == message.content[0].model_dump()["thinking"]
    assert (final.stop_reason, final.usage.output_tokens) == ("max_tokens", 1024)


@pytest.mark.parametrize(("fault", "reason"), [("pause-turn", "pause_turn"), ("strange-stop", "out_of_ideas")])
async def test_an_answer_can_have_any_stop_reason(client: AsyncAnthropic, fault: str, reason: str) -> None:
    message = await client.messages.create(**question(f"sim-{fault}"))
    assert (bool(message.content[0].text), message.stop_reason) == (True, reason)
    assert (await events_of(client, f"sim-{fault}"))[-2].delta.stop_reason == reason


async def test_blocks_of_other_types_precede_the_text(client: AsyncAnthropic) -> None:
    message = await client.messages.create(**question("sim-strange-blocks"))
    assert [block.type for block in message.content] == ["thinking", "redacted_thinking", "hologram", "text"]
    events = await events_of(client, "sim-strange-blocks")
    begun = [(event.index, event.content_block.type) for event in events if event.type == "content_block_start"]
    assert begun == [(0, "thinking"), (1, "redacted_thinking"), (2, "hologram"), (3, "text")]
    text = "".join(event.delta.text for event in events if event.type == "content_block_delta" and event.index == 3)
    assert text == message.content[3].text


@pytest.mark.parametrize(("fault", "claimed"), [("negative-usage", (-3, None)), ("huge-usage", (2**31, 2**40)), ("no-usage", None)])
async def test_usage_can_be_false_while_the_log_has_the_truth(
    simulator: Simulator, client: AsyncAnthropic, fault: str, claimed: tuple[int, int | None] | None
) -> None:
    headers = {"x-agentmesh-execution-id": f"false-{fault}"}
    message = await client.messages.create(**question(f"sim-{fault}"), extra_headers=headers)
    logged = await simulator.ended(f"false-{fault}")
    assert (logged["outcome"], logged["input_tokens"] > 0, logged["output_tokens"] > 0) == ("completed", True, True)
    if claimed is None:
        assert message.usage is None
    else:
        assert message.usage.input_tokens == claimed[0]
        assert message.usage.output_tokens == (claimed[1] or logged["output_tokens"])


@pytest.mark.parametrize(("model", "status"), [("sim-proxy", 502), ("sim-proxy-403", 403), ("sim-proxy-520", 520)])
@pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
async def test_a_proxy_fault_returns_an_html_page(client: AsyncAnthropic, model: str, status: int, stream: bool) -> None:
    with pytest.raises(APIStatusError) as refused:
        await client.messages.create(**question(model), stream=stream)
    assert (refused.value.status_code, refused.value.type) == (status, None)
    assert refused.value.response.headers["content-type"].startswith("text/html")
    assert f"<title>{status} " in refused.value.response.text


async def test_a_big_answer_has_100_000_characters_regardless_of_max_tokens(client: AsyncAnthropic) -> None:
    message = await client.messages.create(**question("sim-big"))
    assert len(message.content[0].text) == 100_000
    assert message.usage.output_tokens > 20_000
    async with client.messages.stream(**question("sim-big-5000")) as stream:
        assert len(await stream.get_final_text()) == 5_000


async def test_a_secret_answer_contains_credentials(client: AsyncAnthropic) -> None:
    text = (await client.messages.create(**question("sim-secret"))).content[0].text
    assert all(value in text for value in MADE_UP_CREDENTIALS.values())


async def test_a_rule_applies_to_the_next_matching_requests_and_then_ends(simulator: Simulator, client: AsyncAnthropic) -> None:
    await simulator.fault("500", count=1, input_contains="penguin", model=SONNET)
    await client.messages.create(**question(text="About cats"))
    await client.messages.create(**question("claude-haiku-5-5", text="About a penguin"))
    with pytest.raises(InternalServerError):
        await client.messages.create(**question(text="About a penguin"))
    await client.messages.create(**question(text="About a penguin"))


async def test_a_rule_without_a_count_applies_until_it_is_cleared(simulator: Simulator, client: AsyncAnthropic) -> None:
    await simulator.fault("529")
    for _ in range(3):
        with pytest.raises(InternalServerError):
            await client.messages.create(**question())
    assert await simulator.control("DELETE", "faults") == {"faults": []}
    await client.messages.create(**question())


async def test_the_first_matching_rule_applies(simulator: Simulator, client: AsyncAnthropic) -> None:
    await simulator.fault("429", count=1)
    await simulator.fault("500", count=1)
    with pytest.raises(RateLimitError):
        await client.messages.create(**question())
    with pytest.raises(InternalServerError):
        await client.messages.create(**question())


async def test_the_default_pace_slows_everything(simulator: Simulator, client: AsyncAnthropic) -> None:
    assert await simulator.control("POST", "defaults", {"delay_ms": 150}) == {"delay_ms": 150, "trickle_ms": 0}
    assert await simulator.control("POST", "defaults", {"trickle_ms": 5}) == {"delay_ms": 150, "trickle_ms": 5}
    begun = time.monotonic()
    await asyncio.gather(*(client.messages.create(**question()) for _ in range(20)))
    assert 0.15 <= time.monotonic() - begun < 2


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("faults", {"fault": "earthquake"}),
        ("faults", {"fault": "500", "argument": 3}),
        ("faults", {"fault": "proxy", "argument": 200}),
        ("faults", {"fault": "429", "argument": -1}),
        ("faults", {"fault": "429", "count": 0}),
        ("faults", {"fault": "429", "match": {"colour": "red"}}),
        ("faults", {}),
        ("defaults", {"delay_ms": -1}),
        ("defaults", {"delay": 1}),
    ],
)
async def test_an_invalid_control_request_is_refused(simulator: Simulator, path: str, body: dict[str, Any]) -> None:
    async with simulator.http.post(f"{simulator.url}/control/{path}", json=body) as response:
        assert response.status == 400
        assert (await response.json())["error"]["message"]
