"""Sends answers, whole or broken off."""

import asyncio

from aiohttp import web

from deploy.simulator.answers.answer import Answer
from deploy.simulator.faults import Fault
from deploy.simulator.log import Receipt
from deploy.simulator.messages.message import message
from deploy.simulator.messages.sse import pieces
from deploy.simulator.messages.tokens import tokens_of

_BROKEN = {"cut": "cut", "malformed": "fault:malformed", "stream-error": "fault:stream-error"}


def outcome_of(fault: Fault | None) -> str:
    """The outcome that the log records for an answer that was delivered as its fault demands."""
    return _BROKEN.get(fault.name, "completed") if fault else "completed"


async def deliver_json(request: web.Request, receipt: Receipt, answer: Answer, fault: Fault | None) -> web.StreamResponse:
    assert receipt.model is not None  # set when the request was read
    body = message(receipt.request_id, receipt.model, answer, receipt.usage)
    receipt.output_tokens = answer.output_tokens
    if fault and fault.name == "cut":
        return await _send_half(request, receipt, body)
    if fault and fault.name == "malformed":
        body = body[: len(body) // 2]
    response = web.Response(body=body, headers=_headers(receipt, "application/json"))
    await response.prepare(request)
    await response.write_eof()
    return response


async def _send_half(request: web.Request, receipt: Receipt, body: bytes) -> web.StreamResponse:
    response = web.StreamResponse(headers=_headers(receipt, "application/json"))
    response.content_length = len(body)
    await response.prepare(request)
    await response.write(body[: len(body) // 2])
    if request.transport is not None:
        request.transport.close()
    return response


async def deliver_events(
    request: web.Request, receipt: Receipt, answer: Answer, fault: Fault | None, trickle_seconds: float
) -> web.StreamResponse:
    """Sends the answer as events: all at once, or with a pause before every event but the first."""
    assert receipt.model is not None
    response = web.StreamResponse(headers=_headers(receipt, "text/event-stream; charset=utf-8") | {"cache-control": "no-cache"})
    await response.prepare(request)
    waiting, text_bytes = bytearray(), 0
    for index, piece in enumerate(pieces(receipt.request_id, receipt.model, answer, receipt.usage, fault)):
        if trickle_seconds and index:
            await asyncio.sleep(trickle_seconds)
        waiting += piece.events
        text_bytes += piece.text_bytes
        if trickle_seconds:
            await response.write(bytes(waiting))
            waiting.clear()
            receipt.output_tokens = tokens_of(text_bytes)
    receipt.output_tokens = max(1, answer.thinking_tokens + tokens_of(text_bytes))
    await response.write_eof(bytes(waiting))
    return response


def _headers(receipt: Receipt, content_type: str) -> dict[str, str]:
    return {"content-type": content_type, "request-id": receipt.request_id}
