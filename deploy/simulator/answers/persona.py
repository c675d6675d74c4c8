"""Guesses from a system prompt, with simple rules, who answers and in which form."""

import re
from dataclasses import dataclass
from functools import lru_cache

from catalogue.prompt import HEADING
from deploy.simulator.answers.wording import sentences_of, shortened, unwrapped

_TITLE = re.compile(r"\b(?:you are|act as|your role is|acting as)\s+(.+?)(?=[.;:!\n]|, (?:and|who|with)\b|$)", re.IGNORECASE)
_DELIVERABLE = re.compile(r"^\W*(?:deliverable|deliver|output|answer with)\b\W*:\s*(.+?)(?:[.!](?=\s|$)|$)", re.IGNORECASE | re.MULTILINE)
_PARTS = re.compile(r"(?:\(|:| [-–—] )\s*([^().;:]+?,[^().;:]+?,[^().;:]+)")
_FAULTS = re.compile(
    r"\b(?:typical|common|usual|frequent)\s+(?:faults|mistakes|errors|pitfalls|traps|failures)\b[^:.]{0,40}:\s*([^.]+)", re.IGNORECASE
)
_HEADING_END = re.compile(r"\s*(?:[(,:;]| [-–—] | as an? | followed by | that | which | in the ).*", re.DOTALL)
_LEADING_ARTICLE = re.compile(r"^(?:an?|the|one|your)\s+", re.IGNORECASE)

_DEFAULT_CHECKS = (
    "State what is known, what is assumed and what would change the advice.",
    "Separate what is documented from what is common practice and from what is inferred.",
    "Prefer the smallest step whose effect can be measured.",
    "Name the owner and the date of every action.",
)
MOST_PARTS = 5


@dataclass(frozen=True, slots=True)
class Persona:
    """The specialist that the system prompt describes."""

    title: str
    """With its article: `a senior SEO strategist`."""
    deliverable: str
    """The form of the answer, as a heading: `Prioritised action list`."""
    parts: tuple[str, ...]
    """The columns or sections of the deliverable; empty if none are named."""
    checks: tuple[str, ...]
    """At least four sentences from the specialist's instructions."""
    faults: str
    """The usual mistakes that the prompt lists; may be empty."""


@lru_cache(maxsize=2_048)
def persona_of(system: tuple[str, ...]) -> Persona:
    """The persona of a system prompt, given as the texts of its blocks."""
    text = unwrapped(_without_preamble("\n\n".join(system)))
    deliverable = found.group(1) if (found := _DELIVERABLE.search(text)) else ""
    own = _own_part(system, text, deliverable)
    return Persona(
        title=_title_in(text),
        deliverable=_heading_of(deliverable),
        parts=_parts_of(deliverable),
        checks=(*_checks_in(own), *_DEFAULT_CHECKS),
        faults=shortened(found.group(1).strip(), 24) if (found := _FAULTS.search(own)) else "",
    )


def _without_preamble(text: str) -> str:
    return text.partition("\n\n")[2] if text.startswith(HEADING) else text


def _title_in(text: str) -> str:
    found = _TITLE.search(text)
    return shortened(found.group(1).strip(), 16) if found else "an assistant without special instructions"


def _heading_of(deliverable: str) -> str:
    heading = _LEADING_ARTICLE.sub("", shortened(_HEADING_END.sub("", deliverable.strip()), 10))
    return heading[:1].upper() + heading[1:] if heading else "Assessment"


def _parts_of(deliverable: str) -> tuple[str, ...]:
    found = _PARTS.search(deliverable)
    parts = [part.strip().removeprefix("and ") for part in found.group(1).split(",")] if found else []
    return tuple(part.replace("|", "/") for part in parts if 0 < len(part) <= 32)[:MOST_PARTS]


def _own_part(system: tuple[str, ...], text: str, deliverable: str) -> str:
    """The part that only this agent has: the last block or the text after the deliverable, or the whole prompt if that part is short."""
    last = unwrapped(system[-1]) if len(system) > 1 else text.rpartition(deliverable)[2] if deliverable else ""
    return last if len(last) >= 200 else text


def _checks_in(text: str) -> list[str]:
    sentences = (sentence for sentence in sentences_of(text) if 5 <= len(sentence.split()) <= 34)
    return [
        sentence if sentence.endswith((".", "!")) else f"{sentence}."
        for sentence in sentences
        if not sentence.lower().startswith(("you ", "typical ", "deliverable", "reply ", "answer "))
        and "{{" not in sentence
        and "?" not in sentence
    ]
