"""Explains why the bytes of a request cannot be decoded: protobuf's own error names no field."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from mesh.errors import Violation

DEEPEST = 100
"""Levels of messages that protobuf reads. A list inside free-form data takes two, an object three."""
_MOST_FIELDS = 10_000
"""How many fields are looked at: this runs on the event loop."""
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FREE_FORM = "google.protobuf."


class _Corrupt(Exception):
    """The bytes are not protobuf."""


@dataclass(frozen=True, slots=True)
class _Part:
    """Some bytes that are a message of a type."""

    begin: int
    end: int
    type: Descriptor
    path: str
    depth: int


def why_undecodable(data: bytes, message: Descriptor) -> Violation | None:
    """The first field that cannot be read; None if it is not among the first 10,000, or if the bytes are not protobuf."""
    parts = [_Part(0, len(data), message, "", 1)]
    looked_at = 0
    try:
        while parts:
            part = parts.pop()
            if part.depth > DEEPEST:
                return Violation(
                    part.path, f"must not be nested deeper than {DEEPEST} messages (30 levels of JSON always fit); send a flatter value"
                )
            for field, begin, end in _fields(data, part):
                looked_at += 1
                if looked_at > _MOST_FIELDS:
                    return None
                if field is None:
                    continue
                path = _path(part, field)
                if field.type == FieldDescriptor.TYPE_STRING and not _is_utf8(data[begin:end]):
                    return Violation(path, "must be valid UTF-8")
                if field.type == FieldDescriptor.TYPE_MESSAGE:
                    parts.append(_Part(begin, end, field.message_type, path, part.depth + 1))
    except _Corrupt:
        return None
    return None


def _path(part: _Part, field: Any) -> str:
    """Free-form data counts as one field: its inner names are those of google.protobuf.Struct."""
    if part.type.full_name.startswith(_FREE_FORM):
        return part.path
    return f"{part.path}.{field.name}" if part.path else str(field.name)


def _fields(data: bytes, part: _Part) -> Iterator[tuple[Any, int, int]]:
    """Every field of a message with where its bytes begin and end; None for one that is unknown or a number."""
    at = part.begin
    while at < part.end:
        tag, at = _varint(data, at, part.end)
        field = None
        begin = at
        kind = tag & 7
        if kind == _VARINT:
            _, at = _varint(data, at, part.end)
        elif kind == _FIXED64:
            at += 8
        elif kind == _FIXED32:
            at += 4
        elif kind == _BYTES:
            length, at = _varint(data, at, part.end)
            if at + length > part.end:
                raise _Corrupt
            field = part.type.fields_by_number.get(tag >> 3)
            begin, at = at, at + length
        else:
            raise _Corrupt
        yield field, begin, at
    if at > part.end:
        raise _Corrupt


def _varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    value = shift = 0
    while at < end and shift < 70:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise _Corrupt


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True
