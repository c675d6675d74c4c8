"""Messages become the JSON Schema of what the gateway's transcoder reads and writes."""

from typing import Any

import jsonschema_rs
import pytest
from google.protobuf import json_format

from protos.codegen.contracts import ContractError
from protos.codegen.json_schema import Direction, Schemas
from tests.unit.codegen.conftest import Compile

Json = dict[str, Any]
INT32 = {"minimum": -(2**31), "maximum": 2**31 - 1}


def schema_of(compiled: Compile, body: str, direction: Direction) -> Json:
    """The schema of agentmesh.test.v1.M, with the components that it refers to."""
    contracts = compiled(body)
    schemas = Schemas(contracts)
    schema = schemas.object(contracts.message("agentmesh.test.v1.M"), direction)
    return {**schema, "components": {"schemas": schemas.components}}


def field_of(compiled: Compile, field: str, direction: Direction = Direction.REQUEST, around: str = "") -> Json:
    """The schema of the field `f` of a message that has only this field."""
    contracts = compiled(f"{around} message M {{\n{field}\n}}")
    return Schemas(contracts).field(contracts.message("agentmesh.test.v1.M").fields_by_name["f"], direction)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("string", {"type": "string"}),
        ("bool", {"type": "boolean"}),
        ("int32", {"type": "integer", "format": "int32"}),
        ("sfixed32", {"type": "integer", "format": "int32"}),
        ("uint32", {"type": "integer", "format": "uint32", "minimum": 0}),
        ("int64", {"type": "string", "format": "int64", "pattern": "^-?[0-9]{1,19}$"}),
        ("uint64", {"type": "string", "format": "uint64", "pattern": "^[0-9]{1,20}$"}),
        ("double", {"type": "number", "format": "double"}),
        ("float", {"type": "number", "format": "float"}),
        ("bytes", {"type": "string", "contentEncoding": "base64"}),
        ("repeated string", {"type": "array", "items": {"type": "string"}}),
        ("map<string, int32>", {"type": "object", "additionalProperties": {"type": "integer", "format": "int32"}}),
        ("google.protobuf.Timestamp", {"type": "string", "format": "date-time"}),
        ("google.protobuf.Duration", {"type": "string", "pattern": r"^-?[0-9]+(\.[0-9]{1,9})?s$"}),
        ("google.protobuf.Struct", {"type": "object", "additionalProperties": True}),
        ("google.protobuf.Value", {}),
        ("google.protobuf.ListValue", {"type": "array"}),
    ],
)
def test_a_type_has_the_schema_of_its_proto_json_form(compiled: Compile, kind: str, expected: Json) -> None:
    assert field_of(compiled, f"{kind} f = 1;", Direction.RESPONSE) == expected


STRING = {"type": "string"}
NUMBER = {"type": "integer", "format": "int32", **INT32}


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ("string f = 1 [(buf.validate.field).string.min_len = 2];", {**STRING, "minLength": 2}),
        ("string f = 1 [(buf.validate.field).string.max_len = 5];", {**STRING, "maxLength": 5}),
        ("string f = 1 [(buf.validate.field).string.len = 3];", {**STRING, "minLength": 3, "maxLength": 3}),
        ('string f = 1 [(buf.validate.field).string.pattern = "^a+$"];', {**STRING, "pattern": "^a+$"}),
        ("string f = 1 [(buf.validate.field).string.uuid = true];", {**STRING, "format": "uuid"}),
        ("string f = 1 [(buf.validate.field).string.email = true];", {**STRING, "format": "email"}),
        ('string f = 1 [(buf.validate.field).string = {in: ["a", "b"]}];', {**STRING, "enum": ["a", "b"]}),
        ('string f = 1 [(buf.validate.field).string = {not_in: ["a"]}];', {**STRING, "not": {"enum": ["a"]}}),
        ('string f = 1 [(buf.validate.field).string.const = "a"];', {**STRING, "const": "a"}),
        ("string f = 1 [(buf.validate.field).required = true];", {**STRING, "not": {"const": ""}}),
        ("int32 f = 1 [(buf.validate.field).int32.gte = 1];", {**NUMBER, "minimum": 1}),
        ("int32 f = 1 [(buf.validate.field).int32 = {gte: 0, lte: 9}];", {**NUMBER, "minimum": 0, "maximum": 9}),
        ("int32 f = 1 [(buf.validate.field).int32 = {gt: 0, lt: 9}];", {**NUMBER, "exclusiveMinimum": 0, "exclusiveMaximum": 9}),
        ("int32 f = 1 [(buf.validate.field).int32 = {in: [1, 2]}];", {**NUMBER, "enum": [1, 2]}),
        ("bool f = 1 [(buf.validate.field).bool.const = true];", {"type": "boolean", "const": True}),
        (
            "repeated string f = 1 [(buf.validate.field).repeated = {min_items: 1, max_items: 3, unique: true,"
            "items: {string: {max_len: 4}}}];",
            {"type": "array", "items": {"type": "string", "maxLength": 4}, "minItems": 1, "maxItems": 3, "uniqueItems": True},
        ),
        (
            "map<string, string> f = 1 [(buf.validate.field).map = {max_pairs: 2, keys: {string: {max_len: 4}},"
            "values: {string: {min_len: 1}}}];",
            {
                "type": "object",
                "additionalProperties": {"type": "string", "minLength": 1},
                "propertyNames": {"maxLength": 4},
                "maxProperties": 2,
            },
        ),
    ],
)
def test_a_validation_rule_becomes_a_keyword(compiled: Compile, field: str, expected: Json) -> None:
    assert field_of(compiled, field) == expected


