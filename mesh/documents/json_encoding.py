"""Fast JSON encoding for data that is written at every call."""

import json
from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

import orjson


def _known(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, UUID):
        return str(value)
    raise TypeError(f"a value of type {type(value).__name__} cannot be encoded as JSON")


def to_json(value: Any, default: Callable[[Any], Any] = _known) -> bytes:
    """The value as compact JSON in UTF-8. `default` converts values of other types; it raises TypeError for unknown ones."""
    try:
        return orjson.dumps(value, default, orjson.OPT_NON_STR_KEYS)
    except TypeError:  # orjson refuses numbers beyond 64 bits and lone surrogates
        return json.dumps(value, default=default, separators=(",", ":")).encode()
