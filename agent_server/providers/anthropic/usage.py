"""Reads the provider's words on usage: of a whole message, and of a stream as it comes."""

from collections.abc import Mapping
from typing import Any

from agent_server.model.errors import ModelApiError
from agent_server.model.ports import Answer, Meter, Prompt
from catalogue.pricing.tokens import estimate_tokens
from mesh.usage import TokenUsage

IN_FLIGHT_TOKENS = 128
"""What a provider may have produced that has not reached us when a stream breaks off: about half a second of a fast model. Nobody says
how much it was, and the books must not understate it."""


def metered(meter: Meter, model: str, usage: Mapping[str, Any]) -> None:
    """Tells the meter what the provider says that it billed."""
    meter.told(
        TokenUsage(
            model,
            input_tokens=int(usage["input_tokens"]),
            output_tokens=int(usage["output_tokens"]),
            cache_read_tokens=int(usage.get("cache_read_input_tokens") or 0),
            cache_write_tokens=int(usage.get("cache_creation_input_tokens") or 0),
        )
    )


class StreamReading:
    """Reads one stream of Messages API events, and keeps the meter true to the moment.

    The provider says the prompt's tokens at the start and the answer's only at the end; a stream that is cut or cancelled
    in between is metered by an upper estimate of the text that had come, and what may have been on its way.
    """

    def __init__(self, prompt: Prompt, meter: Meter) -> None:
        self._meter = meter
        self._model = prompt.model
        self._max_tokens = prompt.max_tokens
        self._usage: dict[str, Any] = {}
        self._text: list[str] = []
        self._output_estimate = 0
        self._stop_reason = ""
        self._ended = False

    def take(self, event: Any) -> str:
        """Takes the next event; returns the text that it adds, often none."""
        if event.type == "content_block_delta" and event.delta.type == "text_delta":
            return self._delta(event.delta.text)
        if event.type == "message_start":
            self._model = event.message.model
            self._usage = event.message.usage.to_dict()
            self._estimated()
        elif event.type == "message_delta":
            self._stop_reason = event.delta.stop_reason
            self._usage |= {key: value for key, value in event.usage.to_dict().items() if value is not None}
            metered(self._meter, self._model, self._usage)
        elif event.type == "message_stop":
            self._ended = True
        return ""

    def answer(self) -> Answer:
        """The whole answer. Raises ModelApiError when the stream ended without `message_stop`: the SDK says nothing then."""
        if not self._ended:
            raise ModelApiError("the model provider's stream ended in the middle of the answer; try again", retryable=True)
        return Answer("".join(self._text), self._model, self._stop_reason)

    def _delta(self, text: str) -> str:
        self._text.append(text)
        self._output_estimate += estimate_tokens(text)
        self._estimated()
        return text

    def _estimated(self) -> None:
        usage = self._usage
        produced = max(self._output_estimate, usage.get("output_tokens") or 0)
        self._meter.told(
            TokenUsage(
                self._model,
                input_tokens=usage["input_tokens"],
                output_tokens=max(produced, min(produced + IN_FLIGHT_TOKENS, self._max_tokens)),
                cache_read_tokens=usage.get("cache_read_input_tokens") or 0,
                cache_write_tokens=usage.get("cache_creation_input_tokens") or 0,
                estimated=True,
            )
        )
