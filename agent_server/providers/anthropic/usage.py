"""Reads answers and usage of the Messages API: of a whole message, and of a stream as it arrives.

Nothing that a provider sends is taken on trust: what is read here is stored and billed.
"""

from collections.abc import Mapping
from typing import Any

import structlog

from agent_server.model.errors import ModelApiError
from agent_server.model.ports import Answer, Meter, Prompt
from agent_server.providers.anthropic.errors import AnswerTooLarge
from catalogue.pricing.tokens import estimate_tokens
from mesh.usage import TokenUsage

log = structlog.get_logger()

IN_FLIGHT_TOKENS = 128
"""What a provider may have produced that has not arrived when a stream breaks off: about half a second of a fast model. The provider
does not report it, and the books must not understate it."""
LARGEST_ANSWER_BYTES = 16_000_000
"""The most text that fits into one message of the mesh (16 MiB) together with everything else in it."""
_LARGEST_COUNT = 2**31 - 1
"""The contract carries numbers of tokens as int32."""
_COUNTS = ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
_LONGEST_WORD = 100
_THINKING = ("thinking", "redacted_thinking")


def answer_of(message: Mapping[str, Any], prompt: Prompt, meter: Meter) -> Answer:
    """A whole message as an Answer. Tells the meter its usage first, which was billed even if the rest cannot be read.

    Raises ValueError, KeyError, TypeError or AttributeError for something that is not a message, and AnswerTooLarge.
    """
    model = _word(message["model"]) or prompt.model
    metered(meter, model, message["usage"])
    content = message["content"]
    text = "".join(block["text"] for block in content if block["type"] == "text")
    if len(text.encode()) > LARGEST_ANSWER_BYTES:  # ValueError for half a surrogate pair, which JSON can write and protobuf cannot carry
        raise _too_large()
    thought = any(block["type"] in _THINKING for block in content)
    reason = message.get("stop_reason")
    return Answer(text, model, _word(reason), _detail(reason, message.get("stop_sequence"), message.get("stop_details")), thought)


class StreamReading:
    """Reads one stream of Messages API events and keeps the meter up to date.

    The provider reports the tokens of the prompt at the start and those of the answer only at the end. A stream that is cut off or
    cancelled in between is metered by an upper estimate of the text that has arrived and of what may have been on its way.
    """

    def __init__(self, prompt: Prompt, meter: Meter) -> None:
        self._meter = meter
        self._prompt = prompt
        self._model = prompt.model
        self._usage: dict[str, Any] = {}
        self._input_tokens: int | None = None
        """None until the stream has begun with `message_start`."""
        self._text: list[str] = []
        self._bytes = 0
        self._output_estimate = 0
        self._stop = ("", "")
        self._thought = False
        self._ended = False

    def take(self, event: Any) -> str:
        """Takes the next event and returns the text that it adds, often none. Raises as `answer_of` does."""
        if event.type == "content_block_delta" and event.delta.type == "text_delta":
            return self._delta(event.delta.text)
        if event.type == "content_block_start":
            self._thought |= event.content_block.type in _THINKING
        elif event.type == "message_start":
            self._model = _word(event.message.model) or self._prompt.model
            self._usage = event.message.usage.to_dict()
            self._input_tokens = self._usage["input_tokens"]
            if not _is_count(self._input_tokens):
                self._input_tokens = estimate_tokens(self._prompt.system, self._prompt.input)
            self._estimated()
        elif event.type == "message_delta":
            reason, sequence, details = (getattr(event.delta, name, None) for name in ("stop_reason", "stop_sequence", "stop_details"))
            self._stop = _word(reason), _detail(reason, sequence, details)
            self._usage |= {key: value for key, value in event.usage.to_dict().items() if value is not None}
            metered(self._meter, self._model, self._usage)
        elif event.type == "message_stop":
            self._ended = True
        return ""

    def answer(self) -> Answer:
        """The whole answer. Raises ModelApiError if the stream ended without `message_stop`, which the SDK does not report."""
        if not self._ended:
            raise ModelApiError("the model provider's stream ended in the middle of the answer; try again", retryable=True)
        return Answer("".join(self._text), self._model, *self._stop, self._thought)

    def _delta(self, text: str) -> str:
        self._bytes += len(text.encode())
        if self._bytes > LARGEST_ANSWER_BYTES:
            raise _too_large()
        self._text.append(text)
        self._output_estimate += estimate_tokens(text)
        self._estimated()
        return text

    def _estimated(self) -> None:
        usage = self._usage
        if self._input_tokens is None:
            raise KeyError("message_start")
        in_flight = self._prompt.max_tokens if self._thought else IN_FLIGHT_TOKENS  # thinking is billed, though it may not be sent
        produced = max(self._output_estimate, _count(usage.get("output_tokens")))
        self._meter.reported(
            TokenUsage(
                self._model,
                input_tokens=self._input_tokens,
                output_tokens=max(produced, min(produced + in_flight, self._prompt.max_tokens)),
                cache_read_tokens=_count(usage.get("cache_read_input_tokens")),
                cache_write_tokens=_count(usage.get("cache_creation_input_tokens")),
                estimated=True,
            )
        )


def metered(meter: Meter, model: str, usage: Mapping[str, Any]) -> None:
    """Tells the meter the usage that the provider reports. If it cannot be right, the estimate made so far remains."""
    read, written = usage.get("cache_read_input_tokens") or 0, usage.get("cache_creation_input_tokens") or 0
    reported = (usage["input_tokens"], usage["output_tokens"], read, written)
    if all(map(_is_count, reported)):
        meter.reported(TokenUsage(model, *reported))
    else:
        log.warning("provider_usage_implausible", model=model, **{name: repr(usage.get(name))[:40] for name in _COUNTS})


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value <= _LARGEST_COUNT  # bool is a subclass of int


def _count(value: Any) -> int:
    return value if _is_count(value) else 0


def _word(value: Any) -> str:
    """A short text of the provider's, without what a database or protobuf refuses; empty if it is not a text."""
    if not isinstance(value, str):
        return ""
    word = value[:_LONGEST_WORD]
    return word if word.isprintable() else "".join(filter(str.isprintable, word))


def _detail(reason: Any, sequence: Any, details: Any) -> str:
    """The matched stop sequence, or the category of a refusal."""
    if reason == "refusal":
        return _word(details.get("category") if isinstance(details, Mapping) else getattr(details, "category", None))
    return _word(sequence)


def _too_large() -> AnswerTooLarge:
    return AnswerTooLarge(f"the model's answer is larger than {LARGEST_ANSWER_BYTES // 10**6} MB, the most that the platform carries")
