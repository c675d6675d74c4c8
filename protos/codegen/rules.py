"""Protovalidate rules as JSON Schema keywords; a rule without a keyword becomes a sentence of the description."""

from collections.abc import Iterable
from typing import Any

from google.protobuf.descriptor import FieldDescriptor

from protos.codegen.contracts import Contracts

Json = dict[str, Any]

_NUMBER = {"const": "const", "gte": "minimum", "gt": "exclusiveMinimum", "lte": "maximum", "lt": "exclusiveMaximum"}
_COPIED = {
    "string": {"const": "const", "min_len": "minLength", "max_len": "maxLength", "pattern": "pattern"},
    "bool": {"const": "const"},
    "repeated": {"min_items": "minItems", "max_items": "maxItems", "unique": "uniqueItems"},
    "map": {"min_pairs": "minProperties", "max_pairs": "maxProperties"},
    # 64-bit integers are strings in JSON, so their bounds can only be stated in words.
    **dict.fromkeys(("float", "double", "int32", "uint32", "sint32", "fixed32", "sfixed32"), _NUMBER),
}
"""Rules whose value is the value of a keyword, by kind."""
_FORMATS = {
    "email": "email",
    "hostname": "hostname",
    "ipv4": "ipv4",
    "ipv6": "ipv6",
    "uri": "uri",
    "uri_ref": "uri-reference",
    "uuid": "uuid",
}
_INNER = {"items": "items", "keys": "propertyNames", "values": "additionalProperties"}
"""Rules about the parts of a list or map, and the keyword under which JSON Schema describes those parts."""
_ALWAYS_SO = frozenset({"defined_only", "finite"})
"""Rules that JSON always satisfies: enum values are written by name, and there is no infinity."""


def refined(schema: Json, rules: Any, field: FieldDescriptor, zero: Any) -> tuple[Json, list[str]]:
    """`schema` narrowed by a field's rules (buf.validate.FieldRules or None), and sentences for rules that have no keyword.

    `zero` is the JSON value that represents an absent field, or None if there is no such value. Where the rules ignore the zero value,
    it is not described: clients leave the field out instead.
    """
    if rules is None or _ignore(rules) == "IGNORE_ALWAYS":
        return schema, []
    keywords: Json = {}
    said = in_words(rules)
    kind = rules.WhichOneof("type")
    for rule, value in getattr(rules, kind).ListFields() if kind else ():
        if inner := _INNER.get(rule.name):
            part, more = refined(schema.get(inner, {}), value, field, None)
            schema, said = {**schema, inner: part}, said + more
        elif (found := _keywords(kind, rule.name, value, field)) is not None:
            keywords |= found
        else:
            said.append(f"Rule: `{kind}.{rule.name} = {_text(value)}`.")
    if rules.required and zero is not None:
        keywords.setdefault("not", {"const": zero})
    return {**schema, **keywords}, said


def required(contracts: Contracts, field: FieldDescriptor) -> bool:
    """Whether a request must contain the field, according to the validator: an empty message violates the field's rules."""
    message = field.containing_type
    return message is not None and field.name in contracts.broken(contracts.new(message))


def in_words(rules: Any) -> list[str]:
    """The CEL rules of a field or message, each as its message or, if it has none, its expression."""
    said = [rule.message or f"Rule: `{rule.expression}`." for rule in rules.cel]
    return said + [f"Rule: `{expression}`." for expression in rules.cel_expression]


def one_of(names: Iterable[str], required: bool) -> str:
    """A sentence that states how many of these fields can be present."""
    return f"{'Exactly' if required else 'At most'} one of {', '.join(f'`{name}`' for name in names)}."


def _keywords(kind: str, name: str, value: Any, field: FieldDescriptor) -> Json | None:
    """The keywords for one rule, or None if JSON Schema has none."""
    if name in _ALWAYS_SO:
        return {}
    if kind == "enum":
        return _enum_keywords(name, value, field)
    if keyword := _COPIED.get(kind, {}).get(name):
        return {keyword: value}
    if name in ("in", "not_in") and "const" in _COPIED.get(kind, {}):
        listed = {"enum": list(value)}
        return listed if name == "in" else {"not": listed}
    if kind == "string" and name == "len":
        return {"minLength": value, "maxLength": value}
    if kind == "string" and name in _FORMATS and value:
        return {"format": _FORMATS[name]}
    return None


def _enum_keywords(name: str, value: Any, field: FieldDescriptor) -> Json:
    """The names of the values that `const`, `in` or `not_in` allow."""
    numbers = {value} if name == "const" else set(value)
    values = field.enum_type.values if field.enum_type else ()
    return {"enum": [item.name for item in values if (item.number in numbers) is (name != "not_in")]}


def _ignore(rules: Any) -> str:
    return str(rules.DESCRIPTOR.fields_by_name["ignore"].enum_type.values_by_number[rules.ignore].name)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    text = " ".join(str(value if isinstance(value, str | bytes) or not hasattr(value, "__iter__") else list(value)).split())
    return "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in text)
