"""The port to whatever model provider thinks for the agents."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

from catalogue.pricing.tokens import estimate_tokens
from mesh.usage import TokenUsage


@dataclass(frozen=True, slots=True)
class Prompt:
    """One question to a model."""

    model: str
    system: str
    input: str
    max_tokens: int
    execution_id: str
    """Travels with the request, so that the provider's log and the books can be laid side by side."""


class Meter:
    """What the provider call of one turn has used so far, also when it fails or is cancelled.

    `usage` is None as long as nothing can have been bought.
    """

    def __init__(self) -> None:
        self.usage: TokenUsage | None = None

    def sent(self, prompt: Prompt) -> None:
        """The request is on its way: until the provider says more, assume the most that it can cost."""
        tokens = estimate_tokens(prompt.system, prompt.input)
        self.usage = TokenUsage(prompt.model, tokens, prompt.max_tokens, estimated=True)

    def refused(self) -> None:
        """The provider refused the request: it bills nothing."""
        self.usage = None

    def told(self, usage: TokenUsage) -> None:
        """The provider said what it used, or the call has come to where less than before must be assumed."""
        self.usage = usage


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer."""

    text: str
    model: str
    stop_reason: str


class Model(Protocol):
    """Answers prompts. What a call used stands in its meter, whether it succeeds or not.

    Both raise ModelApiError or ModelApiTimeout; the call as a whole takes `timeout` seconds at most. Cancelling the
    task closes the connection to the provider.
    """

    async def complete(self, prompt: Prompt, meter: Meter, timeout: float) -> Answer:
        """The whole answer."""
        ...

    def stream(self, prompt: Prompt, meter: Meter, timeout: float) -> AsyncIterator[str | Answer]:
        """The pieces of the answer's text as they come, then the whole Answer."""
        ...
