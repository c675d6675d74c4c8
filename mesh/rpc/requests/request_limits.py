"""Limits on the shape of requests, checked in linear time and before protobuf or protovalidate look at a request.

A request can cost far more than its size: two bytes on the wire are a node of a `Struct` or an element of a list, and parsing, validating
and converting each of them holds the event loop. The bytes are therefore walked first, by the descriptor of the rpc's message, without
building anything. The walk stops at the first limit that is exceeded, so it takes at most MOST_FIELDS steps. The limits are those that
protovalidate's rules in the proto declare (`max_items`, `max_len`, `max_bytes`), and two for free-form values, which have no such rules.
"""

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from buf.validate import validate_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import DecodeError, Message

from mesh.errors import ValidationFailed

SMALL_REQUEST_BYTES = 2048
"""A request of this size is not walked: it cannot hold enough elements to be expensive."""
MOST_FIELDS = 15_000
"""Fields and list elements of a request outside of its free-form values, known to the contract or not. A message whose contract allows
fewer may have that many, and UNKNOWN_FIELDS more."""
UNKNOWN_FIELDS = 1_000
NODES_AT_A_TIME = 250
"""Nodes of free-form values that are counted at a time, in less than a millisecond."""
_FREE_FORM = frozenset({"google.protobuf.Struct", "google.protobuf.Value", "google.protobuf.ListValue"})
_UTF8_BYTES = 4
_UUID_BYTES = 36
_BYTES_OF_A_NODE = 2
_VARINT_BYTES = 10
_CONTINUED = 0x80
_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5


@dataclass(frozen=True, slots=True)
class RequestLimits:
    """What the free-form values of one request may hold, all of them together."""

    free_form_bytes: int = 256 * 1024
    """As protobuf."""
    free_form_nodes: int = 10_000
    """Objects, lists, and values in them."""

    @property
    def smallest_over_nodes(self) -> int:
        """The size of the smallest message that can hold too many nodes. Smaller ones need not be counted."""
        return self.free_form_nodes * _BYTES_OF_A_NODE


DEFAULT_LIMITS = RequestLimits()


class RequestTooLarge(Exception):
    """A request exceeds `limit` with one of its fields; `field` is empty for the request as a whole."""

    def __init__(self, field: str, limit: str, description: str) -> None:
        super().__init__(f"{field}: {description}")
        self.field = field
        self.limit = limit
        self.description = description

    def refusal(self) -> ValidationFailed:
        """The error for the caller."""
        error = ValidationFailed.of(self.field or "request", self.description)
        error.details["limit"] = self.limit
        return error


def check_bytes(data: bytes, kind: Descriptor, limits: RequestLimits) -> None:
    """Checks the bytes of a message of this kind. Raises RequestTooLarge, and DecodeError for bytes that are not a message."""
    shape = _shape(kind)
    _Walk(data, limits, min(shape.most_fields + UNKNOWN_FIELDS, MOST_FIELDS)).message(0, len(data), shape, "")


def check_nodes(message: Message, limits: RequestLimits) -> Iterator[None]:
    """Counts the nodes of the free-form values in a message, and yields after every NODES_AT_A_TIME. Raises RequestTooLarge."""
    left = limits.free_form_nodes
    for path, value in _free_form_values(message, _shape(message.DESCRIPTOR), ""):
        left -= yield from _nodes(value, left)
        if left < 0:
            description = f"must not hold more than {limits.free_form_nodes:,} values, all contexts of a request together"
            raise RequestTooLarge(path, "LIMIT_CONTEXT_NODES", description)


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    free_form: bool
    shape: "_Shape | None"
    """Of a field that holds messages; None for others."""
    most_items: int | None
    repeated: bool
    packed: bool
    most_bytes: int | None


@dataclass(slots=True)
class _Shape:
    fields: dict[int, _Field]
    has_free_form: bool = False
    most_fields: int = 0
    """How many fields and list elements a valid message has, fields of its messages included; at most MOST_FIELDS."""


@cache
def _shape(kind: Descriptor) -> _Shape:
    shape = _Shape({})
    for field in kind.fields:
        made = shape.fields[field.number] = _field(field)
        shape.has_free_form |= made.free_form or (made.shape is not None and made.shape.has_free_form)
        of_one = 1 + (made.shape.most_fields if made.shape is not None else 0)
        items = made.most_items if made.most_items is not None else MOST_FIELDS if made.repeated else 1
        shape.most_fields = min(shape.most_fields + items * of_one, MOST_FIELDS)
    return shape


def _field(field: FieldDescriptor) -> _Field:
    rules: Any = field.GetOptions().Extensions[validate_pb2.field]
    kind = field.message_type
    free_form = kind is not None and kind.full_name in _FREE_FORM
    of_items = rules.repeated.items if field.is_repeated else rules
    return _Field(
        name=field.name,
        free_form=free_form,
        shape=None if kind is None or free_form else _shape(kind),
        most_items=rules.repeated.max_items if rules.repeated.HasField("max_items") else None,
        repeated=field.is_repeated,
        packed=field.is_repeated and kind is None and field.type not in (field.TYPE_STRING, field.TYPE_BYTES),
        most_bytes=_most_bytes(of_items),
    )


