"""The port to the model provider."""

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
    """Sent with the request, so that the provider's log can be compared with the books."""


class Meter:
    """What the provider call of one turn has used so far, even if it fails or is cancelled.

    `usage` is None as long as nothing can have been bought.
    """

    def __init__(self) -> None:
        self.usage: TokenUsage | None = None

    def sent(self, prompt: Prompt) -> None:
        """The request is on its way. Until the provider reports its usage, the most that the request can cost is assumed."""
        tokens = estimate_tokens(prompt.system, prompt.input)
        self.usage = TokenUsage(prompt.model, tokens, prompt.max_tokens, estimated=True)

    def refused(self) -> None:
        """The provider refused the request and bills nothing."""
        self.usage = None

    def reported(self, usage: TokenUsage) -> None:
        """The provider reported its usage, or the call has reached a point where less than before must be assumed."""
        self.usage = usage


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer. An adapter promises that all texts are valid Unicode without control characters, except in `text`."""

    text: str
    model: str
    stop_reason: str
    """The provider's own word: `end_turn`, `max_tokens`, `refusal`, …; empty if it gave none."""
    stop_detail: str = ""
    """The matched stop sequence, or the category of a refusal."""
    thought: bool = False
    """Whether the model wrote thinking beside the text."""


class Model(Protocol):
    """Answers prompts. The meter shows what a call used, whether it succeeds or not.

    Both methods raise ModelApiError or ModelApiTimeout. A call takes at most `timeout` seconds. Cancelling the task closes the
    connection to the provider.
    """

    async def complete(self, prompt: Prompt, meter: Meter, timeout: float) -> Answer: ...

    def stream(self, prompt: Prompt, meter: Meter, timeout: float) -> AsyncIterator[str | Answer]:
        """The pieces of the answer's text as they arrive, then the whole Answer."""
        ...
