"""What the shipped catalogue must state of every agent. It is optional for other definitions."""

from collections.abc import Iterator, Mapping
from typing import Any

from catalogue.catalogue import Problem
from catalogue.lint.sources import SourceFile
from catalogue.validation import FieldPath

COUNTS: Mapping[str, tuple[int, int]] = {"not_for": (1, 4), "queries": (3, 5), "tasks": (2, 8), "cases": (1, 3), "examples": (2, 2)}
"""The least and the most entries of each list."""
_OF_FAMILY_OR_AGENT = ("facts", "markets", "risk")


def incomplete(source: SourceFile) -> Iterator[Problem]:
    """Missing keys, and lists with too few or too many entries."""
    for agent, path, member in source.members():
        prefix = f"{agent.category}_{agent.role}_agent_"
        if not agent.agent_id.startswith(prefix):
            yield source.problem((*path, "agent_id"), f"is '{agent.agent_id}'; in the shipped catalogue it begins with '{prefix}'")
        yield from _miscounted(source, path, member)
        for key in _OF_FAMILY_OR_AGENT:
            if key not in member and key not in source.document:
                empty = "; write [] if nothing goes out of date" if key == "facts" else ""
                yield source.problem((*path, key), f"is missing; add it here or to the family{empty}")
        output = member.get("output")
        if output is None:
            yield source.problem((*path, "output"), "is missing; add it with parts and words")
            continue
        for key in ("parts", "words"):
            if key not in output:
                yield source.problem((*path, "output", key), "is missing; add it")


def _miscounted(source: SourceFile, path: FieldPath, member: Mapping[str, Any]) -> Iterator[Problem]:
    for key, (least, most) in COUNTS.items():
        given = len(member.get(key, ()))
        if not least <= given <= most:
            wanted = f"{least}" if least == most else f"{least} to {most}"
            yield source.problem((*path, key), f"has {given} entries; the shipped catalogue needs {wanted}")
