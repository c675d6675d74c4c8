"""How large the JSON body of a request can be, from the rules that its contract declares (`max_len`, `max_items`).

A body is held in memory and parsed before the orchestrator sees it, so a path that takes two short texts accepts a few KiB and not as much
as an agent call.
"""

from collections.abc import Mapping
from typing import Any

from buf.validate import validate_pb2
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto

Messages = Mapping[str, DescriptorProto]
SLACK_BYTES = 4096
"""Room in every body for spaces, line breaks and fields that the contract does not know."""
_ESCAPED_BYTES = 12
"""Of one character that is escaped as two surrogates, as in `\\ud83d\\ude00`. `max_len` counts characters, `max_bytes` bytes."""
_SCALAR_BYTES = 64
"""Of a number, a bool, the name of an enum's value or a well-known type such as a timestamp."""
_TEXTS = (FieldDescriptorProto.TYPE_STRING, FieldDescriptorProto.TYPE_BYTES)
_UUID_CHARACTERS = 36


def largest_body(message: DescriptorProto, messages: Messages) -> int | None:
    """An upper bound in bytes on the JSON of a valid message, or None if the contract does not bound it (as for free-form values)."""
    inside = _message(message, messages, ())
    return None if inside is None else inside + SLACK_BYTES


def _message(message: DescriptorProto, messages: Messages, above: tuple[DescriptorProto, ...]) -> int | None:
    sizes = [_field(field, messages, (*above, message)) for field in message.field]
    return None if None in sizes else sum(size for size in sizes if size is not None)


def _field(field: FieldDescriptorProto, messages: Messages, above: tuple[DescriptorProto, ...]) -> int | None:
    rules: Any = field.options.Extensions[validate_pb2.field]
    repeated = field.label == FieldDescriptorProto.LABEL_REPEATED
    if repeated and not rules.repeated.HasField("max_items"):
        return None
    one = _value(field, rules.repeated.items if repeated else rules, messages, above)
    if one is None:
        return None
    return len(field.name) + _SCALAR_BYTES + one * (rules.repeated.max_items if repeated else 1)


def _value(field: FieldDescriptorProto, rules: Any, messages: Messages, above: tuple[DescriptorProto, ...]) -> int | None:
    if field.type in _TEXTS:
        characters = _characters(rules)
        return None if characters is None else characters * _ESCAPED_BYTES + _SCALAR_BYTES
    if field.type != FieldDescriptorProto.TYPE_MESSAGE or field.type_name in (".google.protobuf.Timestamp", ".google.protobuf.Duration"):
        return _SCALAR_BYTES
    inner = messages.get(field.type_name)
    if inner is None or field.type_name.startswith(".google.protobuf.") or any(inner is one for one in above):
        return None
    return _message(inner, messages, above)


def _characters(rules: Any) -> int | None:
    if rules.string.HasField("max_len") or rules.string.HasField("max_bytes"):
        return int(rules.string.max_len or rules.string.max_bytes)
    if rules.string.uuid:
        return _UUID_CHARACTERS
    return int(rules.bytes.max_len) if rules.bytes.HasField("max_len") else None
