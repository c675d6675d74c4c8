"""One turn of an agent: prompt, model, guardrails, and what it used whatever becomes of it."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from functools import cache
from time import perf_counter
from typing import Any

from prometheus_client import Counter, Histogram

from agent_server.model.errors import ModelApiError
from agent_server.model.ports import Answer, Meter, Model
from agent_server.turn.agent import Agent
from agent_server.turn.guardrails import Redaction
from mesh.usage import TokenUsage

# The names and labels of lld.md 3.1.
REQUESTS = Counter("agent_requests_total", "Total requests", ["agent_name", "status"])
SECONDS = Histogram("agent_processing_seconds", "Processing time in seconds", ["agent_name"])
_requests, _seconds = cache(REQUESTS.labels), cache(SECONDS.labels)


@dataclass(frozen=True, slots=True)
class Result:
    """A finished turn. `text` is the whole answer as it left."""

    text: str
    seconds: float
    metadata: Mapping[str, Any]
    usage: TokenUsage


class Turn:
    """One call to one agent. `meter` tells at any moment what has been used."""

    def __init__(
        self, agent: Agent, model: Model, provider: str, *, text: str, context: Mapping[str, Any] | None, execution_id: str
    ) -> None:
        self.meter = Meter()
        self._agent = agent
        self._model = model
        self._provider = provider
        self._prompt = agent.prompt(text, context, execution_id)
        self._began = perf_counter()

    async def whole(self, timeout: float) -> Result:
        """The whole answer within `timeout` seconds. Raises what the model port raises."""
        redaction = Redaction()
        answer = await self._model.complete(self._prompt, self.meter, timeout)
        return self._result(answer, redaction.whole(answer.text), redaction)

    async def pieces(self, timeout: float) -> AsyncIterator[str | Result]:
        """The answer's text in pieces, then the Result. Raises what the model port raises."""
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
        """Tells Prometheus how the turn ended: `success`, or the reason of its error in lower case."""
        name = self._agent.definition.name
        _requests(name, status).inc()
        _seconds(name).observe(self.seconds)

    @property
    def agent_id(self) -> str:
        """The agent whose turn it is."""
        return self._agent.definition.agent_id

    @property
    def seconds(self) -> float:
        """Since the call arrived."""
        return perf_counter() - self._began

    def _result(self, answer: Answer, text: str, redaction: Redaction) -> Result:
        if not text and answer.stop_reason != "refusal":
            raise ModelApiError("the model provider answered nothing; try again or rephrase the input", retryable=True)
        assert self.meter.usage is not None  # an answer has been metered
        metadata: dict[str, Any] = {
            "provider": self._provider,
            "model": answer.model,
            "stop_reason": answer.stop_reason,
            "agent_revision": self._agent.definition.revision,
        }
        if redaction.found:
            metadata["guardrails"] = {"redacted": dict(redaction.found)}
        return Result(text, self.seconds, metadata, self.meter.usage)
