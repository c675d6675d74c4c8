"""JSON bodies that cost far more than their size, for every rpc with a REST binding, made from the descriptors."""

import json
from collections.abc import Iterator

from google.protobuf.descriptor import Descriptor, FieldDescriptor

SIZE = 4 * 1024 * 1024 - 1024
_FREE_FORM = ("google.protobuf.Struct", "google.protobuf.Value", "google.protobuf.ListValue")
_ITEMS = {"nulls": b"null", "empty lists": b"[]", "empty objects": b"{}", "empty strings": b'""', "numbers": b"1", "reals": b"-1e-300"}
_TEXTS = {"a long string": b"x", "escapes": rb"\u00e9", "surrogates": rb"\ud83d\ude00", "line breaks": rb"\n"}
_LEVELS = 3


def expensive_bodies(kind: Descriptor, size: int = SIZE) -> Iterator[tuple[str, bytes]]:
    """Names and bodies of about `size` bytes for the rpc that takes messages of this kind."""
    yield "spaces", b"{" + b" " * size + b"}"
    yield "unknown fields", b"{" + b",".join(b'"u%06d":0' % number for number in range(size // 12)) + b"}"
    yield "an unknown list", b'{"unknown":' + _list(b"[]", size) + b"}"
    yield "nothing but brackets", b"[" * size
    yield from _of_fields(kind, size, ())


def _of_fields(kind: Descriptor, size: int, path: tuple[FieldDescriptor, ...]) -> Iterator[tuple[str, bytes]]:
    for field in kind.fields:
        name = ".".join(one.name for one in (*path, field))
        yield from ((f"{name}: {what}", _inside(path, field, value)) for what, value in _values(field, size))
        yield f"{name} repeated", _nested(path, b",".join([b'"%s":%s' % (field.name.encode(), _least(field))] * (size // 20)))
        inner = field.message_type
        if inner is not None and inner.full_name not in _FREE_FORM and len(path) < _LEVELS:
            yield from _of_fields(inner, size, (*path, field))


def _values(field: FieldDescriptor, size: int) -> Iterator[tuple[str, bytes]]:
    if field.message_type is not None and field.message_type.full_name in _FREE_FORM:
        yield from ((what, b'{"a":' + _list(item, size) + b"}") for what, item in _ITEMS.items())
        yield "many keys", b"{" + b",".join(b'"%06d":null' % number for number in range(size // 14)) + b"}"
        yield "many names of fields", b"{" + b",".join(b'"%06d":{"a":[]}' % number for number in range(size // 18)) + b"}"
        yield "deep", b'{"a":' * 95 + b"1" + b"}" * 95
        yield "nested lists", b'{"a":' + _list(b"[" * 25 + b"]" * 25, size) + b"}"
        yield from ((what, b'{"a":"%s"}' % (text * (size // len(text)))) for what, text in _TEXTS.items())
        yield "digits", b'{"a":' + b"1" * size + b"}"
    elif field.is_repeated:
        yield from ((f"a list of {what}", _list(item, size)) for what, item in _ITEMS.items())
    elif field.type in (field.TYPE_STRING, field.TYPE_BYTES):
        yield from ((what, b'"%s"' % (text * (size // len(text)))) for what, text in _TEXTS.items())
    elif field.message_type is None:
        yield "digits", b"1" * size
        yield "a long string", b'"' + b"1" * size + b'"'


def _least(field: FieldDescriptor) -> bytes:
    if field.is_repeated:
        return b"[]"
    if field.message_type is not None:
        return b"{}"
    return b'""' if field.type in (field.TYPE_STRING, field.TYPE_BYTES) else b"0"


def _list(item: bytes, size: int) -> bytes:
    return b"[" + b",".join([item] * (size // (len(item) + 1))) + b"]"


def _inside(path: tuple[FieldDescriptor, ...], field: FieldDescriptor, value: bytes) -> bytes:
    return _nested(path, b'"%s":%s' % (field.name.encode(), value))


def _nested(path: tuple[FieldDescriptor, ...], members: bytes) -> bytes:
    for field in reversed(path):
        value = b"{" + members + b"}"
        members = b'"%s":%s' % (field.name.encode(), b"[" + value + b"]" if field.is_repeated else value)
    return b"{" + members + b"}"


def largest_allowed_call() -> bytes:
    """An agent call with nearly the longest input and as many values in its context as are allowed."""
    context = {"a": [{"b": [None, 1.5]}] * 2_490, "padding": "x" * 150_000}
    return json.dumps({"input": "x" * 199_000, "context": context}).encode()
