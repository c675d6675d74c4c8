"""Answers as the API's stream of events."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from deploy.simulator.answers.answer import Answer
from deploy.simulator.errors import error_document
from deploy.simulator.faults import Fault
from deploy.simulator.messages.cache import InputUsage
from deploy.simulator.messages.message import message_document, usage_document

MOST_DELTAS = 200
"""A long answer comes in longer deltas, so that it costs no more events than this."""
_WORDS_PER_DELTA = re.compile(r"(?:\S*\s+){1,12}\S*(?=\s|$)|\S+|\s+")


@dataclass(frozen=True, slots=True)
class Piece:
    """What goes out at once: events, and how many bytes of the answer's text are in them."""

    events: bytes
    text_bytes: int = 0


def pieces(request_id: str, model: str, answer: Answer, usage: InputUsage, fault: Fault | None) -> Iterator[Piece]:
    """The stream of an answer, delta by delta, with the break that `fault` asks for in the middle of it."""
    deltas = _deltas(answer.text)
    yield Piece(_opening(request_id, model, usage) + (_BLOCK_OPENING if deltas else b""))
    breaking = _break(fault, request_id)
    for index, delta in enumerate(deltas):
        if breaking is not None and index == (len(deltas) + 1) // 2:
            break
        yield Piece(_DELTA % json.dumps(delta).encode(), len(delta.encode()))
    yield Piece(breaking if breaking is not None else _closing(answer, usage, bool(deltas)))


def _event(kind: str, data: dict[str, Any]) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind} | data)}\n\n".encode()


_BLOCK_OPENING = _event("content_block_start", {"index": 0, "content_block": {"type": "text", "text": ""}}) + _event("ping", {})
_BLOCK_CLOSING = _event("content_block_stop", {"index": 0})
_DELTA = b'event: content_block_delta\ndata: {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": %s}}\n\n'


def _opening(request_id: str, model: str, usage: InputUsage) -> bytes:
    return _event("message_start", {"message": message_document(request_id, model, [], usage_document(usage, 1))})


def _closing(answer: Answer, usage: InputUsage, has_block: bool) -> bytes:
    stop = {"stop_reason": answer.stop_reason, "stop_sequence": None, "stop_details": answer.stop_details}
    told = {name: count for name, count in usage_document(usage, answer.output_tokens).items() if name.endswith("_tokens")}
    end = _event("message_delta", {"delta": stop, "usage": told}) + _event("message_stop", {})
    return _BLOCK_CLOSING + end if has_block else end


def _break(fault: Fault | None, request_id: str) -> bytes | None:
    """How the stream breaks off after half of its deltas; None if it does not."""
    match fault:
        case Fault("cut"):
            return b""
        case Fault("stream-error"):
            return b"event: error\ndata: " + error_document("overloaded_error", "Overloaded", request_id) + b"\n\n"
        case Fault("malformed"):
            return b'event: content_block_delta\ndata: {"type": "content_block_delta", "index": 0, "delta": {"type": "text_de\n\n'
    return None


def _deltas(text: str) -> list[str]:
    """The text in parts of a dozen words, or in MOST_DELTAS longer ones; joined they are the text again."""
    parts = _WORDS_PER_DELTA.findall(text)
    if len(parts) <= MOST_DELTAS:
        return parts
    size = -(-len(text) // MOST_DELTAS)
    return [text[start : start + size] for start in range(0, len(text), size)]
