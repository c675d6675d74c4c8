"""JSON for what is written at every call."""

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
    raise TypeError(f"{type(value).__name__} is no JSON")


def to_json(value: Any, default: Callable[[Any], Any] = _known) -> bytes:
    """The value as compact JSON in UTF-8; `default` says what to write for what JSON does not know.

    Raises TypeError for what `default` does not know either.
    """
    try:
        return orjson.dumps(value, default, orjson.OPT_NON_STR_KEYS)
    except TypeError:  # numbers beyond 64 bits, text that is no Unicode: it writes neither, a double as a whole number can be the first
        return json.dumps(value, default=default, separators=(",", ":")).encode()
