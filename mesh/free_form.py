"""What free-form values may hold, so that they can be stored and answered."""

from collections.abc import Iterator, Mapping
from typing import Any

from mesh.errors import Violation

DEEPEST = 30
"""Levels of objects and lists. A level is three nested messages, of which protobuf reads 100, and an answer puts a few more around them."""


def violations(field: str, value: Any) -> Iterator[Violation]:
    """What is wrong with the value of a field: text, or whatever JSON has."""
    if _has_nul(value):  # PostgreSQL stores no U+0000, and nothing that is asked needs one
        yield Violation(field, "must not contain the character U+0000")
    if _depth(value) > DEEPEST:
        yield Violation(field, f"must not be nested deeper than {DEEPEST} levels")


def _has_nul(value: Any) -> bool:
    if isinstance(value, str):
        return "\x00" in value
    if isinstance(value, Mapping):
        return any(_has_nul(key) or _has_nul(item) for key, item in value.items())
    return isinstance(value, list) and any(map(_has_nul, value))


def _depth(value: Any) -> int:
    if isinstance(value, Mapping):
        value = list(value.values())
    return 1 + max(map(_depth, value), default=0) if isinstance(value, list) else 0