def test_the_zero_value_that_a_rule_ignores_is_not_described(compiled: Compile) -> None:
    """Clients omit the field; generated clients do not compile with `anyOf` of a constant and a pattern."""
    schema = field_of(compiled, 'string f = 1 [(buf.validate.field) = {ignore: IGNORE_IF_ZERO_VALUE, string: {pattern: "^a+$"}}];')
    assert schema == {"type": "string", "pattern": "^a+$"}


@pytest.mark.parametrize(
    ("field", "sentence"),
    [
        ("optional int32 f = 1 [(agentmesh.common.v1.default_value) = {integer: 86400}];", "Default: `86400`."),
        ("optional double f = 1 [(agentmesh.common.v1.default_value) = {number: 1.5}];", "Default: `1.5`."),
        ("optional double f = 1 [(agentmesh.common.v1.default_value) = {number: 30}];", "Default: `30`."),
        ('Colour f = 1 [(agentmesh.common.v1.default_value) = {enum_value: "COLOUR_RED"}];', "Default: `COLOUR_RED`."),
    ],
)
def test_a_default_comes_only_from_its_option(compiled: Compile, field: str, sentence: str) -> None:
    """Not from a comment such as this one; and no property has the keyword `default`."""
    schema = field_of(compiled, f"// default 86,400 (a day).\n{field}", around=COLOUR)
    assert schema["description"] == f"default 86,400 (a day). {sentence}"
    assert "default" not in schema


def test_a_comment_declares_no_default(compiled: Compile) -> None:
    contracts = compiled("message M {\n// Seconds; default 86,400 (a day).\noptional int32 f = 1;\n}")
    schemas, field = Schemas(contracts), contracts.message("agentmesh.test.v1.M").fields_by_name["f"]
    assert schemas.default(field) is None
    assert schemas.field(field, Direction.REQUEST)["description"] == "Seconds; default 86,400 (a day)."


def test_a_default_outside_its_enum_is_refused(compiled: Compile) -> None:
    with pytest.raises(ContractError, match="COLOUR_GREEN"):
        field_of(compiled, 'Colour f = 1 [(agentmesh.common.v1.default_value) = {enum_value: "COLOUR_GREEN"}];', around=COLOUR)


def test_a_rule_that_is_always_ignored_adds_nothing(compiled: Compile) -> None:
    assert "minLength" not in field_of(compiled, "string f = 1 [(buf.validate.field) = {ignore: IGNORE_ALWAYS, string: {min_len: 1}}];")


