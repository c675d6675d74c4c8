"""Prompt caching: the first request with a marked prefix writes it, later requests read it."""

import uuid
from typing import Any

from anthropic import AsyncAnthropic

from deploy.simulator.messages.cache import PromptCache
from deploy.simulator.messages.prompt import Prompt
from tests.support.clock import SetClock


def request(shared: str, own: str, text: str = "What now?", **mark: str) -> dict[str, Any]:
    marked = {"type": "text", "text": shared, "cache_control": {"type": "ephemeral", **mark}}
    return {
        "model": "claude-sonnet-5-5",
        "max_tokens": 300,
        "system": [marked, {"type": "text", "text": own}],
        "messages": [{"role": "user", "content": text}],
    }


async def test_a_shared_prefix_is_written_once_and_then_read(client: AsyncAnthropic) -> None:
    shared = f"You are a lawyer of case {uuid.uuid4()}. " * 20
    first = (await client.messages.create(**request(shared, "Focus: contracts."))).usage
    second = (await client.messages.create(**request(shared, "Focus: patents."))).usage
    size = -(-len(shared) // 4)
    assert (first.cache_creation_input_tokens, first.cache_read_input_tokens) == (size, 0)
    assert (second.cache_creation_input_tokens, second.cache_read_input_tokens) == (0, size)
    assert first.cache_creation is not None
    assert first.cache_creation.ephemeral_5m_input_tokens == size
    total = -(-len(shared + "Focus: patents." + "What now?") // 4)
    assert second.input_tokens == total - size


async def test_the_usage_of_a_stream_includes_the_cache(client: AsyncAnthropic) -> None:
    shared = f"You are a nurse of ward {uuid.uuid4()}. " * 20
    await client.messages.create(**request(shared, "Focus: nights.", ttl="1h"))
    async with client.messages.stream(**request(shared, "Focus: nights.", ttl="1h")) as stream:
        usage = (await stream.get_final_message()).usage
    assert usage.cache_read_input_tokens == -(-len(shared) // 4)


async def test_a_prompt_without_cache_marks_does_not_use_the_cache(client: AsyncAnthropic) -> None:
    message = await client.messages.create(model="claude-sonnet-5-5", max_tokens=10, messages=[{"role": "user", "content": "Hello"}])
    assert (message.usage.cache_creation_input_tokens, message.usage.cache_read_input_tokens) == (0, 0)


def test_an_unused_prefix_expires() -> None:
    clock = SetClock()
    cache = PromptCache(clock)
    prompt = Prompt.of(request("shared " * 40, "own"))
    assert cache.usage_of(prompt).written_5m == 70
    clock.advance(299)
    assert cache.usage_of(prompt).read == 70
    clock.advance(301)
    assert cache.usage_of(prompt).written_5m == 70


def test_a_longer_prefix_reads_the_shorter_one_and_writes_the_rest() -> None:
    cache = PromptCache()
    cache.usage_of(Prompt.of(request("a" * 400, "b" * 400)))
    longer = request("a" * 400, "b" * 400)
    longer["system"][1]["cache_control"] = {"type": "ephemeral", "ttl": "1h"}
    usage = cache.usage_of(Prompt.of(longer))
    assert (usage.read, usage.written_5m, usage.written_1h) == (100, 0, 100)
    assert usage.uncached == -(-len("What now?") // 4)
