"""Messages as JSON Schema, in the form that the gateway reads and writes: proto JSON with the field names of the proto.

A response contains every field without presence, so those are required. A request may leave out every field that its rules
allow to be absent. So a message has one schema for each direction.
"""

from collections.abc import Collection, Mapping
from enum import Enum
from typing import Any

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

from protos.codegen.contracts import ContractError, Contracts, real_oneofs
from protos.codegen.rules import Json, in_words, one_of, refined, required

_INT32 = {"type": "integer", "format": "int32"}
_UINT32 = {"type": "integer", "format": "uint32", "minimum": 0}
_INT64 = {"type": "string", "format": "int64", "pattern": "^-?[0-9]{1,19}$"}
_UINT64 = {"type": "string", "format": "uint64", "pattern": "^[0-9]{1,20}$"}
_SCALARS: dict[int, Json] = {
    FieldDescriptor.TYPE_DOUBLE: {"type": "number", "format": "double"},
    FieldDescriptor.TYPE_FLOAT: {"type": "number", "format": "float"},
    FieldDescriptor.TYPE_BOOL: {"type": "boolean"},
    FieldDescriptor.TYPE_STRING: {"type": "string"},
    FieldDescriptor.TYPE_BYTES: {"type": "string", "contentEncoding": "base64"},
    **dict.fromkeys((FieldDescriptor.TYPE_INT32, FieldDescriptor.TYPE_SINT32, FieldDescriptor.TYPE_SFIXED32), _INT32),
    **dict.fromkeys((FieldDescriptor.TYPE_UINT32, FieldDescriptor.TYPE_FIXED32), _UINT32),
    **dict.fromkeys((FieldDescriptor.TYPE_INT64, FieldDescriptor.TYPE_SINT64, FieldDescriptor.TYPE_SFIXED64), _INT64),
    **dict.fromkeys((FieldDescriptor.TYPE_UINT64, FieldDescriptor.TYPE_FIXED64), _UINT64),
}
_BOUNDS: dict[str, Json] = {
    "int32": {"minimum": -(2**31), "maximum": 2**31 - 1},
    "uint32": {"minimum": 0, "maximum": 2**32 - 1},
    # All numbers with this many digits fit; some with one more digit do not.
    "int64": {"pattern": "^-?[0-9]{1,18}$"},
    "uint64": {"pattern": "^[0-9]{1,19}$"},
}
"""The gateway rejects requests with values outside these bounds. Responses cannot contain such values."""
_WELL_KNOWN: dict[str, Json] = {
    "google.protobuf.Struct": {"type": "object", "additionalProperties": True},
    "google.protobuf.Value": {},
    "google.protobuf.ListValue": {"type": "array"},
    "google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
    "google.protobuf.Duration": {"type": "string", "pattern": r"^-?[0-9]+(\.[0-9]{1,9})?s$"},
    "google.protobuf.FieldMask": {"type": "string"},
    "google.protobuf.Empty": {"type": "object"},
}
_ZEROS = {"string": "", "integer": 0, "number": 0, "boolean": False, "array": []}


class Direction(Enum):
    """Whether the message is a request or a response. The value is the suffix of its component names."""

    REQUEST = "-input"
    RESPONSE = ""


