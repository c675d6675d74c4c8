"""Encodes answers as the API's JSON."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from deploy.simulator.answers.answer import Answer
from deploy.simulator.messages.cache import InputUsage


def message(request_id: str, model: str, answer: Answer, usage: InputUsage) -> bytes:
    """The whole answer as the body of a JSON response."""
    content = [*answer.before_text, *([{"type": "text", "text": answer.text}] if answer.text else [])]
    reported = usage_document(usage, answer.output_tokens, answer.false_usage)
    return json.dumps(
        message_document(request_id, model, content, reported) | {"stop_reason": answer.stop_reason, "stop_details": answer.stop_details}
    ).encode()


def message_document(request_id: str, model: str, content: Sequence[Mapping[str, Any]], usage: Mapping[str, Any] | None) -> dict[str, Any]:
    """A message that has not stopped yet."""
    return {
        "id": f"msg_{request_id.removeprefix('req_')}",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": content,
        "stop_reason": None,
        "stop_sequence": None,
        "stop_details": None,
        "usage": usage,
    }


def usage_document(usage: InputUsage, output_tokens: int, false_usage: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The API's `usage`, with the false claims of a fault; None if the fault leaves it out."""
    if false_usage is None:
        return None
    return {
        "input_tokens": usage.uncached,
        "cache_creation_input_tokens": usage.written,
        "cache_read_input_tokens": usage.read,
        "cache_creation": {"ephemeral_5m_input_tokens": usage.written_5m, "ephemeral_1h_input_tokens": usage.written_1h},
        "output_tokens": output_tokens,
        "service_tier": "standard",
        **false_usage,
    }
