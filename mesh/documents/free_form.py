"""What free-form values may hold, so that they can be stored and answered."""

from collections.abc import Iterator, Mapping
from typing import Any

from mesh.documents.json_encoding import to_json
from mesh.errors import Violation

DEEPEST = 30
"""Levels of objects and lists. One level is three nested messages; protobuf reads 100 of them, and an answer adds a few."""
_NUL = b"\\u0000"
"""U+0000 in JSON. A text may also contain these six characters literally."""


def violations(field: str, value: Any) -> Iterator[Violation]:
    """What is wrong with the value of a field, which is a text or any other JSON value."""
    if _has_nul(value):  # PostgreSQL cannot store U+0000
        yield Violation(field, "must not contain the character U+0000; remove it")
    if _depth(value) > DEEPEST:
        yield Violation(field, f"must not be nested deeper than {DEEPEST} levels; send a flatter value")


def _has_nul(value: Any) -> bool:
    if isinstance(value, str):
        return "\x00" in value
    # Encoding is 20 times as fast as a look at every value.
    return value is not None and _NUL in to_json(value) and _contains_nul(value)


def _contains_nul(value: Any) -> bool:
    if isinstance(value, str):
        return "\x00" in value
    if isinstance(value, Mapping):
        return any(_contains_nul(key) or _contains_nul(item) for key, item in value.items())
    return isinstance(value, list) and any(map(_contains_nul, value))


def _depth(value: Any) -> int:
    depth, layer = 0, [value] if isinstance(value, dict | list) else []
    while layer:
        depth += 1
        inside = (one.values() if isinstance(one, dict) else one for one in layer)
        layer = [item for items in inside for item in items if isinstance(item, dict | list)]
    return depth
