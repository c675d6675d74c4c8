"""The simulator's answers to the SDK: plausible, deterministic, and marked as simulated."""

import re
from typing import Any

import pytest
from anthropic import AsyncAnthropic

from tests.adapters.simulator.conftest import Simulator

MODEL = "claude-sonnet-5-5"
MARKER = "— simulated answer; set ANTHROPIC_API_KEY for a real one"
ROLE = (
    "You are a technical SEO auditor. You are judged by qualified visits.\n\nDeliverable: a prioritised action list as a table "
    "(finding, evidence, action, effort, owner). Begin with the finding that matters most."
)
FOCUS = (
    "Crawl budget is a topic above roughly a million URLs; below that, look at quality instead.\nRedirect chains over three\n"
    "hops are flattened before anything else is changed. Typical faults: canonical and noindex on one page, JavaScript-only links."
)
INPUT = "Our organic traffic fell 23% after the March migration of 1,200 URLs. What should we check first, and in which order?"
SYSTEM: list[Any] = [{"type": "text", "text": ROLE}, {"type": "text", "text": FOCUS}]


def question(text: str = INPUT, model: str = MODEL, **more: Any) -> dict[str, Any]:
    return {"model": model, "max_tokens": 4096, "system": SYSTEM, "messages": [{"role": "user", "content": text}], **more}


def text_of(message: Any) -> str:
    return "".join(block.text for block in message.content)


async def test_an_answer_uses_the_role_the_focus_and_the_input(client: AsyncAnthropic) -> None:
    message = await client.messages.create(**question())
    text = text_of(message)
    assert message.stop_reason == "end_turn"
    assert message.model == MODEL
    for part in (
        "technical SEO auditor",
        "Prioritised action list",
        "| finding | evidence | action | effort | owner |",
        "JavaScript-only links",
    ):
        assert part in text
    for part in ("organic traffic", "**23%**", "**1,200**", "What should we check first, and in which order?"):
        assert part in text
    assert text.endswith(MARKER)


@pytest.mark.parametrize(
    "text",
    [INPUT, "hi", "预算是 20,000 欧元，请写计划。", "{}", "Why? " * 300, "word " * 40_000, "7. " * 50, "\u0000 |*_ \n\n ?"],
    ids=range(8),
)
@pytest.mark.parametrize("system", [SYSTEM, "Be brief.", "You are " + "very " * 5_000 + "long."], ids=["role", "short", "endless"])
async def test_an_answer_has_150_to_400_words_for_any_input(client: AsyncAnthropic, text: str, system: Any) -> None:
    answer = text_of(await client.messages.create(**question(text) | {"system": system}))
    words = [word for word in answer.split() if re.search(r"\w", word)]
    assert 150 <= len(words) <= 400
    assert answer.endswith(MARKER)


async def test_equal_requests_have_equal_answers_and_different_ones_do_not(client: AsyncAnthropic) -> None:
    first = await client.messages.create(**question())
    again = await client.messages.create(**question())
    others = [question("Another input."), question(model="claude-haiku-5-5"), question() | {"system": "You are a cook."}]
    assert text_of(first) == text_of(again)
    assert first.id != again.id
    assert first._request_id != again._request_id
    assert len({text_of(await client.messages.create(**other)) for other in others} | {text_of(first)}) >= 3


async def test_max_tokens_truncates_the_answer_with_its_stop_reason(client: AsyncAnthropic) -> None:
    whole = text_of(await client.messages.create(**question()))
    message = await client.messages.create(**question() | {"max_tokens": 20})
    assert message.stop_reason == "max_tokens"
    assert message.usage.output_tokens == 20
    assert whole.startswith(text_of(message))


async def test_a_stream_has_the_events_of_the_api_and_the_text_of_the_json_answer(client: AsyncAnthropic) -> None:
    whole = await client.messages.create(**question())
    kinds, text, last = [], "", None
    async for event in await client.messages.create(**question(), stream=True):
        kinds.append(event.type)
        if event.type == "content_block_delta" and event.delta.type == "text_delta":
            text += event.delta.text
        if event.type == "message_delta":
            last = event
    assert kinds[:2] == ["message_start", "content_block_start"]
    assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    assert set(kinds[2:-3]) == {"content_block_delta"}
    assert text == text_of(whole)
    assert last is not None
    assert (last.delta.stop_reason, last.usage.output_tokens) == ("end_turn", whole.usage.output_tokens)


async def test_a_stream_pings_after_the_block_has_begun(simulator: Simulator) -> None:
    headers = {"x-api-key": "any", "anthropic-version": "2023-06-01"}
    async with simulator.http.post(f"{simulator.url}/v1/messages", json=question(stream=True), headers=headers) as response:
        wire = await response.text()
    assert response.content_type == "text/event-stream"
    kinds = re.findall(r"^event: (\w+)$", wire, re.MULTILINE)
    assert kinds[:4] == ["message_start", "content_block_start", "ping", "content_block_delta"]


async def test_the_sdks_stream_helper_accumulates_the_stream(client: AsyncAnthropic) -> None:
    async with client.messages.stream(**question()) as stream:
        final = await stream.get_final_message()
    assert text_of(final).endswith(MARKER)
    assert final.stop_reason == "end_turn"


async def test_a_token_is_four_bytes_also_in_count_tokens(client: AsyncAnthropic) -> None:
    message = await client.messages.create(**question())
    size = len((ROLE + FOCUS + INPUT).encode())
    asked = question()
    del asked["max_tokens"]
    counted = await client.messages.count_tokens(**asked)
    assert message.usage.input_tokens == counted.input_tokens == -(-size // 4)
    assert message.usage.output_tokens == -(-len(text_of(message).encode()) // 4)


async def test_the_last_turn_of_a_conversation_is_answered(client: AsyncAnthropic) -> None:
    turns = [{"role": "user", "content": "Hello."}, {"role": "assistant", "content": "Hello."}, {"role": "user", "content": INPUT}]
    assert "organic traffic" in text_of(await client.messages.create(**question() | {"messages": turns}))


async def test_input_in_blocks_is_read_like_plain_input(client: AsyncAnthropic) -> None:
    blocks = [{"role": "user", "content": [{"type": "text", "text": INPUT}]}]
    assert text_of(await client.messages.create(**question() | {"messages": blocks})) == text_of(await client.messages.create(**question()))
