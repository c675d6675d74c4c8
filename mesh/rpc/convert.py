"""Converts the protobuf messages that all packages share from and to plain values."""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from math import isfinite
from typing import Any

from agentmesh.common.v1 import usage_pb2
from google.protobuf import struct_pb2

from mesh.errors import ValidationFailed
from mesh.usage import TokenUsage

LARGEST_EXACT = 2**53 - 1
"""The largest whole number that no other one is rounded to in a double, as in JavaScript."""


VALUES_AT_A_TIME = 250
"""Values of a Struct that are converted or counted at a time, in less than a millisecond."""


class FreeForm(dict[str, Any]):
    """Free-form values that came in a Struct, which is kept so that passing them on costs nothing. Not to be changed."""

    __slots__ = ("message",)

    def __init__(self, message: struct_pb2.Struct) -> None:
        super().__init__()
        self.message = message


def struct(plain: Mapping[str, Any]) -> struct_pb2.Struct:
    """Free-form values as a Struct."""
    if isinstance(plain, FreeForm):
        return plain.message
    message = struct_pb2.Struct()
    message.update(plain)
    return message


def values(message: struct_pb2.Struct, field: str) -> FreeForm:
    """A Struct as plain values, with whole numbers as int.

    Raises ValidationFailed, naming `field`, for NaN, infinities, and whole numbers whose digits a double may have lost.
    """
    plain = FreeForm(message)
    for _ in _filling(plain, message, field):
        pass
    return plain


async def given_values(message: struct_pb2.Struct, field: str) -> FreeForm:
    """The same as `values`, for requests: other calls get their turn on the event loop while a large Struct is converted."""
    plain = FreeForm(message)
    for _ in _filling(plain, message, field):
        await asyncio.sleep(0)
    return plain


def usage_to_proto(usage: TokenUsage, cost_micro_usd: int = 0, price_table: str = "") -> usage_pb2.Usage:
    """Token counts, with the cost if it is known."""
    return usage_pb2.Usage(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cache_read_tokens=usage.cache_read_tokens,
        cache_write_tokens=usage.cache_write_tokens,
        model=usage.model,
        cost_micro_usd=cost_micro_usd,
        price_table=price_table,
        estimated=usage.estimated,
    )


def usage_from_proto(usage: usage_pb2.Usage) -> TokenUsage:
    """Token counts as an agent reports them."""
    return TokenUsage(
        model=usage.model,
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cache_read_tokens=usage.cache_read_tokens,
        cache_write_tokens=usage.cache_write_tokens,
        estimated=usage.estimated,
    )


def _filling(plain: dict[str, Any], message: struct_pb2.Struct, field: str) -> Iterator[None]:
    """Copies a Struct into `plain`, and yields after every VALUES_AT_A_TIME values."""
    waiting: list[tuple[Iterable[tuple[Any, struct_pb2.Value]], Callable[[Any, Any], None]]] = []

    def plain_of(value: struct_pb2.Value) -> Any:
        kind = value.WhichOneof("kind")
        if kind == "number_value":
            return _number(value.number_value, field)
        if kind == "struct_value":
            inner: dict[str, Any] = {}
            waiting.append((value.struct_value.fields.items(), inner.__setitem__))
            return inner
        if kind == "list_value":
            items = value.list_value.values
            empty: list[Any] = [None] * len(items)
            waiting.append((enumerate(items), empty.__setitem__))
            return empty
        return None if kind in (None, "null_value") else getattr(value, kind)

    waiting.append((message.fields.items(), plain.__setitem__))
    done = 0
    while waiting:
        values, put = waiting.pop()
        for place, value in values:
            put(place, plain_of(value))
            done += 1
            if done % VALUES_AT_A_TIME == 0:
                yield


def _number(number: float, field: str) -> int | float:
    if not isfinite(number):
        raise ValidationFailed.of(field, "contains NaN or infinity, which JSON cannot represent; send finite numbers")
    if abs(number) > LARGEST_EXACT:  # every double as large as this is whole
        message = f"must not contain numbers beyond ±{LARGEST_EXACT} (2^53 - 1), which lose digits; send them as strings"
        raise ValidationFailed.of(field, message)
    # A Struct has only doubles. JSON Schema's `integer` accepts 3.0, but 3 reads better in a prompt.
    return int(number) if number.is_integer() else number