def _most_bytes(rules: Any) -> int | None:
    if rules.string.HasField("max_len"):
        return int(rules.string.max_len) * _UTF8_BYTES
    if rules.string.HasField("max_bytes"):
        return int(rules.string.max_bytes)
    if rules.string.uuid:
        return _UUID_BYTES
    return int(rules.bytes.max_len) if rules.bytes.HasField("max_len") else None


class _Walk:
    """One walk over the bytes of a request."""

    def __init__(self, data: bytes, limits: RequestLimits, most_fields: int) -> None:
        self._data = data
        self._limits = limits
        self._most_fields = self._fields_left = most_fields
        self._free_form_left = limits.free_form_bytes

    def message(self, at: int, end: int, shape: _Shape, path: str) -> None:
        """Walks the fields of one message."""
        counts: dict[int, int] = {}
        data, fields = self._data, shape.fields
        while at < end:
            self._fields_left -= 1
            if self._fields_left < 0:
                raise self._too_many_fields(path)
            tag = data[at]
            at += 1
            if tag >= _CONTINUED:
                tag, at = self._varint(at - 1, end)
            if tag & 7 == _LENGTH and at < end and data[at] < _CONTINUED:
                begin = at + 1
                at = begin + data[at]
            else:
                begin, at = self._value(at, end, tag & 7)
            if at > end:
                raise DecodeError("a value is longer than its message")
            if (field := fields.get(tag >> 3)) is not None:
                counts[tag] = count = counts.get(tag, 0) + 1
                self._check(field, count, begin, at, path)

    def _check(self, field: _Field, count: int, begin: int, end: int, path: str) -> None:
        size = end - begin
        if field.most_items is not None and (count > field.most_items or (field.packed and size > field.most_items * _VARINT_BYTES)):
            raise RequestTooLarge(_join(path, field), "max_items", f"must contain no more than {field.most_items:,} item(s)")
        if field.packed:
            self._fields_left -= size  # an element has at least one byte
            if self._fields_left < 0:
                raise self._too_many_fields(_join(path, field))
        elif field.free_form:
            self._free_form_left -= size
            if self._free_form_left < 0:
                description = (
                    f"must not exceed {self._limits.free_form_bytes:,} bytes in protobuf encoding, all contexts of a request together"
                )
                raise RequestTooLarge(_join(path, field), "LIMIT_CONTEXT_BYTES", description)
        elif field.most_bytes is not None and size > field.most_bytes:
            description = f"must not exceed {field.most_bytes:,} bytes, and has {size:,}"
            raise RequestTooLarge(_join(path, field), "max_len", description)
        elif field.shape is not None:
            here = _join(path, field)
            self.message(begin, end, field.shape, f"{here}[{count - 1}]" if field.repeated else here)

    def _too_many_fields(self, path: str) -> RequestTooLarge:
        return RequestTooLarge(path, "MOST_FIELDS", f"must not have more than {self._most_fields:,} fields and list elements")

    def _value(self, at: int, end: int, wire: int) -> tuple[int, int]:
        """Where a value begins and ends."""
        if wire == _LENGTH:
            size, at = self._varint(at, end)
            return at, at + size
        if wire == _VARINT:
            return at, self._varint(at, end)[1]
        if wire in (_FIXED64, _FIXED32):
            return at, at + (8 if wire == _FIXED64 else 4)
        raise DecodeError(f"wire type {wire} is not used by this contract")  # groups

    def _varint(self, at: int, end: int) -> tuple[int, int]:
        result = 0
        for shift in range(0, 7 * _VARINT_BYTES, 7):
            if at >= end:
                break
            byte = self._data[at]
            at += 1
            result |= (byte & 0x7F) << shift
            if byte < _CONTINUED:
                return result, at
        raise DecodeError("a number is cut off or too long")


def _join(path: str, field: _Field) -> str:
    return f"{path}.{field.name}" if path else field.name


def _free_form_values(message: Any, shape: _Shape, path: str) -> Iterator[tuple[str, Any]]:
    for field in shape.fields.values():
        if not (field.free_form or (field.shape is not None and field.shape.has_free_form)):
            continue
        here = f"{path}.{field.name}" if path else field.name
        value = getattr(message, field.name)
        if message.DESCRIPTOR.fields_by_name[field.name].is_repeated:
            items = [(f"{here}[{place}]", item) for place, item in enumerate(value)]
        else:
            items = [(here, value)] if message.HasField(field.name) else []
        for place, item in items:
            if field.free_form:
                yield place, item
            elif field.shape is not None:
                yield from _free_form_values(item, field.shape, place)


def _nodes(value: Any, most: int) -> Generator[None, None, int]:
    """The nodes of a Struct, or of a Value or ListValue; more than `most` as soon as there are so many."""
    seen = 0
    waiting = [_inside(value)] if value.DESCRIPTOR.name != "Value" else [[value]]
    found = 1
    while waiting and found <= most:
        values = waiting.pop()
        found += len(values)
        if found > most:
            break
        for one in values:
            seen += 1
            if seen % NODES_AT_A_TIME == 0:
                yield
            kind = one.WhichOneof("kind")
            if kind == "list_value":
                waiting.append(one.list_value.values)
            elif kind == "struct_value":
                waiting.append(_inside(one.struct_value))
    return found


def _inside(value: Any) -> Any:
    return value.fields.values() if value.DESCRIPTOR.name == "Struct" else value.values
