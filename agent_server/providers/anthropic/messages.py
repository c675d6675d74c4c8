"""Implements the model port with the Anthropic SDK: one client per process, and one bounded retry."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Self, TypeVar

import anthropic
import httpx2

from agent_server.model.errors import ModelApiError, ModelApiTimeout
from agent_server.model.ports import Answer, Meter, Prompt
from agent_server.providers.anthropic.errors import translated
from agent_server.providers.anthropic.http import MessagesHttpClient
from agent_server.providers.anthropic.usage import StreamReading, answer_of
from agent_server.providers.anthropic.whole_messages import WholeMessages
from mesh.clock import SYSTEM_CLOCK

T = TypeVar("T")

RETRY_WAIT_SECONDS = 5.0
"""If the provider asks for a longer wait, the call fails with LLM_API_ERROR, which tells the caller when to come back."""
_SPREAD = 0.25
"""By what part of itself a wait that the provider asked for is lengthened at random. Calls that were refused together would otherwise
come back together."""
_LIMITS = httpx2.Limits(max_connections=2000, max_keepalive_connections=2000, keepalive_expiry=300)
"""At 800 calls in flight, the transport's default limits add seconds to a one-second answer."""


class AnthropicModel:
    """Answers prompts through the Messages API. An async context manager; create one per process."""

    def __init__(self, api_key: str, base_url: str | None) -> None:
        http = MessagesHttpClient(limits=_LIMITS)
        self._client = anthropic.AsyncAnthropic(
            api_key=api_key,
            base_url=base_url,
            max_retries=0,  # only `_once_more` retries, because it respects the caller's deadline
            http_client=http,
            open_telemetry=False,  # its spans are not collected, and each costs more than a log line
        )
        self._whole = WholeMessages(self._client, http)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.close()

    async def complete(self, prompt: Prompt, meter: Meter, timeout: float) -> Answer:
        """The whole answer; see the port."""
        async with _bounded(timeout):
            return await _once_more(lambda: self._ask(prompt, meter), meter, timeout)

    async def stream(self, prompt: Prompt, meter: Meter, timeout: float) -> AsyncIterator[str | Answer]:
        """The answer in pieces; see the port. Drive it from one task."""
        async with _bounded(timeout):
            events = await _once_more(lambda: self._open(prompt, meter), meter, timeout)
            reading = StreamReading(prompt, meter)
            async with events:
                with translated(meter):
                    async for event in events:
                        if text := reading.take(event):
                            yield text
                    answer = reading.answer()
            yield answer

    async def _ask(self, prompt: Prompt, meter: Meter) -> Answer:
        meter.sent(prompt)
        with translated(meter):
            message = await self._whole.create(_fields(prompt), _headers(prompt))
            return answer_of(message, prompt, meter)

    async def _open(self, prompt: Prompt, meter: Meter) -> Any:
        meter.sent(prompt)
        with translated(meter):
            return await self._client.messages.create(stream=True, extra_headers=_headers(prompt), **_fields(prompt))


def _fields(prompt: Prompt) -> dict[str, Any]:
    return {
        "model": prompt.model,
        "max_tokens": prompt.max_tokens,
        "system": prompt.system,
        "messages": [{"role": "user", "content": prompt.input}],
    }


def _headers(prompt: Prompt) -> dict[str, str]:
    sendable = prompt.execution_id.isascii() and prompt.execution_id.isprintable()
    return {"x-agentmesh-execution-id": prompt.execution_id} if prompt.execution_id and sendable else {}


@asynccontextmanager
async def _bounded(timeout: float) -> AsyncIterator[None]:
    # The SDK's timeouts are per read; this bounds the call.
    if timeout <= 0:
        message = "the deadline left no time to ask the model provider; nothing was bought, set a longer deadline"
        raise ModelApiTimeout(message, timeout_seconds="0.0")
    try:
        async with asyncio.timeout(timeout):
            yield
    except TimeoutError:
        message = f"the model provider did not answer within {timeout:.1f} s; set a longer deadline or ask for less"
        raise ModelApiTimeout(message, timeout_seconds=f"{timeout:.1f}") from None


async def _once_more(attempt: Callable[[], Awaitable[T]], meter: Meter, timeout: float) -> T:
    """Calls `attempt`, and calls it again after a failure that is retryable and cost nothing."""
    ends = SYSTEM_CLOCK.monotonic() + timeout
    try:
        return await attempt()
    except ModelApiError as first:
        asked = first.retry_after_seconds
        wait = random.uniform(0.25, 0.75) if asked is None else asked + random.uniform(0, max(0.25, _SPREAD * asked))
        left = ends - SYSTEM_CLOCK.monotonic()
        if not first.retryable or meter.usage is not None or (asked or wait) > min(RETRY_WAIT_SECONDS, left / 2):
            raise
    await asyncio.sleep(wait)
    return await attempt()
