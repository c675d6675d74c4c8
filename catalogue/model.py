"""The definition of an agent, as plain data."""

import hashlib
import json
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import orjson

FIRST_PORT = 8200
PORTS = 800
DEFAULT_MAX_TOKENS = 4096

_PLACEHOLDER = re.compile(r"\{\{\s*([A-Za-z_][A-Za-z0-9_-]*)\s*\}\}")


def calculate_port(number: int, offset: int = 0) -> int:
    """The port of the agent with this number: 8200 + number % 800 + offset.

    Several agents can share a port: it is an address, not an identity.
    """
    return FIRST_PORT + number % PORTS + offset


def placeholders(text: str) -> frozenset[str]:
    """The names in `{{ }}` in a text. Anything else in double braces, such as `{{#if x}}`, is plain text."""
    return frozenset(_PLACEHOLDER.findall(text))


def fill(text: str, parameters: Mapping[str, str]) -> str:
    """The text with its placeholders replaced in one pass. Braces inside a value are not replaced.

    To show `{{first_name}}` in a prompt, use a parameter with that value. Raises KeyError for a placeholder without a parameter.
    """
    return _PLACEHOLDER.sub(lambda match: parameters[match[1]], text)


@dataclass(frozen=True, slots=True)
class Border:
    """A need that an agent is not for, and the agent that is."""

    need: str
    agent_id: str
    """An agent with this id need not exist: the lint reports it."""


@dataclass(frozen=True, slots=True)
class Fact:
    """A statement in a prompt that goes out of date."""

    claim: str
    source: str
    """The document and section, or the URL."""
    checked: date
    check_again: date


@dataclass(frozen=True, slots=True)
class Output:
    """The form of an agent's answers."""

    parts: tuple[str, ...] = ()
    """In order; empty if the parts are not stated."""
    words: int | None = None
    """The most words of a whole answer."""
    schema: Mapping[str, Any] | None = field(default=None, hash=False)
    """JSON Schema (draft 2020-12) if the answer is JSON."""


@dataclass(frozen=True, slots=True)
class Case:
    """A call for the evaluation, and what its answer must and must not contain.

    Each assertion is a mapping in the form that `definitions/schema.json` describes.
    """

    input: str
    context: Mapping[str, Any] | None = field(default=None, hash=False)
    must: tuple[Mapping[str, Any], ...] = field(default=(), hash=False)
    must_not: tuple[Mapping[str, Any], ...] = field(default=(), hash=False)


@dataclass(frozen=True, slots=True)
class AgentDefinition:
    """The stored description of one agent. The reader checks the constraints that are stated here."""

    agent_id: str
    number: int
    """Unique in the catalogue; the last part of the id."""
    name: str
    category: str
    role: str
    description: str
    tags: tuple[str, ...]
    family_prompt: str
    """The text that the whole family shares, with its placeholders."""
    parameters: Mapping[str, str] = field(hash=False)
    """A value for each placeholder: the agent's own, otherwise the family's."""
    focus: str
    """What this agent knows and does beyond its family. May have placeholders, and may be empty."""
    model: str | None
    """None for the installation's default."""
    max_tokens: int
    context_schema: Mapping[str, Any] | None = field(hash=False)
    """JSON Schema (draft 2020-12) for the context of a call; None accepts any context."""
    examples: tuple[str, ...]
    revision: str
    """12 hex digits that change with any change of the definition, but not with the location of its file."""
    source: Path
    not_for: tuple[Border, ...] = ()
    queries: tuple[str, ...] = ()
    """What people type who look for this agent. The search indexes them."""
    tasks: tuple[int, ...] = ()
    """Ids of the O*NET tasks that the agent does."""
    facts: tuple[Fact, ...] | None = None
    """Those of the family, then the agent's own. None if neither states any; empty if they state that nothing goes out of date."""
    output: Output | None = None
    cases: tuple[Case, ...] = ()
    markets: tuple[str, ...] = ()
    """ISO 3166 codes, or `any`."""
    risk: str | None = None
    """`low`, `medium` or `high`."""

    def port(self, offset: int = 0) -> int:
        return calculate_port(self.number, offset)


def revision_of(content: Mapping[str, Any]) -> str:
    """The first 12 hex digits of the SHA-256 of the content's canonical JSON (sorted keys, no spaces, UTF-8)."""
    return hashlib.sha256(_canonical(content)).hexdigest()[:12]


def _canonical(content: Mapping[str, Any]) -> bytes:
    """As the standard library writes it. orjson writes the same in a fifth of the time, except for numbers with fractions or exponents."""
    if not _has_float(content):
        with suppress(orjson.JSONEncodeError):  # an integer of more than 64 bits
            return orjson.dumps(content, option=orjson.OPT_SORT_KEYS)
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _has_float(value: Any) -> bool:
    if isinstance(value, str):
        return False
    if isinstance(value, Mapping):
        return any(_has_float(each) for each in value.values())
    if isinstance(value, list | tuple):
        return any(_has_float(each) for each in value)
    return isinstance(value, float)
