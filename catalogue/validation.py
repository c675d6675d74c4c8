"""JSON Schema (draft 2020-12) checks with findings for people: where, what, and what to do.

Regular expressions are matched in linear time, so there is no look-around. `format` is checked. No schema is fetched from elsewhere.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

import jsonschema_rs

MAX_VIOLATIONS = 100
"""Further violations are not listed."""

FieldPath = tuple[str | int, ...]
ContextCheck = Callable[[Mapping[str, Any]], list[tuple[str, str]]]

_NAMES = {
    "array": "a list",
    "boolean": "true or false",
    "integer": "a whole number",
    "null": "null",
    "number": "a number",
    "object": "an object",
    "string": "a string",
}


class Finding(NamedTuple):
    """A violated rule: the keys and indexes that lead to the value, what it must be, and the keyword of the schema, if any."""

    path: FieldPath
    message: str
    keyword: str = ""


class InvalidSchema(ValueError):
    """The schema is not valid. `path` leads to the problem, and the message describes it."""

    def __init__(self, path: Sequence[str | int], message: str) -> None:
        super().__init__(message)
        self.path = tuple(path)


class Schema:
    """A compiled schema. Raises InvalidSchema if the schema is not valid."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._schema = dict(schema)
        self._validator = _compile(self._schema)

    def accepts(self, value: Any) -> bool:
        """Whether the value satisfies the schema. Much faster than `findings`."""
        return self._validator.is_valid(value)

    def findings(self, value: Any) -> list[Finding]:
        """The violations of the schema, at most MAX_VIOLATIONS; empty if the value is valid."""
        errors = self._validator.iter_errors(value)
        return [finding for error in islice(errors, MAX_VIOLATIONS) for finding in self._of(error, value)][:MAX_VIOLATIONS]

    def _of(self, error: jsonschema_rs.ValidationError, value: Any) -> list[Finding]:
        kind, path = error.kind, tuple(error.instance_path)
        around = self._around(error)
        if kind.name == "required":
            return [Finding((*path, kind.as_dict()["property"]), "is missing; add it", kind.name)]
        if error.schema_path[-1:] in (["additionalProperties"], ["unevaluatedProperties"]):
            known = ", ".join(around.get("properties", {}))
            advice = f"remove it, or use one of these: {known}" if known else "remove it"
            return [Finding((*path, key), f"is not a known key; {advice}", "additionalProperties") for key in _unexpected(error, value)]
        return [Finding(path, _words(error, around.get("description")), kind.name)]

    def _around(self, error: jsonschema_rs.ValidationError) -> Mapping[str, Any]:
        """The subschema with the keyword that failed."""
        place: Any = self._schema
        for step in error.schema_path[:-1]:
            try:
                place = place[step]
            except (KeyError, IndexError, TypeError):  # the rule is behind a reference out of this schema
                return {}
        return place if isinstance(place, dict) else {}


def compile_context_schema(schema: Mapping[str, Any]) -> ContextCheck:
    """The check of a call's context. It returns `(field path, what to do)` for each violation, at most MAX_VIOLATIONS.

    Raises InvalidSchema. The reader refuses definitions with such a schema.
    """
    compiled = Schema(schema)

    def check(context: Mapping[str, Any]) -> list[tuple[str, str]]:
        value = dict(context)
        if compiled.accepts(value):
            return []
        return [(field_path(("context", *finding.path)), finding.message) for finding in compiled.findings(value)]

    return check


