"""The endpoints of the Messages API."""

import asyncio
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web
from uuid_utils import uuid7

from deploy.simulator.answers.answer import Answer, answer_to
from deploy.simulator.catalogue import check_model
from deploy.simulator.errors import ApiError
from deploy.simulator.faults import Fault, FaultRules
from deploy.simulator.log import AnswerLog, Receipt
from deploy.simulator.messages.cache import PromptCache
from deploy.simulator.messages.delivery import deliver_events, deliver_json, outcome_of
from deploy.simulator.messages.prompt import Prompt
from deploy.simulator.messages.validation import check_call, check_count

EXECUTION_ID_HEADER = "x-agentmesh-execution-id"


@dataclass(slots=True)
class Pace:
    """Delays that apply to every answer, in milliseconds. Those of a fault are added."""

    delay_ms: int = 0
    trickle_ms: int = 0


class MessagesApi:
    """Answers `POST /v1/messages` and `POST /v1/messages/count_tokens`."""

    def __init__(self, pace: Pace, rules: FaultRules, log: AnswerLog) -> None:
        self._pace = pace
        self._rules = rules
        self._log = log
        self._cache = PromptCache()
        self._exchanges: set[asyncio.Task[Any]] = set()
        self._stopping = False

    @property
    def active(self) -> int:
        """The number of answers in progress."""
        return len(self._exchanges)

    async def stop(self) -> None:
        """Breaks off the answers in progress. The log records them as `cut`."""
        self._stopping = True
        for exchange in self._exchanges:
            exchange.cancel()
        if self._exchanges:
            await asyncio.wait(set(self._exchanges), timeout=1)

    async def create(self, request: web.Request) -> web.StreamResponse:
        exchange = asyncio.current_task()
        assert exchange is not None  # a handler always runs in a task
        self._exchanges.add(exchange)
        receipt = Receipt(_new_request_id(), request.headers.get(EXECUTION_ID_HEADER))
        try:
            return await self._answer(request, receipt)
        except ApiError as error:
            return await self._refuse(request, receipt, error)
        finally:
            self._exchanges.discard(exchange)

    async def count_tokens(self, request: web.Request) -> web.StreamResponse:
        """The number of tokens of a prompt, counted as for the usage of an answer."""
        request_id = _new_request_id()
        try:
            prompt = await _read(request, check_count)
            check_model(prompt.model)
        except ApiError as error:
            return _error_response(error, request_id)
        return web.json_response({"input_tokens": prompt.tokens}, headers={"request-id": request_id})

    async def _answer(self, request: web.Request, receipt: Receipt) -> web.StreamResponse:
        prompt = await _read(request, check_call)
        receipt.model, receipt.stream = prompt.model, prompt.stream
        receipt.input_sha256 = hashlib.sha256(prompt.input.encode()).hexdigest()
        check_model(prompt.model)
        fault = self._rules.fault_of(prompt)
        receipt.fault = fault.name if fault else None
        if fault and (error := fault.error(prompt.stream)):
            raise error
        answer = answer_to(prompt, fault)
        receipt.usage, receipt.billed = self._cache.usage_of(prompt), True
        self._log.started(receipt)
        return await self._deliver(request, receipt, answer, fault)

    async def _deliver(self, request: web.Request, receipt: Receipt, answer: Answer, fault: Fault | None) -> web.StreamResponse:
        outcome = "client_gone"
        try:
            await self._wait(fault)
            if receipt.stream:
                response = await deliver_events(request, receipt, answer, fault, self._trickle_seconds(fault))
            else:
                response = await deliver_json(request, receipt, answer, fault)
            outcome = outcome_of(fault)
            return response
        finally:
            # Stopping cancels the handler, as a client that leaves does.
            self._log.ended(receipt, "cut" if self._stopping and outcome == "client_gone" else outcome)

    async def _refuse(self, request: web.Request, receipt: Receipt, error: ApiError) -> web.StreamResponse:
        receipt.status = error.status
        self._log.started(receipt)
        response = _error_response(error, receipt.request_id)
        outcome = "client_gone"
        try:
            await response.prepare(request)
            await response.write_eof()
            outcome = f"fault:{receipt.fault}" if receipt.fault else f"error:{error.kind}"
        finally:
            self._log.ended(receipt, outcome)
        return response

    async def _wait(self, fault: Fault | None) -> None:
        if fault and fault.name == "hang":
            await asyncio.get_running_loop().create_future()
        own = fault.argument if fault and fault.name == "delay" else 0
        if delay_ms := self._pace.delay_ms + own:
            await asyncio.sleep(delay_ms / 1_000)

    def _trickle_seconds(self, fault: Fault | None) -> float:
        own = fault.argument if fault and fault.name == "trickle" else 0
        return (self._pace.trickle_ms + own) / 1_000


def _new_request_id() -> str:
    return f"req_sim{uuid7().hex}"


def _error_response(error: ApiError, request_id: str) -> web.Response:
    headers = {"request-id": request_id, **error.headers}
    return web.Response(status=error.status, body=error.body(request_id), content_type=error.content_type, headers=headers)


def _has_key(request: web.Request) -> bool:
    """Whether the request has a key. The SDK 2.12 sends it as a bearer token, earlier versions as `x-api-key`."""
    kind, _, key = request.headers.get("authorization", "").partition(" ")
    return bool(request.headers.get("x-api-key") or (kind.lower() == "bearer" and key.strip()))


async def _read(request: web.Request, check: Callable[[object], Mapping[str, Any]]) -> Prompt:
    """The prompt of a request. Raises ApiError if the API would refuse it."""
    if not _has_key(request):
        raise ApiError(401, "authentication_error", "x-api-key header is required")
    if not request.headers.get("anthropic-version"):
        raise ApiError.invalid("anthropic-version: header is required")
    try:
        return Prompt.of(check(json.loads(await request.read())))
    except web.HTTPRequestEntityTooLarge as too_large:
        raise ApiError(413, "request_too_large", "Request exceeds the maximum size") from too_large
    except (ValueError, RecursionError) as unreadable:
        raise ApiError.invalid(f"The request body is not valid JSON: {unreadable}") from unreadable
