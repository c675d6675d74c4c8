"""Encodes answers as the API's stream of events."""

import json
import re
from collections.abc import Iterator, Mapping
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
    """Events that are sent together, and the number of bytes of the answer's text in them."""

    events: bytes
    text_bytes: int = 0


def pieces(request_id: str, model: str, answer: Answer, usage: InputUsage, fault: Fault | None) -> Iterator[Piece]:
    """The stream of an answer, delta by delta, broken off in the middle if `fault` demands it."""
    deltas = _deltas(answer.text)
    index_of_text = len(answer.before_text)
    others = b"".join(_block(index, block) for index, block in enumerate(answer.before_text))
    yield Piece(_opening(request_id, model, usage, answer) + others + (_text_opening(index_of_text) if deltas else b""))
    breaking = _break(fault, request_id)
    for index, delta in enumerate(deltas):
        if breaking is not None and index == (len(deltas) + 1) // 2:
            break
        yield Piece(_DELTA % (index_of_text, json.dumps(delta).encode()), len(delta.encode()))
    yield Piece(breaking if breaking is not None else _closing(answer, usage, index_of_text if deltas else None))


def _event(kind: str, data: dict[str, Any]) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind} | data)}\n\n".encode()


_DELTA = b'event: content_block_delta\ndata: {"type": "content_block_delta", "index": %d, "delta": {"type": "text_delta", "text": %s}}\n\n'


def _opening(request_id: str, model: str, usage: InputUsage, answer: Answer) -> bytes:
    return _event("message_start", {"message": message_document(request_id, model, [], usage_document(usage, 1, answer.false_usage))})


def _text_opening(index: int) -> bytes:
    return _event("content_block_start", {"index": index, "content_block": {"type": "text", "text": ""}}) + _event("ping", {})


def _block(index: int, block: Mapping[str, Any]) -> bytes:
    """A whole content block. Thinking arrives in a delta, as text does."""
    start: Mapping[str, Any] = {**block, "thinking": ""} if block["type"] == "thinking" else block
    events = _event("content_block_start", {"index": index, "content_block": start})
    if block["type"] == "thinking":
        events += _event("content_block_delta", {"index": index, "delta": {"type": "thinking_delta", "thinking": block["thinking"]}})
    return events + _event("content_block_stop", {"index": index})


def _closing(answer: Answer, usage: InputUsage, index_of_text: int | None) -> bytes:
    stop = {"stop_reason": answer.stop_reason, "stop_sequence": None, "stop_details": answer.stop_details}
    document = usage_document(usage, answer.output_tokens, answer.false_usage)
    reported = None if document is None else {name: count for name, count in document.items() if name.endswith("_tokens")}
    end = _event("message_delta", {"delta": stop, "usage": reported}) + _event("message_stop", {})
    return end if index_of_text is None else _event("content_block_stop", {"index": index_of_text}) + end


def _break(fault: Fault | None, request_id: str) -> bytes | None:
    """The bytes with which the stream breaks off after half of its deltas; None if it does not."""
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
