"""Checks the schemas of structured output as the API does.

The rules are those of https://docs.anthropic.com/en/docs/build-with-claude/structured-outputs, which the SDK's
`transform_schema` writes schemas for: closed objects, no bounds on numbers and lengths, references within the schema, no recursion.
"""

from collections.abc import Mapping
from typing import Any

import jsonschema_rs

from deploy.simulator.errors import ApiError

Schema = Mapping[str, Any]

_AT = "output_config.format.schema"
_NOT_SUPPORTED = {
    "integer": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    # The API accepts simple patterns. The simulator cannot write text that matches them, so it refuses them.
    "string": ("minLength", "maxLength", "pattern"),
    "array": ("maxItems", "uniqueItems"),
}


def check(schema: Schema) -> None:
    """Raises ApiError (400) for a schema that structured output does not support."""
    if not jsonschema_rs.meta.is_valid(dict(schema)):
        raise ApiError.invalid(f"{_AT}: Input should be a valid JSON Schema")
    _check(schema, schema, ())


def resolved(schema: Schema, root: Schema) -> Schema:
    """The schema that `schema` refers to, or `schema` itself. Raises ApiError (400) for a reference that leads out of `root`."""
    reference = schema.get("$ref")
    if reference is None:
        return schema
    target: Any = root
    for part in str(reference).removeprefix("#/").split("/"):
        target = target.get(part) if isinstance(target, dict) else None
    if not isinstance(target, dict) or "$ref" in target or not str(reference).startswith("#/"):
        raise ApiError.invalid(f"{_AT}: {reference} is not a definition of this schema")
    return target


def type_of(schema: Schema) -> str:
    """The required JSON type: the first that is not null if there are several, empty if there is none."""
    named = schema.get("type", "object" if "properties" in schema else "")
    return next((one for one in named if one != "null"), "null") if isinstance(named, list) else str(named)


def _check(schema: Any, root: Schema, path: tuple[int, ...]) -> None:
    if not isinstance(schema, dict):
        raise ApiError.invalid(f"{_AT}: Input should be an object")
    schema = resolved(schema, root)
    if id(schema) in path:
        raise ApiError.invalid(f"{_AT}: Recursive schemas are not supported")
    _check_keywords(schema)
    for part in _parts(schema):
        _check(part, root, (*path, id(schema)))


def _check_keywords(schema: Schema) -> None:
    kind = type_of(schema)
    if kind == "object" and schema.get("additionalProperties") is not False:
        raise ApiError.invalid(f"{_AT}: For 'object' type, 'additionalProperties' must be explicitly set to false")
    if found := [keyword for keyword in _NOT_SUPPORTED.get(kind, ()) if keyword in schema]:
        raise ApiError.invalid(f"{_AT}: For '{kind}' type, properties {', '.join(found)} are not supported")
    if schema.get("minItems", 0) not in (0, 1):
        raise ApiError.invalid(f"{_AT}: For 'array' type, 'minItems' values other than 0 or 1 are not supported")
    if not kind and not schema.keys() & {"anyOf", "oneOf", "allOf", "enum", "const"}:
        raise ApiError.invalid(f"{_AT}: a schema needs a 'type', 'anyOf', 'oneOf', 'allOf', 'enum' or 'const'")


def _parts(schema: Schema) -> list[Any]:
    variants = [part for key in ("anyOf", "oneOf", "allOf") for part in schema.get(key, ())]
    return [*schema.get("properties", {}).values(), *variants, *([schema["items"]] if "items" in schema else ())]
