"""Structured output: a JSON document that satisfies a schema, filled with phrases from the input."""

import json
from collections.abc import Mapping
from itertools import chain
from typing import Any

from deploy.simulator.answers.brief import Brief
from deploy.simulator.answers.report import MARKER
from deploy.simulator.messages.output_schema import Schema, resolved, type_of

_FORMATS = {
    "date-time": "2026-01-15T09:00:00Z",
    "date": "2026-01-15",
    "time": "09:00:00Z",
    "duration": "P7D",
    "email": "simulated@example.com",
    "hostname": "simulated.example.com",
    "uri": "https://example.com/simulated",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uuid": "00000000-0000-4000-8000-000000000000",
}


def document(schema: Schema, brief: Brief, digest: bytes) -> str:
    """A JSON text that satisfies `schema`, which `output_schema.check` has accepted. Its first free string contains the marker."""
    return json.dumps(_Filler(schema, brief, digest).value("answer", schema), ensure_ascii=False)


class _Filler:
    """Fills one document. `digest` decides what the schema leaves open."""

    def __init__(self, root: Schema, brief: Brief, digest: bytes) -> None:
        self._root = root
        self._phrases = (brief.subject, *brief.topics)
        self._digest = digest
        self._values = 0
        self._strings = 0

    def value(self, name: str, schema: Schema) -> Any:
        """A value for the property `name`."""
        schema = resolved(schema, self._root)
        if "const" in schema:
            return schema["const"]
        if schema.get("enum"):
            return schema["enum"][self._chosen(len(schema["enum"]))]
        if variants := schema.get("anyOf") or schema.get("oneOf"):
            return self.value(name, next((one for one in variants if type_of(resolved(one, self._root)) != "null"), variants[0]))
        if "allOf" in schema:
            return self.value(name, _joined([resolved(part, self._root) for part in schema["allOf"]]))
        return self._of_type(type_of(schema), name, schema)

    def _of_type(self, kind: str, name: str, schema: Schema) -> Any:
        if kind == "object":
            return {key: self.value(key, part) for key, part in schema.get("properties", {}).items()}
        if kind == "array":
            return [self.value(name, schema["items"]) for _ in range(2)] if "items" in schema else [self._string(name, {})]
        if kind == "string":
            return self._string(name, schema)
        if kind == "integer":
            return 1 + self._chosen(5)
        if kind == "number":
            return (1 + self._chosen(9)) / 10
        return self._chosen(2) == 0 if kind == "boolean" else None

    def _string(self, name: str, schema: Schema) -> str:
        if schema.get("format") in _FORMATS:
            return _FORMATS[schema["format"]]
        phrase = self._phrases[self._strings % len(self._phrases)]
        self._strings += 1
        text = f"{name.replace('_', ' ').capitalize()}: {phrase}"
        return f"{text} {MARKER}" if self._strings == 1 else text

    def _chosen(self, options: int) -> int:
        self._values += 1
        return self._digest[self._values % len(self._digest)] % options


def _joined(parts: list[Schema]) -> Mapping[str, Any]:
    """One schema with the requirements of all parts of an `allOf`."""
    joined: dict[str, Any] = dict(chain.from_iterable(part.items() for part in parts))
    joined["properties"] = dict(chain.from_iterable(part.get("properties", {}).items() for part in parts))
    return joined