@pytest.mark.parametrize(
    ("field", "sentence"),
    [
        ("string f = 1 [(buf.validate.field).string.max_bytes = 72];", "Rule: `string.max_bytes = 72`."),
        ("int64 f = 1 [(buf.validate.field).int64.gte = 5];", "Rule: `int64.gte = 5`."),
        (
            "google.protobuf.Duration f = 1 [(buf.validate.field).duration.lte = {seconds: 60}];",
            "Rule: `duration.lte = seconds: 60`.",
        ),
        (
            "google.protobuf.Timestamp f = 1 [(buf.validate.field).timestamp.lt_now = true];",
            "Rule: `timestamp.lt_now = true`.",
        ),
        (
            'string f = 1 [(buf.validate.field).cel = {id: "x", message: "Must be a palindrome.", expression: "true"}];',
            "Must be a palindrome.",
        ),
        ('string f = 1 [(buf.validate.field).cel = {id: "x", expression: "this == this"}];', "Rule: `this == this`."),
    ],
)
def test_a_rule_without_a_keyword_is_described_after_the_comment(compiled: Compile, field: str, sentence: str) -> None:
    assert field_of(compiled, f"// The comment.\n{field}")["description"] == f"The comment. {sentence}"


def test_rules_apply_only_to_requests(compiled: Compile) -> None:
    assert field_of(compiled, "int32 f = 1 [(buf.validate.field).int32.gte = 1];", Direction.RESPONSE) == {
        "type": "integer",
        "format": "int32",
    }


COLOUR = """
// What it looks like.
enum Colour {
  // Not said.
  COLOUR_UNSPECIFIED = 0;
  // Like a rose.
  COLOUR_RED = 1;
  COLOUR_BLUE = 2;
}
"""


def test_an_enum_is_a_component_with_the_meaning_of_each_name(compiled: Compile) -> None:
    schema = schema_of(compiled, COLOUR + "message M { Colour f = 1; }", Direction.RESPONSE)
    assert schema["properties"]["f"] == {"$ref": "#/components/schemas/agentmesh.test.v1.Colour"}
    colour = schema["components"]["schemas"]["agentmesh.test.v1.Colour"]
    assert colour["type"] == "string"
    assert colour["enum"] == ["COLOUR_UNSPECIFIED", "COLOUR_RED", "COLOUR_BLUE"]
    assert colour["description"].startswith("What it looks like.\n\n- `COLOUR_UNSPECIFIED`: Not said.\n- `COLOUR_RED`: Like a rose.")


@pytest.mark.parametrize(
    ("rule", "names"),
    [
        ("{not_in: [0]}", ["COLOUR_RED", "COLOUR_BLUE"]),
        ("{in: [0, 2]}", ["COLOUR_UNSPECIFIED", "COLOUR_BLUE"]),
        ("{const: 1}", ["COLOUR_RED"]),
    ],
)
@pytest.mark.parametrize("field", ["Colour f", "repeated Colour f"])
def test_rules_about_enum_numbers_leave_only_the_allowed_names(compiled: Compile, rule: str, names: list[str], field: str) -> None:
    """Generated clients do not compile with keywords beside `$ref`."""
    rules = f"enum = {rule}" if field == "Colour f" else f"repeated.items.enum = {rule}"
    schema = schema_of(compiled, COLOUR + f"message M {{ {field} = 1 [(buf.validate.field).{rules}]; }}", Direction.REQUEST)
    found = schema["properties"]["f"]
    assert found.get("items", found) == {"type": "string", "enum": names}


def test_a_control_character_in_a_rule_is_escaped(compiled: Compile) -> None:
    """Generators copy descriptions into source code."""
    schema = field_of(compiled, 'string f = 1 [(buf.validate.field).string.not_contains = "\\x00"];')
    assert schema["description"] == "Rule: `string.not_contains = \\x00`."


def test_a_defined_only_enum_needs_no_keyword(compiled: Compile) -> None:
    schema = field_of(compiled, "Colour f = 1 [(buf.validate.field).enum.defined_only = true];", around=COLOUR)
    assert schema == {"$ref": "#/components/schemas/agentmesh.test.v1.Colour"}


MANY = """
message M {
  // Words.
  string text = 1;
  optional string maybe = 2;
  repeated string many = 3;
  map<string, string> pairs = 4;
  Part part = 5;
  // One of two.
  oneof choice { string left = 6; int32 right = 7; }
  int64 big = 8;
}
message Part { string name = 1; }
"""


def test_a_response_requires_every_field_that_is_printed_by_default(compiled: Compile) -> None:
    schema = schema_of(compiled, MANY, Direction.RESPONSE)
    assert schema["required"] == ["text", "many", "pairs", "big"]
    printed: Json = {"text": "", "many": [], "pairs": {}, "big": "0", "part": {"name": ""}, "left": ""}
    validator = jsonschema_rs.validator_for(schema)
    assert validator.is_valid(printed)
    assert validator.is_valid({**printed, "a_field_of_next_year": 1})
    for field, value in (("big", 1), ("part", {}), ("right", "x")):
        assert not validator.is_valid({**printed, field: value}), field
    for name in schema["required"]:
        assert not validator.is_valid({key: value for key, value in printed.items() if key != name}), name


