"""Rows as JSON documents: one parameter for many rows, whose columns a statement names with `json_to_recordset`."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from mesh.documents.json_encoding import to_json

_NUL = "\\u0000"


def document(value: Any) -> str:
    """The value as JSON, with UUIDs and timestamps as text. PostgreSQL refuses one whose strings contain U+0000."""
    return to_json(value, _encode).decode()


def storable_document(value: Any) -> str:
    """The same without U+0000 in any string: an answer that was paid for is recorded even if an agent put the character into it."""
    text = document(value)
    return document(_without_nul(value)) if _NUL in text else text


def _without_nul(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\x00", "")
    if isinstance(value, Mapping):
        return {_without_nul(key): _without_nul(item) for key, item in value.items()}
    return [_without_nul(item) for item in value] if isinstance(value, list | tuple) else value


def _encode(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"cannot encode {type(value).__name__} as JSON")
