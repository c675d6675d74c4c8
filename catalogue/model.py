"""The definition of an agent, as plain data."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

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

    def port(self, offset: int = 0) -> int:
        return calculate_port(self.number, offset)


def revision_of(content: Mapping[str, Any]) -> str:
    """The first 12 hex digits of the SHA-256 of the content's canonical JSON (sorted keys, no spaces, UTF-8)."""
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]
