"""Facts that have to be checked again."""

from collections.abc import Iterator
from datetime import date

from catalogue.catalogue import Problem
from catalogue.lint.sources import SourceFile
from catalogue.validation import FieldPath


def due_facts(source: SourceFile, today: date) -> Iterator[Problem]:
    """Facts whose date for the next check has come. A fact of a family is reported once."""
    parts: dict[FieldPath, list[dict[str, str]]] = {(): source.document.get("facts", [])}
    parts |= {path: member.get("facts", []) for _, path, member in source.members()}
    for path, facts in parts.items():
        for index, fact in enumerate(facts):
            if date.fromisoformat(fact["check_again"]) <= today:
                message = (
                    f"is due since {fact['check_again']}: check '{fact['claim'][:100]}' against {fact['source'][:200]}, then set new dates"
                )
                yield source.problem((*path, "facts", index), message)