def test_a_oneof_is_described_in_words_and_an_optional_field_is_not(compiled: Compile) -> None:
    assert schema_of(compiled, f"// Much.\n{MANY.strip()}", Direction.RESPONSE)["description"] == "Much. At most one of `left`, `right`."
    required = "message M { oneof choice { option (buf.validate.oneof).required = true; string left = 1; string right = 2; } }"
    assert schema_of(compiled, required, Direction.REQUEST)["description"] == "Exactly one of `left`, `right`."


def test_a_request_requires_only_fields_whose_absence_violates_a_rule(compiled: Compile) -> None:
    body = """
    message M {
      string any = 1 [(buf.validate.field).string.max_len = 9];
      string some = 2 [(buf.validate.field).string.min_len = 1];
      string id = 3 [(buf.validate.field).string.uuid = true];
      string may = 4 [(buf.validate.field) = {ignore: IGNORE_IF_ZERO_VALUE, string: {uuid: true}}];
      optional int32 limit = 5 [(buf.validate.field).int32.gte = 1];
      int32 count = 6 [(buf.validate.field).int32.gte = 1];
      Part part = 7 [(buf.validate.field).required = true];
      repeated string many = 8 [(buf.validate.field).repeated.min_items = 1];
    }
    message Part { string name = 1; }
    """
    assert schema_of(compiled, body, Direction.REQUEST)["required"] == ["some", "id", "count", "part", "many"]


def test_null_is_not_described(compiled: Compile) -> None:
    """The gateway reads null as absent, but clients omit the field: generators make awkward types of nullable fields."""
    body = COLOUR + "message M { string may = 2; Colour colour = 3; google.protobuf.Struct facts = 4; }"
    schema = schema_of(compiled, body, Direction.REQUEST)
    assert "null" not in str(schema["properties"])
    assert jsonschema_rs.validator_for(schema).is_valid({})


def test_a_recursive_message_refers_to_its_own_component(compiled: Compile) -> None:
    schema = schema_of(compiled, "message M { Node root = 1; } message Node { repeated Node children = 1; }", Direction.RESPONSE)
    node = schema["components"]["schemas"]["agentmesh.test.v1.Node"]
    assert node["properties"]["children"]["items"] == {"$ref": "#/components/schemas/agentmesh.test.v1.Node"}
    assert jsonschema_rs.validator_for(schema).is_valid({"root": {"children": [{"children": []}]}})
    assert not jsonschema_rs.validator_for(schema).is_valid({"root": {"children": [{}]}})


def test_a_message_in_requests_and_responses_has_a_component_for_each(compiled: Compile) -> None:
    contracts = compiled("message M { Part part = 1; } message Part { string name = 1; }")
    schemas, message = Schemas(contracts), contracts.message("agentmesh.test.v1.M")
    for direction in Direction:
        schemas.reference(message, direction)
    assert sorted(schemas.components) == [f"agentmesh.test.v1.{name}" for name in ("M", "M-input", "Part", "Part-input")]
    assert "required" not in schemas.components["agentmesh.test.v1.Part-input"]


def test_a_google_type_with_an_unknown_json_form_is_refused(compiled: Compile) -> None:
    contracts = compiled("message M { google.protobuf.Any anything = 1; }")
    with pytest.raises(ContractError, match=r"google\.protobuf\.Any"):
        Schemas(contracts).object(contracts.message("agentmesh.test.v1.M"), Direction.RESPONSE)


def test_protobufs_own_json_satisfies_the_schema_of_a_response(compiled: Compile) -> None:
    contracts = compiled(MANY)
    message = contracts.message("agentmesh.test.v1.M")
    schemas = Schemas(contracts)
    schema = {**schemas.object(message, Direction.RESPONSE), "components": {"schemas": schemas.components}}
    written = json_format.Parse(
        '{"text": "a", "part": {}, "right": 3, "big": "-9223372036854775808", "pairs": {"a": "b"}}', contracts.new(message)
    )
    for printable in (contracts.new(message), written):
        printed = json_format.MessageToDict(printable, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
        jsonschema_rs.validator_for(schema).validate(printed)
