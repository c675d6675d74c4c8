"""The simulator's answers. The same system prompt, input and model always get the same answer."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

from deploy.simulator.answers.brief import brief_of, extract_of
from deploy.simulator.answers.document import document
from deploy.simulator.answers.persona import persona_of
from deploy.simulator.answers.report import MARKER, report
from deploy.simulator.faults import Fault
from deploy.simulator.messages.prompt import Prompt
from deploy.simulator.messages.tokens import cut_to, tokens_of

# Assembled at run time, so that secret scanners do not report this file.
MADE_UP_CREDENTIALS = {
    "AWS access key": "AKIA" + "5IMU1AT3DKEY0X7Q",
    "Anthropic key": "sk-" + "ant-api03-" + "simulated0" * 9 + "AAAA",
    "bearer token": "Bearer " + "eyJhbGciOiJIUzI1NiJ9." + "eyJzdWIiOiJzaW11bGF0ZWQifQ." + "c2ltdWxhdGVkLXNpZ25hdHVyZS1ub3QtcmVhbA",
    "private key": "-----BEGIN "
    + "PRIVATE KEY-----\n"
    + "c2ltdWxhdGVk" * 5
    + "\n"
    + "bm90LWEta2V5" * 5
    + "\n-----END "
    + "PRIVATE KEY-----",
}


_THINKING = {"type": "thinking", "thinking": "A simulated thought.", "signature": "c2ltdWxhdGVk"}
_OTHER_BLOCKS = ({"type": "redacted_thinking", "data": "c2ltdWxhdGVk"}, {"type": "hologram", "depth": 3})
_REFUSAL: dict[str, Any] = {"type": "refusal", "category": None, "explanation": "A simulated refusal."}


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer before it is encoded as JSON or events."""

    text: str
    """Empty for an answer without a text block."""
    stop_reason: str = "end_turn"
    stop_details: dict[str, Any] | None = None
    before_text: tuple[Mapping[str, Any], ...] = ()
    """Content blocks of other types, sent before the text."""
    thinking_tokens: int = 0
    false_usage: Mapping[str, Any] | None = field(default_factory=dict)
    """What the answer claims about its usage in place of the truth; None for no usage at all."""

    @property
    def output_tokens(self) -> int:
        """Tokens of thinking and text; never zero, as in the API."""
        return max(1, self.thinking_tokens + tokens_of(len(self.text.encode())))


def answer_to(prompt: Prompt, fault: Fault | None) -> Answer:
    """The answer to a prompt, changed as the fault demands."""
    match fault:
        case Fault("empty"):
            return Answer("")
        case Fault("refusal"):
            return Answer("", "refusal", _REFUSAL)
        case Fault("thinking"):
            return Answer("", "max_tokens", before_text=(_THINKING,), thinking_tokens=prompt.max_tokens)
        case Fault("big", characters):
            return Answer(_lengthened(_text(prompt), characters))
        case Fault("secret"):
            return _within(prompt.max_tokens, _with_credentials(_text(prompt)))
        case Fault("max-tokens", tokens):
            return _within(min(tokens, prompt.max_tokens), _text(prompt))
    answer = _within(prompt.max_tokens, _text(prompt))
    return answer if fault is None else _strange(answer, fault.name)


def _strange(answer: Answer, fault: str) -> Answer:
    half = answer.text[: len(answer.text) // 2]
    match fault:
        case "late-refusal":
            return replace(answer, text=half, stop_reason="refusal", stop_details=_REFUSAL)
        case "pause-turn":
            return replace(answer, text=half, stop_reason="pause_turn")
        case "strange-stop":
            return replace(answer, stop_reason="out_of_ideas")
        case "strange-blocks":
            return replace(answer, before_text=(_THINKING, *_OTHER_BLOCKS))
        case "negative-usage":
            return replace(answer, false_usage={"input_tokens": -3})
        case "huge-usage":
            return replace(answer, false_usage={"input_tokens": 2**31, "output_tokens": 2**40})
        case "no-usage":
            return replace(answer, false_usage=None)
    return answer


def _text(prompt: Prompt) -> str:
    extract = extract_of(prompt.input)
    if prompt.schema is not None:
        return document(prompt.schema, brief_of(extract), prompt.digest)
    return _report(prompt.system, extract, prompt.digest)


@lru_cache(maxsize=1_024)
def _report(system: tuple[str, ...], extract: str, digest: bytes) -> str:
    return report(persona_of(system), brief_of(extract), digest)


def _within(max_tokens: int, text: str) -> Answer:
    kept = cut_to(text, max_tokens)
    return Answer(kept) if len(kept) == len(text) else Answer(kept, "max_tokens")


def _lengthened(text: str, characters: int) -> str:
    body = f"{text.removesuffix(MARKER)}\n"
    return (body * (characters // len(body) + 1))[: max(0, characters - len(MARKER))] + MARKER


def _with_credentials(text: str) -> str:
    leaked = "\n".join(f"- {name}: {value}" for name, value in MADE_UP_CREDENTIALS.items())
    return f"{text.removesuffix(MARKER)}## Credentials found\n\n{leaked}\n\n{MARKER}"
