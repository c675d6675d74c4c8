"""Requests that cost far more to decode than their size suggests, generated for every rpc from the descriptors.

They are written as bytes, because a client library would take longer to build them than a server takes to refuse them.
"""

from collections.abc import Iterator

from google.protobuf.descriptor import Descriptor, FieldDescriptor

SIZE = 4 * 1024 * 1024 - 1024
LONG = 1024 * 1024
"""A length that the text fields of requests do not allow."""
_FREE_FORM = "google.protobuf.Struct"
_NULL, _NOTHING, _EMPTY_LIST, _EMPTY_OBJECT = b"\x0a\x02\x08\x00", b"\x0a\x00", b"\x0a\x02\x32\x00", b"\x0a\x02\x2a\x00"


def expensive_requests(kind: Descriptor, size: int = SIZE) -> Iterator[tuple[str, bytes]]:
    """Yield the name and the bytes of each request, about `size` bytes long, for an rpc that takes messages of type `kind`."""
    yield "unknown numbers", _fill(b"\xf8\x7f\x00", size)
    yield "unknown texts", _fill(b"\xfa\x7f\x00", size)
    yield "groups", _fill(b"\xfb\x7f\xfc\x7f", size)
    yield from _of_fields(kind, size, [])


def _of_fields(kind: Descriptor, size: int, path: list[FieldDescriptor]) -> Iterator[tuple[str, bytes]]:
    for field in kind.fields:
        place = [*path, field]
        name = ".".join(one.name for one in place)
        if field.message_type is None:
            if field.type in (field.TYPE_STRING, field.TYPE_BYTES) or field.is_repeated:
                yield f"{name} repeated", _inside(path, _fill(_delimited(field.number, b""), size))
            if field.type in (field.TYPE_STRING, field.TYPE_BYTES):
                yield f"{name}, long", _inside(place, b"x" * max(size, LONG))
            elif field.is_repeated:
                yield f"{name}, packed", _inside(place, b"\x01" * size)
            continue
        yield f"{name} repeated", _inside(path, _fill(_delimited(field.number, b""), size))
        if field.message_type.full_name == _FREE_FORM:
            yield from ((f"{name} with {what}", _inside(place, inside)) for what, inside in _free_form(size))
        elif len(path) < 3:
            yield from _of_fields(field.message_type, size, place)


def _free_form(size: int) -> Iterator[tuple[str, bytes]]:
    for what, item in (("nulls", _NULL), ("nothings", _NOTHING), ("empty lists", _EMPTY_LIST), ("empty objects", _EMPTY_OBJECT)):
        yield what, _entry(_delimited(6, _fill(item, size)))
    yield "one key repeated", _fill(_NOTHING, size)
    yield "many keys", b"".join(_delimited(1, _delimited(1, b"%06d" % number)) for number in range(size // 10))
    deep = b""
    for _ in range(20):
        deep = _delimited(6, _delimited(1, deep))
    yield "nested lists", _entry(_delimited(6, _fill(_delimited(1, deep), size)))


def _entry(value: bytes) -> bytes:
    return _delimited(1, _delimited(1, b"a") + _delimited(2, value))


def _inside(path: list[FieldDescriptor], data: bytes) -> bytes:
    for field in reversed(path):
        data = _delimited(field.number, data)
    return data


def _fill(item: bytes, size: int) -> bytes:
    return item * (size // len(item))


def _delimited(number: int, data: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])
