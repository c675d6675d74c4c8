"""Turns a document into the agents that it defines, or into a list of its problems."""

import difflib
import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from catalogue.files.checks import Member, contradictions, number_in
from catalogue.files.documents import Lines
from catalogue.files.profile import profile_of, stated_profile
from catalogue.model import DEFAULT_MAX_TOKENS, AgentDefinition, placeholders, revision_of
from catalogue.validation import Finding, Schema, field_path

SCHEMA = Path(__file__).resolve().parents[2] / "definitions" / "schema.json"
MAX_MESSAGES = 20

_FAMILY_KEYS = ("category", "role", "prompt", "agents")
_AGENT_KEYS = (
    "agent_id", "number", "name", "description", "tags", "parameters", "focus", "examples",
    "not_for", "queries", "tasks", "output", "cases",
)  # fmt: skip
_KEYS_OF_BOTH = ("model", "max_tokens", "context_schema", "facts", "markets", "risk")
_SAMPLING_KEYS = ("temperature", "top_p", "top_k")
_SAMPLING_REFUSED = (
    "is not supported: the provider's API no longer has sampling parameters; remove it, and describe the style of answers in the prompt"
)


class DefinitionBroken(Exception):
    """The document is not valid. `messages` are its problems, with lines and fields."""

    def __init__(self, messages: list[str]) -> None:
        super().__init__("; ".join(messages))
        self.messages = messages


def agents_of(document: Any, text: str, source: Path) -> tuple[AgentDefinition, ...]:
    """The agents of a document, which is a family or a single agent. `text` is its source. Raises DefinitionBroken."""
    if document is None:
        raise DefinitionBroken(["the file is empty; add category, role, prompt and agents, or remove it"])
    if not _schema().accepts(document):
        raise DefinitionBroken(_messages([_advised(finding) for finding in _schema().findings(document)], text))
    members = _members(document)
    findings = contradictions(document, members)
    if findings:
        raise DefinitionBroken(_messages(findings, text))
    return _agents(document, source, ())


def checked_agents_of(document: Any, revisions: Sequence[str], source: Path) -> tuple[AgentDefinition, ...]:
    """The agents of a document that was valid when its agents had these revisions."""
    return _agents(document, source, revisions)


def _agents(document: Mapping[str, Any], source: Path, revisions: Sequence[str]) -> tuple[AgentDefinition, ...]:
    shared = _Shared.of(document)
    known = iter(revisions)
    return tuple(_agent(document, member, shared, source, next(known, None)) for _, member in _members(document))


class _Shared(NamedTuple):
    """What the agents of a family have in common. They share these objects, of which the prompt is the largest."""

    prompt: str
    in_prompt: frozenset[str]
    tags: Sequence[str]
    parameters: Mapping[str, str]

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> "_Shared":
        tags, parameters = document.get("tags", ()), document.get("parameters", {})
        return cls(document["prompt"].strip(), placeholders(document["prompt"]), tags, parameters)


@lru_cache(maxsize=1)
def _schema() -> Schema:
    return Schema(json.loads(SCHEMA.read_text(encoding="utf-8")))


def _members(document: Mapping[str, Any]) -> list[Member]:
    """The part of the document for each agent, and its path. For a single agent, it is the whole document."""
    if "agents" in document:
        return [(("agents", index), member) for index, member in enumerate(document["agents"])]
    return [((), document)]


def _agent(document: Mapping[str, Any], member: Mapping[str, Any], shared: _Shared, source: Path, revision: str | None) -> AgentDefinition:
    """If the file has a single agent, `member` is `document`. A revision that is not known is computed."""
    merged = {**document, **member}
    content = {
        "agent_id": merged["agent_id"],
        "number": number_in(merged["agent_id"]),
        "name": merged["name"].strip(),
        "category": merged["category"],
        "role": merged["role"],
        "description": merged["description"].strip(),
        "tags": tuple(dict.fromkeys([*shared.tags, *member.get("tags", ())])),
        "family_prompt": shared.prompt,
        "parameters": _parameters(shared, member),
        "focus": merged.get("focus", "").strip(),
        "model": merged.get("model"),
        "max_tokens": int(merged.get("max_tokens", DEFAULT_MAX_TOKENS)),
        "context_schema": merged.get("context_schema"),
        "examples": tuple(merged.get("examples", ())),
    }
    stated = stated_profile(document, member)
    return AgentDefinition(**content, **profile_of(stated), revision=revision or revision_of(content | stated), source=source)


def _parameters(shared: _Shared, member: Mapping[str, Any]) -> dict[str, str]:
    """A value for each placeholder in this agent's texts: its own, otherwise the family's."""
    values = {**shared.parameters, **member.get("parameters", {})}
    used = shared.in_prompt | placeholders(member.get("focus", "")) if values else ()
    return {name: value for name, value in values.items() if name in used}


def _advised(finding: Finding) -> Finding:
    """The finding with more specific advice for a missing or unknown key."""
    if finding.keyword == "required" and finding.path == ("agent_id",):
        return finding._replace(message="is missing; add it, or add agents if this file is a family")
    if finding.keyword != "additionalProperties":
        return finding
    key = str(finding.path[-1])
    if key in _SAMPLING_KEYS:
        return finding._replace(message=_SAMPLING_REFUSED)
    close = difflib.get_close_matches(key, [*_FAMILY_KEYS, *_AGENT_KEYS, *_KEYS_OF_BOTH], 1)
    return finding._replace(message=f"is not a known key; did you mean '{close[0]}'?") if close else finding


def _messages(findings: list[Finding], text: str) -> list[str]:
    messages = []
    lines = Lines(text)
    for finding in findings[:MAX_MESSAGES]:
        line = lines.of(finding.path)
        where = field_path(finding.path) or "the file"
        messages.append(f"{where} {finding.message}" if line is None else f"line {line}: {where} {finding.message}")
    if len(findings) > MAX_MESSAGES:
        messages.append(f"{len(findings) - MAX_MESSAGES} or more other problems are not listed; correct these first")
    return messages
