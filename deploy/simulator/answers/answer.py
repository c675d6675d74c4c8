"""What the simulator answers: the same to the same system prompt, input and model."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from deploy.simulator.answers.brief import brief_of, extract_of
from deploy.simulator.answers.document import document
from deploy.simulator.answers.persona import persona_of
from deploy.simulator.answers.report import MARKER, report
from deploy.simulator.faults import Fault
from deploy.simulator.messages.prompt import Prompt
from deploy.simulator.messages.tokens import cut_to, tokens_of

# Put together at run time, so that nothing that scans this repository for secrets mistakes them for real ones.
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


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer before it is put into JSON or events."""

    text: str
    """Empty means an answer without content."""
    stop_reason: str = "end_turn"
    stop_details: dict[str, Any] | None = None

    @property
    def output_tokens(self) -> int:
        """Tokens of the text; like the API's, never zero."""
        return max(1, tokens_of(len(self.text.encode())))


def answer_to(prompt: Prompt, fault: Fault | None) -> Answer:
    """The answer to a prompt; a fault may ask for a special one."""
    match fault:
        case Fault("empty"):
            return Answer("")
        case Fault("refusal"):
            return Answer("", "refusal", {"type": "refusal", "category": None, "explanation": "A simulated refusal."})
        case Fault("big", characters):
            return Answer(_lengthened(_text(prompt), characters))
        case Fault("secret"):
            return _within(prompt.max_tokens, _with_credentials(_text(prompt)))
    return _within(prompt.max_tokens, _text(prompt))


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