def field_path(path: Sequence[str | int]) -> str:
    """The path in the usual notation: `context.audience.age`, `agents[3].name`."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).removeprefix(".")


def _unexpected(error: jsonschema_rs.ValidationError, value: Any) -> list[str]:
    """The keys that the schema does not allow. The library does not name them if no key is allowed."""
    if error.kind.name != "falseSchema":
        return list(error.kind.as_dict()["unexpected"])
    for step in error.instance_path:
        value = value[step]
    return list(value)


def _compile(schema: dict[str, Any]) -> jsonschema_rs.Draft202012Validator:
    try:
        return jsonschema_rs.Draft202012Validator(
            schema, offline=True, validate_formats=True, pattern_options=jsonschema_rs.RegexOptions(), mask="the value"
        )
    except jsonschema_rs.ValidationError as error:
        raise InvalidSchema(error.instance_path, _schema_trouble(error)) from None
    except ValueError as error:
        raise InvalidSchema((), str(error)) from None


def _schema_trouble(error: jsonschema_rs.ValidationError) -> str:
    if error.kind.name == "format" and error.kind.as_dict()["format"] == "regex":
        return "must be a valid regular expression without look-around and back-references"
    if error.instance is None:
        return f"{error.message}; references must stay inside this schema, such as #/$defs/name"
    return _words(error, None)


def _words(error: jsonschema_rs.ValidationError, description: str | None) -> str:
    template = _TEMPLATES.get(error.kind.name)
    if template is None:
        return error.message[:300]
    what = template(error.kind.as_dict(), error)
    return f"{what} ({description})" if description and error.kind.name in ("pattern", "format") else what


def _type(facts: Mapping[str, Any], error: jsonschema_rs.ValidationError) -> str:
    wanted = " or ".join(_NAMES[name] for name in facts["types"])
    if facts["types"] == ["integer"] and isinstance(error.instance, float):
        return f"must be {wanted}; remove the fraction"
    if facts["types"] == ["string"] and isinstance(error.instance, bool | int | float):
        return f"must be {wanted}; quote it"
    return f"must be {wanted}, not {_kind_of(error.instance)}"


def _kind_of(value: Any) -> str:
    for types, name in ((str, "string"), (bool, "boolean"), (int | float, "number"), (list, "array"), (dict, "object")):
        if isinstance(value, types):
            return _NAMES[name]
    return "null"


def _any_of(facts: Mapping[str, Any], _: jsonschema_rs.ValidationError) -> str:
    if not any(facts["context"]):
        return "matches more than one of the alternatives, but must match exactly one"
    ways = dict.fromkeys(_words(branch[0], None) for branch in facts["context"] if branch)
    return "matches none of the alternatives: " + "; or ".join(islice(ways, 5))


def _bad_key(facts: Mapping[str, Any], _: jsonschema_rs.ValidationError) -> str:
    error = facts["error"]
    return f"has the key {json.dumps(error.instance, ensure_ascii=False)[:100]}, which {_words(error, None)}"


def _options(facts: Mapping[str, Any], _: jsonschema_rs.ValidationError) -> str:
    options = [json.dumps(option, ensure_ascii=False) for option in facts["options"]]
    more = f" or {len(options) - 20} others" if len(options) > 20 else ""
    return f"must be one of {', '.join(options[:20])}{more}"


def _count(limit: int, what: str) -> str:
    return f"{limit} {what}" if limit == 1 else f"{limit} {what}s"


_TEMPLATES: Mapping[str, Callable[[Mapping[str, Any], jsonschema_rs.ValidationError], str]] = {
    "type": _type,
    "required": lambda facts, _: f"must have '{facts['property']}'",
    "enum": _options,
    "const": lambda facts, _: f"must be {json.dumps(facts['expected_value'], ensure_ascii=False)}",
    "anyOf": _any_of,
    "oneOf": _any_of,
    "pattern": lambda facts, _: f"must match {facts['pattern']}",
    "format": lambda facts, _: f"must be in the format '{facts['format']}'",
    "minimum": lambda facts, _: f"must be at least {facts['limit']}",
    "maximum": lambda facts, _: f"must be at most {facts['limit']}",
    "exclusiveMinimum": lambda facts, _: f"must be more than {facts['limit']}",
    "exclusiveMaximum": lambda facts, _: f"must be less than {facts['limit']}",
    "multipleOf": lambda facts, _: f"must be a multiple of {facts['multiple_of']}",
    "minLength": lambda facts, _: f"must have at least {_count(facts['limit'], 'character')}",
    "maxLength": lambda facts, _: f"must have at most {_count(facts['limit'], 'character')}",
    "minItems": lambda facts, _: f"must have at least {_count(facts['limit'], 'item')}",
    "maxItems": lambda facts, _: f"must have at most {_count(facts['limit'], 'item')}",
    "minProperties": lambda facts, _: f"must have at least {_count(facts['limit'], 'key')}",
    "maxProperties": lambda facts, _: f"must have at most {_count(facts['limit'], 'key')}",
    "uniqueItems": lambda _, __: "must not contain the same item twice",
    "propertyNames": _bad_key,
    "contains": lambda _, __: "must contain an item that satisfies the schema's contains",
    "falseSchema": lambda _, __: "is not allowed here; remove it",
    "not": lambda _, __: "must not satisfy the schema's not",
}