class Schemas:
    """The schemas of one document. `components` contains every message and enum to which they refer.

    A component is named after the full proto name, with the suffix `-input` if requests use it. `refinements` are keywords for promises
    of the contract that proto types cannot express, by the full name of a message or field.
    """

    def __init__(self, contracts: Contracts, refinements: Mapping[str, Json] | None = None) -> None:
        self.components: dict[str, Json] = {}
        self._contracts = contracts
        self._refinements = refinements or {}

    def reference(self, message: Descriptor, direction: Direction) -> Json:
        """The schema of a message: a reference to its component, or the proto JSON form of a well-known type."""
        if message.full_name in _WELL_KNOWN:
            return _WELL_KNOWN[message.full_name]
        if message.full_name.startswith("google."):
            raise ContractError(f"{message.full_name}: json_schema.py does not know its JSON form; add it to _WELL_KNOWN")
        name = message.full_name + direction.value
        if name not in self.components:
            self.components[name] = {}  # a placeholder, in case the message refers to itself
            self.components[name] = self.object(message, direction)
        return {"$ref": f"#/components/schemas/{name}"}

    def object(self, message: Descriptor, direction: Direction, without: Collection[str] = ()) -> Json:
        """The schema of a message in full, leaving out the top-level fields `without`."""
        fields = [field for field in message.fields if field.name not in without]
        properties = {field.name: self.field(field, direction) for field in fields}
        text = [self._contracts.comment(message.full_name), *self._sentences(message)]
        title = message.name + ("Input" if direction is Direction.REQUEST else "")
        schema: Json = {"title": title, "description": " ".join(filter(None, text)), "type": "object", "properties": properties}
        if required_names := [field.name for field in fields if self.required(field, direction)]:
            schema["required"] = required_names
        return {**schema, **self._refinements.get(message.full_name, {})}

    def required(self, field: FieldDescriptor, direction: Direction) -> bool:
        """Whether the field is always present: in a request because of its rules, in a response because defaults are printed."""
        return required(self._contracts, field) if direction is Direction.REQUEST else not field.has_presence

    def default(self, field: FieldDescriptor) -> Any:
        """The value that the option `default_value` declares for an absent field, or None.

        Properties state it only in their description, because generators for TypeScript treat a property with the keyword `default` as
        required.
        """
        declared = self._contracts.option(field, "agentmesh.common.v1.default_value")
        if declared is None:
            return None
        value = getattr(declared, declared.WhichOneof("value"))
        known = field.enum_type.values_by_name if field.enum_type is not None else ()
        if isinstance(value, str) and value not in known:
            raise ContractError(f"{field.full_name}: the default `{value}` is not a value of its enum")
        return int(value) if isinstance(value, float) and value.is_integer() else value

    def field(self, field: FieldDescriptor, direction: Direction) -> Json:
        """The schema of one field's value, described by the field's comment."""
        schema = self._typed(field, direction)
        said: list[str] = []
        if direction is Direction.REQUEST:
            schema = {**schema, **_BOUNDS.get(schema.get("format", ""), {})}
            schema, said = refined(schema, self._contracts.rules(field), field, _zero(field, schema))
            schema = self._chosen(field, schema)
            if (default := self.default(field)) is not None:
                said.append(f"Default: `{default}`.")
        schema = {**schema, **self._refinements.get(field.full_name, {})}
        description = " ".join(filter(None, [self._contracts.comment(field.full_name), *said]))
        return {"description": description, **schema} if description else schema

    def _typed(self, field: FieldDescriptor, direction: Direction) -> Json:
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            return {"type": "object", "additionalProperties": self._value(field.message_type.fields_by_name["value"], direction)}
        value = self._value(field, direction)
        return {"type": "array", "items": value} if field.is_repeated else value

    def _value(self, field: FieldDescriptor, direction: Direction) -> Json:
        if field.message_type is not None:
            return self.reference(field.message_type, direction)
        return self._enum(field.enum_type) if field.enum_type is not None else _SCALARS[field.type]

    def _chosen(self, field: FieldDescriptor, schema: Json) -> Json:
        """A field's schema, with the enum values that the rules allow instead of the reference to the enum.

        Generators ignore keywords beside `$ref`, or generate code from them that does not compile.
        """
        if "$ref" in schema and "enum" in schema and field.enum_type is not None:
            return {"type": "string"} | {key: value for key, value in schema.items() if key != "$ref"}
        if isinstance(items := schema.get("items"), dict):
            return {**schema, "items": self._chosen(field, items)}
        return schema

    def _enum(self, enum: EnumDescriptor) -> Json:
        self.components[enum.full_name] = self._described(enum, enum.name, [value.name for value in enum.values])
        return {"$ref": f"#/components/schemas/{enum.full_name}"}

    def _described(self, enum: EnumDescriptor, title: str, values: list[str]) -> Json:
        meanings = [f"- `{value}`: {self._contracts.comment(f'{enum.full_name}.{value}')}" for value in values]
        description = "\n".join([self._contracts.comment(enum.full_name), "", *meanings])
        return {"title": title, "description": description, "type": "string", "enum": values}

    def _sentences(self, message: Descriptor) -> list[str]:
        """The rules of a message that span several fields, as sentences."""
        said = []
        for oneof in real_oneofs(message):
            rules = self._contracts.option(oneof, "buf.validate.oneof")
            said.append(one_of((field.name for field in oneof.fields), bool(rules and rules.required)))
        if rules := self._contracts.option(message, "buf.validate.message"):
            said += in_words(rules) + [one_of(oneof.fields, oneof.required) for oneof in rules.oneof]
        return said


def _zero(field: FieldDescriptor, schema: Json) -> Any:
    """The JSON value that is equivalent to an absent field. None for a message, which has no such value."""
    if field.is_repeated:
        return [] if schema["type"] == "array" else {}
    if field.message_type is not None:
        return None
    if field.enum_type is not None:
        return field.enum_type.values_by_number[0].name
    return "0" if schema.get("format") in ("int64", "uint64") else _ZEROS[schema["type"]]
