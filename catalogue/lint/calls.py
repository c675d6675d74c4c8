"""Calls in definitions that their own agent would refuse: examples and cases."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from catalogue.catalogue import Problem
from catalogue.lint.sources import SourceFile
from catalogue.model import AgentDefinition
from catalogue.validation import FieldPath, Schema, field_path

_JSON_PATH = re.compile(r"\$(?:\.[A-Za-z_][A-Za-z0-9_-]*|\[[0-9]+\])*")


def refused_cases(source: SourceFile) -> Iterator[Problem]:
    """Cases whose context violates the agent's context_schema, and JSON paths that cannot be followed."""
    for agent, path, member in source.members():
        check = None if agent.context_schema is None else Schema(agent.context_schema)
        for index, case in enumerate(member.get("cases", ())):
            place = (*path, "cases", index)
            for finding in check.findings(case.get("context", {})) if check else ():
                yield source.problem(
                    (*place, "context"), f"is refused by the agent's context_schema: {_said(finding.path, finding.message)}"
                )
            yield from _bad_json_paths(source, place, case)


def refused_examples(source: SourceFile) -> Iterator[Problem]:
    """Examples of agents that require a context: an example is sent without one."""
    for agent, path, member in source.members():
        if member.get("examples") and agent.context_schema is not None and not Schema(agent.context_schema).accepts({}):
            yield source.problem((*path, "examples"), "cannot be sent as they are, because context_schema requires a context; relax it")


def repeated_queries(source: SourceFile) -> Iterator[Problem]:
    """Queries that are also an example of the agent, or its name, description or focus contains them."""
    for agent, path, _ in source.members():
        for index, query in enumerate(agent.queries):
            if where := _copied_from(query, agent):
                yield source.problem(
                    (*path, "queries", index), f"is copied from the {where}; write what somebody would type who does not know it"
                )


def _copied_from(query: str, agent: AgentDefinition) -> str:
    plain = " ".join(query.lower().split())
    if plain in (" ".join(example.lower().split()) for example in agent.examples):
        return "examples"
    texts = {"description": agent.description, "focus": agent.focus}
    return next((name for name, text in texts.items() if plain in " ".join(text.lower().split())), "")


def _bad_json_paths(source: SourceFile, place: FieldPath, case: Mapping[str, Any]) -> Iterator[Problem]:
    for key in ("must", "must_not"):
        for index, assertion in enumerate(case.get(key, ())):
            wanted = assertion.get("json_path", "$")
            if not _JSON_PATH.fullmatch(wanted):
                yield source.problem(
                    (*place, key, index, "json_path"), f"'{wanted}' is not supported; use keys and indexes, such as $.items[0].name"
                )


def _said(path: FieldPath, message: str) -> str:
    return f"{field_path(('context', *path))} {message}"
