"""Between protobuf messages that every package shares and plain values."""

from collections.abc import Mapping
from typing import Any

from agentmesh.common.v1 import usage_pb2
from google.protobuf import json_format, struct_pb2

from mesh.errors import ValidationFailed
from mesh.usage import TokenUsage


def struct(plain: Mapping[str, Any]) -> struct_pb2.Struct:
    """Free-form values as a Struct."""
    message = struct_pb2.Struct()
    message.update(plain)
    return message


def values(message: struct_pb2.Struct, field: str) -> dict[str, Any]:
    """A Struct as plain values; whole numbers come back as int. Raises ValidationFailed for NaN and infinities, naming `field`."""
    try:
        plain = json_format.MessageToDict(message)
    except json_format.SerializeToJsonError:
        raise ValidationFailed.of(field, "must hold only finite numbers: JSON has no NaN and no infinity") from None
    return {key: _whole(value) for key, value in plain.items()}


def usage_to_proto(usage: TokenUsage, cost_micro_usd: int = 0, price_table: str = "") -> usage_pb2.Usage:
    """Tokens, and the price where it is known."""
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
    """Tokens as an agent reports them."""
    return TokenUsage(
        model=usage.model,
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cache_read_tokens=usage.cache_read_tokens,
        cache_write_tokens=usage.cache_write_tokens,
        estimated=usage.estimated,
    )


def _whole(value: Any) -> Any:
    # A Struct has only doubles; JSON Schema's `integer` accepts 3.0, a prompt reads better with 3.
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_whole(item) for item in value]
    if isinstance(value, dict):
        return {key: _whole(item) for key, item in value.items()}
    return value
