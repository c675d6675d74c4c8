"""One turn of an agent: prompt, model, guardrails, and what it used in any case."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from prometheus_client import Counter, Histogram

from agent_server.model.errors import AnswerIncomplete, ModelApiError
from agent_server.model.ports import Answer, Meter, Model
from agent_server.turn.agent import Agent
from agent_server.turn.guardrails import Redaction
from mesh.clock import SYSTEM_CLOCK
from mesh.usage import TokenUsage

REQUESTS = Counter("agent_requests_total", "Total requests", ["agent_name", "status"])
SECONDS = Histogram("agent_processing_seconds", "Processing time in seconds", ["agent_name"])
_requests, _seconds = cache(REQUESTS.labels), cache(SECONDS.labels)

_SLICE = 32 * 1024
"""Characters that are redacted at a time. Redacting a long answer at once would stop all other calls for seconds."""


@dataclass(frozen=True, slots=True)
class Result:
    """A finished turn. `text` is the whole answer after the guardrails."""

    text: str
    seconds: float
    usage: TokenUsage
    provider: str
    model: str
    stop_reason: str
    stop_detail: str
    agent_revision: str
    redacted: Mapping[str, int]

    @property
    def metadata(self) -> dict[str, Any]:
        """The free-form facts of an answer."""
        facts: dict[str, Any] = {
            "provider": self.provider,
            "model": self.model,
            "stop_reason": self.stop_reason,
            "agent_revision": self.agent_revision,
        }
        return {**facts, "guardrails": {"redacted": dict(self.redacted)}} if self.redacted else facts


class Turn:
    """One call to one agent. `meter` shows at any moment what has been used."""

    def __init__(
        self, agent: Agent, model: Model, provider: str, *, text: str, context: Mapping[str, Any] | None, execution_id: str
    ) -> None:
        self.meter = Meter()
        self._agent = agent
        self._model = model
        self._provider = provider
        self._prompt = agent.prompt(text, context, execution_id)
        self._began = SYSTEM_CLOCK.monotonic()

    async def whole(self, timeout: float) -> Result:
        """The whole answer within `timeout` seconds. Raises what the model port raises, and AnswerIncomplete."""
        redaction = Redaction()
        answer = await self._model.complete(self._prompt, self.meter, timeout)
        return self._result(answer, await _redacted(redaction, answer.text), redaction)

    async def pieces(self, timeout: float) -> AsyncIterator[str | Result]:
        """The answer's text in pieces, then the Result. Raises what the model port raises, and AnswerIncomplete."""
        redaction = Redaction()
        sent: list[str] = []
        async for item in self._model.stream(self._prompt, self.meter, timeout):
            piece = redaction.rest() if isinstance(item, Answer) else redaction.piece(item)
            if piece:
                sent.append(piece)
                yield piece
            if isinstance(item, Answer):
                yield self._result(item, "".join(sent), redaction)

    def observe(self, status: str) -> None:
        """Counts how the turn ended: `success`, or the reason of its error in lower case."""
        name = self._agent.definition.name
        _requests(name, status).inc()
        _seconds(name).observe(self.seconds)

    @property
    def agent_id(self) -> str:
        """The id of the agent that was called."""
        return self._agent.definition.agent_id

    @property
    def seconds(self) -> float:
        """Seconds since the call arrived."""
        return SYSTEM_CLOCK.monotonic() - self._began

    def _result(self, answer: Answer, text: str, redaction: Redaction) -> Result:
        self._check(answer, text)
        assert self.meter.usage is not None  # an answer has been metered
        return Result(
            text=text,
            seconds=self.seconds,
            usage=self.meter.usage,
            provider=self._provider,
            model=answer.model,
            stop_reason=answer.stop_reason,
            stop_detail=answer.stop_detail,
            agent_revision=self._agent.definition.revision,
            redacted=redaction.found,
        )

    def _check(self, answer: Answer, text: str) -> None:
        """Refuses what is not an answer. A refusal is one, with or without text, and so is a text that was cut off: both say so."""
        reason = answer.stop_reason
        if reason in ("pause_turn", "tool_use"):
            what = "paused its turn" if reason == "pause_turn" else "called a tool"
            message = f"the model {what} ({reason}) before the answer was complete, and the platform cannot continue it; split the task"
            raise self._incomplete(message, reason)
        if text or reason == "refusal":
            return
        limit = self._prompt.max_tokens
        if reason == "max_tokens":
            spent = "thinking" if answer.thought else "output"
            message = f"the model spent all {limit} tokens (max_tokens) on {spent} and wrote no text; raise max_tokens, or ask for less"
            raise self._incomplete(message, reason)
        if reason == "model_context_window_exceeded":
            message = "the prompt fills the model's context window and leaves no room for an answer; shorten the input or the context"
            raise self._incomplete(message, reason)
        raise ModelApiError("the model provider returned an empty answer; try again, or rephrase the input", retryable=True)

    def _incomplete(self, message: str, reason: str) -> AnswerIncomplete:
        return AnswerIncomplete(message, retryable=False, stop_reason=reason, execution_id=self._prompt.execution_id)


async def _redacted(redaction: Redaction, text: str) -> str:
    if len(text) <= _SLICE:
        return redaction.whole(text)
    parts = []
    for start in range(0, len(text), _SLICE):
        parts.append(redaction.piece(text[start : start + _SLICE]))
        await asyncio.sleep(0)
    return "".join((*parts, redaction.rest()))
