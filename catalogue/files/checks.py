"""Checks that a JSON Schema cannot express: parts of a definition document that contradict each other."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from catalogue.model import placeholders
from catalogue.validation import FieldPath, Finding, InvalidSchema, Schema

MAX_NUMBER = 2**31 - 1
"""The contract carries numbers as int32."""

Member = tuple[FieldPath, Mapping[str, Any]]


def number_in(agent_id: str) -> int:
    """The number at the end of an agent id."""
    return int(agent_id.rpartition("_")[2])


def contradictions(document: Mapping[str, Any], members: list[Member]) -> list[Finding]:
    """All contradictions in a document. `members` are its agents and the paths that lead to them."""
    parts = {(): document, **dict(members)}.items()
    return [
        *(finding for path, member in members for finding in _of_number(path, member)),
        *(finding for check in (_of_schema, _of_facts, _of_cases) for path, part in parts for finding in check(path, part)),
        *_without_parameter(document, members),
        *_without_placeholder(document, members),
    ]


def _of_number(path: FieldPath, member: Mapping[str, Any]) -> Iterator[Finding]:
    number = number_in(member["agent_id"])
    if number > MAX_NUMBER:
        yield Finding((*path, "agent_id"), f"ends in {number}, which is above the largest number {MAX_NUMBER}; use a smaller number")
    elif member.get("number", number) != number:
        yield Finding((*path, "number"), f"must be {number}, the last part of the agent_id; correct one of them, or remove number")


def _of_schema(path: FieldPath, part: Mapping[str, Any]) -> Iterator[Finding]:
    if "context_schema" in part:
        yield from _invalid((*path, "context_schema"), part["context_schema"])
    if "schema" in part.get("output", {}):
        yield from _invalid((*path, "output", "schema"), part["output"]["schema"])


def _invalid(path: FieldPath, schema: Mapping[str, Any]) -> Iterator[Finding]:
    try:
        Schema(schema)
    except InvalidSchema as invalid:
        yield Finding((*path, *invalid.path), f"{invalid} (JSON Schema, draft 2020-12)")


def _of_facts(path: FieldPath, part: Mapping[str, Any]) -> Iterator[Finding]:
    for index, fact in enumerate(part.get("facts", ())):
        if fact["check_again"] <= fact["checked"]:
            message = f"must be later than checked, which is {fact['checked']}; correct one of the two dates"
            yield Finding((*path, "facts", index, "check_again"), message)


def _of_cases(path: FieldPath, part: Mapping[str, Any]) -> Iterator[Finding]:
    for index, case in enumerate(part.get("cases", ())):
        for key in ("must", "must_not"):
            for place, assertion in enumerate(case.get(key, ())):
                if trouble := _regex_trouble(assertion.get("matches", "")):
                    yield Finding((*path, "cases", index, key, place, "matches"), trouble)


def _regex_trouble(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as error:
        return f"is not a valid regular expression: {error}; correct it"
    return ""


def _without_parameter(document: Mapping[str, Any], members: list[Member]) -> Iterator[Finding]:
    in_prompt = placeholders(document["prompt"])
    given = [{*document.get("parameters", {}), *member.get("parameters", {})} for _, member in members]
    nowhere = in_prompt.difference(*given)
    for name in sorted(nowhere):
        yield Finding(("prompt",), f"has the placeholder {{{{{name}}}}} without a parameter; {_give(name)}")
    for (path, member), names in zip(members, given, strict=True):
        for name in sorted(in_prompt - nowhere - names):
            yield Finding(
                (*path, "parameters"),
                f"must have '{name}', because the prompt has the placeholder {{{{{name}}}}}; add it here or to the family",
            )
        for name in sorted(placeholders(member.get("focus", "")) - names):
            yield Finding((*path, "focus"), f"has the placeholder {{{{{name}}}}} without a parameter; {_give(name)}")


def _give(name: str) -> str:
    if re.fullmatch("[a-z][a-z0-9_]*", name):
        return f"add '{name}' under parameters, with the value '{{{{{name}}}}}' if you mean the braces themselves"
    own = name.lower().replace("-", "_")
    advice = f"write {{{{{own}}}}} and add '{own}' under parameters"
    return f"names of parameters are lower-case: {advice}, with the value '{{{{{name}}}}}' if you mean the braces themselves"


def _without_placeholder(document: Mapping[str, Any], members: list[Member]) -> Iterator[Finding]:
    in_prompt = placeholders(document["prompt"])
    in_focus = [placeholders(member.get("focus", "")) for _, member in members]
    if "agents" in document:
        yield from _unused((), document, in_prompt.union(*in_focus))
    for (path, member), used in zip(members, in_focus, strict=True):
        yield from _unused(path, member, in_prompt | used)


def _unused(path: FieldPath, part: Mapping[str, Any], used: frozenset[str]) -> Iterator[Finding]:
    for name in part.get("parameters", {}):
        if name not in used:
            advice = f"write {{{{{name}}}}} where its value belongs, or remove it"
            yield Finding((*path, "parameters", name), f"is used by no placeholder; {advice}")
