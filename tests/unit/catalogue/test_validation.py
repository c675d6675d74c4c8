"""The error of a context that violates the agent's schema."""

from typing import Any

import pytest

from catalogue.validation import MAX_VIOLATIONS, InvalidSchema, compile_context_schema, field_path

SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["audience"],
    "additionalProperties": False,
    "properties": {
        "audience": {
            "type": "object",
            "required": ["age"],
            "properties": {"age": {"type": "integer", "minimum": 18, "maximum": 99}, "name": {"type": "string"}},
        },
        "tone": {"enum": ["dry", "warm"]},
        "day": {"type": "string", "format": "date"},
        "tags": {"type": "array", "minItems": 1, "maxItems": 3, "uniqueItems": True, "items": {"type": "string", "minLength": 2}},
        "budget": {"anyOf": [{"type": "number"}, {"type": "null"}]},
        "code": {"type": "string", "pattern": "^[A-Z]{2}$", "description": "a country's two capital letters"},
        "flag": {"const": True},
        "never": False,
        "either": {"oneOf": [{"type": "integer"}, {"type": "number"}]},
        "words": {"type": "object", "propertyNames": {"maxLength": 3}},
    },
}
NO_FORM = "matches none of the alternatives:"
GOOD: dict[str, Any] = {"audience": {"age": 30}}


@pytest.mark.parametrize(
    ("context", "violations"),
    [
        ({}, [("context.audience", "is missing; add it")]),
        ({"audience": {}}, [("context.audience.age", "is missing; add it")]),
        ({"audience": {"age": 17}}, [("context.audience.age", "must be at least 18")]),
        ({"audience": {"age": 100}}, [("context.audience.age", "must be at most 99")]),
        ({"audience": {"age": 18.5}}, [("context.audience.age", "must be a whole number; remove the fraction")]),
        ({"audience": {"age": None}}, [("context.audience.age", "must be a whole number, not null")]),
        ({"audience": "x"}, [("context.audience", "must be an object, not a string")]),
        ({"audience": {"age": 20, "name": 3}}, [("context.audience.name", "must be a string; quote it")]),
        ({**GOOD, "tone": "cold"}, [("context.tone", 'must be one of "dry", "warm"')]),
        ({**GOOD, "day": "soon"}, [("context.day", "must be in the format 'date'")]),
        ({**GOOD, "tags": []}, [("context.tags", "must have at least 1 item")]),
        ({**GOOD, "tags": ["aa", "x"]}, [("context.tags[1]", "must have at least 2 characters")]),
        ({**GOOD, "tags": ["aa", "aa"]}, [("context.tags", "must not contain the same item twice")]),
        ({**GOOD, "budget": "1"}, [("context.budget", f"{NO_FORM} must be a number, not a string; or must be null, not a string")]),
        ({**GOOD, "code": "de"}, [("context.code", "must match ^[A-Z]{2}$ (a country's two capital letters)")]),
        ({**GOOD, "flag": False}, [("context.flag", "must be true")]),
        ({**GOOD, "never": 1}, [("context.never", "is not allowed here; remove it")]),
        ({**GOOD, "either": 1}, [("context.either", "matches more than one of the alternatives, but must match exactly one")]),
        ({**GOOD, "words": {"long_one": 1}}, [("context.words", 'has the key "long_one", which must have at most 3 characters')]),
    ],
)  # fmt: skip
def test_a_violation_names_its_field_and_the_remedy(context: dict[str, Any], violations: list[tuple[str, str]]) -> None:
    """For a person who sees only this text."""
    assert compile_context_schema(SCHEMA)(context) == violations


def test_every_violation_is_reported_at_once() -> None:
    """An unknown key is reported with the known ones."""
    violations = dict(compile_context_schema(SCHEMA)({"tone": 1, "color": "red"}))
    assert violations.keys() == {"context.audience", "context.tone", "context.color"}
    assert violations["context.color"].startswith("is not a known key; remove it, or use one of these: audience, tone, day")


@pytest.mark.parametrize("context", [GOOD, {"audience": {"age": 30.0}}, {**GOOD, "budget": None, "tone": "dry", "tags": ["aa"]}])
def test_a_valid_context_has_no_violations(context: dict[str, Any]) -> None:
    """A whole number may arrive as 30.0: protobuf's Struct carries it so."""
    assert compile_context_schema(SCHEMA)(context) == []


def test_at_most_a_hundred_violations_are_listed() -> None:
    """A long list of invalid items must not inflate the response."""
    check = compile_context_schema({"type": "object", "additionalProperties": {"type": "string"}})
    assert len(check({str(key): key for key in range(5000)})) == MAX_VIOLATIONS
    closed = compile_context_schema({"type": "object", "additionalProperties": False})
    assert len(closed({str(key): key for key in range(5000)})) == MAX_VIOLATIONS


def test_a_hostile_text_cannot_stall_a_pattern() -> None:
    """Patterns are matched in linear time; with backtracking this one would exceed the test's timeout."""
    check = compile_context_schema({"type": "object", "properties": {"a": {"type": "string", "pattern": "^(a+)+$"}}})
    assert check({"a": "a" * 50_000 + "!"}) == [("context.a", "must match ^(a+)+$")]


def test_a_violation_does_not_repeat_the_value() -> None:
    """A context may hold data that must not appear in an error."""
    check = compile_context_schema({"type": "object", "dependentSchemas": {"a": {"minProperties": 3}}, "maxProperties": 1})
    assert "secret" not in str(check({"a": "secret", "b": "secret"}))


@pytest.mark.parametrize("schema", [{"type": "objekt"}, {"$ref": "#/nope"}, {"$ref": "file:///etc/hostname"}, {"pattern": "("}])
def test_an_invalid_schema_is_refused(schema: dict[str, Any]) -> None:
    """The reader refuses such a definition before."""
    with pytest.raises(InvalidSchema):
        compile_context_schema(schema)


def test_a_field_path_has_dots_and_bracketed_indexes() -> None:
    """Keys are joined by dots, indexes are in brackets."""
    assert field_path(("context", "audience", "age")) == "context.audience.age"
    assert field_path(("agents", 3, "tags", 0)) == "agents[3].tags[0]"
    assert field_path(()) == ""
