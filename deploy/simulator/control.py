"""The endpoints with which tests control and read the simulator.

    POST   /control/faults     {"fault": "429", "argument": 1, "count": 3, "match": {"input_contains": "…", "model": "…"}}
                               The next `count` requests that match get the fault; without a count, all of them until the faults are
                               cleared. Returns {"faults": […]}, the rules in force. The faults and their arguments are those of the
                               models `sim-…`: 429, 529, 500, proxy, delay, hang, trickle, cut, stream-error, malformed, empty, big,
                               secret, refusal, late-refusal, max-tokens, thinking, pause-turn, strange-stop, strange-blocks,
                               negative-usage, huge-usage, no-usage. `faults.py` describes them.
    DELETE /control/faults     Clears the rules.
    POST   /control/defaults   {"delay_ms": 0, "trickle_ms": 0}: the pace of every answer. A field that is left out keeps its value.
    GET    /control/log        ?after=N: {"entries": […], "oldest": n, "last": n}; `entries` are the lines of the log after line N.
                               Memory holds the latest 20,000. If `oldest` > N + 1, the lines before it are only in the file.
    GET    /control/active     {"active": n}: the number of answers in progress

A request that is not valid gets the API's 400.
"""

from typing import Any

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from deploy.simulator.errors import ApiError
from deploy.simulator.faults import Fault, FaultRule, FaultRules
from deploy.simulator.log import AnswerLog
from deploy.simulator.messages.api import MessagesApi, Pace


class _Match(BaseModel):
    model_config = ConfigDict(extra="forbid")
    input_contains: str | None = None
    model: str | None = None


class _FaultRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")
    fault: str
    argument: int | None = None
    count: int | None = Field(default=None, ge=1)
    match: _Match = _Match()


class _PaceRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")
    delay_ms: int | None = Field(default=None, ge=0)
    trickle_ms: int | None = Field(default=None, ge=0)


class Control:
    def __init__(self, api: MessagesApi, pace: Pace, rules: FaultRules, log: AnswerLog) -> None:
        self._api = api
        self._pace = pace
        self._rules = rules
        self._log = log

    async def add_fault(self, request: web.Request) -> web.Response:
        try:
            wanted = _FaultRequest.model_validate_json(await request.read())
            fault = Fault.named(wanted.fault, wanted.argument)
        except ValueError as wrong:
            return _refusal(wrong)
        self._rules.add(FaultRule(fault, wanted.count, wanted.match.input_contains, wanted.match.model))
        return self._faults()

    async def clear_faults(self, request: web.Request) -> web.Response:
        self._rules.clear()
        return self._faults()

    async def set_defaults(self, request: web.Request) -> web.Response:
        try:
            wanted = _PaceRequest.model_validate_json(await request.read())
        except ValueError as wrong:
            return _refusal(wrong)
        for name, value in wanted.model_dump(exclude_none=True).items():
            setattr(self._pace, name, value)
        return web.json_response({"delay_ms": self._pace.delay_ms, "trickle_ms": self._pace.trickle_ms})

    async def read_log(self, request: web.Request) -> web.Response:
        after = request.query.get("after", "0")
        if not after.isdecimal():
            return _refusal(ValueError(f"after: invalid line number {after!r}; use a number from 0"))
        lines, oldest, last = self._log.after(int(after))
        body = b'{"entries":[%s],"oldest":%d,"last":%d}' % (b",".join(lines), oldest, last)
        return web.Response(body=body, content_type="application/json")

    async def count_active(self, request: web.Request) -> web.Response:
        return web.json_response({"active": self._api.active})

    def _faults(self) -> web.Response:
        return web.json_response({"faults": [_rule_document(rule) for rule in self._rules.rules]})


def _rule_document(rule: FaultRule) -> dict[str, Any]:
    return {
        "fault": rule.fault.name,
        "argument": rule.fault.argument,
        "count": rule.remaining,
        "match": {"input_contains": rule.input_contains, "model": rule.model},
    }


def _refusal(wrong: ValueError) -> web.Response:
    message = (
        "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in wrong.errors())
        if isinstance(wrong, ValidationError)
        else str(wrong)
    )
    return web.Response(status=400, body=ApiError.invalid(message).body("req_control"), content_type="application/json")
