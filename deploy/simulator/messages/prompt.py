"""The parts of a request to the Messages API that the simulator uses."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from catalogue.prompt import without_date
from deploy.simulator.messages.tokens import tokens_of
from deploy.simulator.messages.validation import blocks_of

_TTL_SECONDS = {"5m": 300, "1h": 3_600}


@dataclass(frozen=True, slots=True)
class CacheBreakpoint:
    """The end of a cacheable prefix of the prompt: the digest that identifies it, its size, and how long it is kept after each use."""

    digest: bytes
    tokens: int
    ttl_seconds: int


@dataclass(frozen=True, slots=True)
class Prompt:
    """One request. Built from a body that `validation` has accepted."""

    model: str
    system: tuple[str, ...]
    """The texts of the blocks of the system prompt."""
    input: str
    """The text of the last message, which is the user's.

    Without the date that an agent host adds, so that the log can be searched for what a caller sent.
    """
    max_tokens: int
    stream: bool
    schema: Mapping[str, Any] | None
    """The JSON Schema of structured output, if requested."""
    breakpoints: tuple[CacheBreakpoint, ...]
    tokens: int
    """The input tokens of tools, system prompt and messages together."""
    digest: bytes
    """SHA-256 over the model, the whole prompt and the output schema."""

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> "Prompt":
        """The prompt of a valid body. Raises UnicodeEncodeError for half a surrogate pair."""
        breakpoints, size, digest = _measured(body)
        schema = ((body.get("output_config") or {}).get("format") or {}).get("schema")
        return cls(
            model=body["model"],
            system=tuple(block["text"] for block in blocks_of(body.get("system", ""))),
            input=without_date("\n".join(block["text"] for block in blocks_of(body["messages"][-1]["content"]) if block["type"] == "text")),
            max_tokens=body.get("max_tokens", 0),
            stream=body.get("stream", False),
            schema=schema,
            breakpoints=breakpoints,
            tokens=tokens_of(size),
            digest=digest if schema is None else hashlib.sha256(digest + json.dumps(schema, ensure_ascii=False).encode()).digest(),
        )


def _measured(body: Mapping[str, Any]) -> tuple[tuple[CacheBreakpoint, ...], int, bytes]:
    """The cache breakpoints, the size in bytes and the digest of everything that the model would read."""
    digest, size, breakpoints = hashlib.sha256(body["model"].encode()), 0, []
    for text, mark in _read_by_model(body):
        encoded = text.encode()
        size += len(encoded)
        digest.update(b"\0%d\0" % len(encoded))
        digest.update(encoded)
        if mark is not None:
            breakpoints.append(CacheBreakpoint(digest.digest(), tokens_of(size), _TTL_SECONDS[mark.get("ttl", "5m")]))
    if (automatic := body.get("cache_control")) is not None:
        breakpoints.append(CacheBreakpoint(digest.digest(), tokens_of(size), _TTL_SECONDS[automatic.get("ttl", "5m")]))
    return tuple(breakpoints), size, digest.digest()


def _read_by_model(body: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any] | None]]:
    """Every text of the prompt in the order of the API (tools, system, messages), with the cache breakpoint after it."""
    for tool in body.get("tools") or ():
        yield json.dumps(tool), tool.get("cache_control")
    for block in blocks_of(body.get("system", "")):
        yield block["text"], block.get("cache_control")
    for message in body["messages"]:
        for block in blocks_of(message["content"]):
            yield block["text"] if block["type"] == "text" else json.dumps(block), block.get("cache_control")
